"""How many images of each class were taken for each other one, with the range over trials."""

import numpy as np
import pandas

from graft.analysis.predictions import Predictions, once

COLUMNS = ["class", "prediction", "images", "share", "low", "high"]


@once
def confusion_table(found: Predictions) -> pandas.DataFrame:
    """Return a row for each pair of a true and a predicted class that some trial has, in the order of classes.

    images is the mean over the trials: each image counts once, in parts if its trials disagree, and share is that of
    the class's images. low and high are the range of the number over trials, or, with folds, over repeats that tested
    all images; None if there is none.
    """
    size, runs = len(found.classes), found.runs
    trial, image = np.nonzero(found.tested)
    cells, place = np.unique(found.labels[image] * size + found.predicted[trial, image], return_inverse=True)
    images = np.bincount(place, 1 / found.tests[image])
    codes = runs[trial] * len(cells) + place
    counts = np.bincount(codes, minlength=(runs.max() + 1) * len(cells)).reshape(-1, len(cells))[found.complete]
    true, predicted = np.divmod(cells, size)
    names = np.array(found.classes, dtype=object)
    ends = (counts.min(0), counts.max(0)) if len(counts) else (None, None)
    shares = images / np.bincount(found.labels, minlength=size)[true]
    columns = (names[true], names[predicted], images.round(12), shares.round(12), *ends)  # thirds sum to 1
    return pandas.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
