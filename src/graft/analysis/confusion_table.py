"""How many images of each class were taken for each other one, with the range over trials."""

import numpy as np
import pandas

from graft.analysis.predictions import Predictions

COLUMNS = ["class", "prediction", "images", "share", "low", "high"]


def confusion_counts(found: Predictions) -> np.ndarray:
    """Return each trial's images by true and predicted class, (trials, classes, classes), int32.

    It has a cell for each pair of classes: of a thousand classes and 15 trials 60 MB. `confusion_table` has none for
    pairs that no trial confused.
    """
    size = len(found.classes)
    codes = found.labels * size + found.predicted
    rows = zip(codes, found.tested, strict=True)
    return np.array([np.bincount(row[own], minlength=size**2).astype(np.int32) for row, own in rows]).reshape(
        -1, size, size
    )


def confusion_table(found: Predictions) -> pandas.DataFrame:
    """Return a row for each pair of a true and a predicted class that some trial has, in the order of classes.

    images is the mean over the trials: each image counts once, in parts if its trials disagree, and share is that of
    the class's images. low and high are the range of the number over trials, or, with folds, over repeats that tested
    all images; None if there is none.
    """
    size, runs = len(found.classes), found.runs
    trial, image = np.nonzero(found.tested)
    cells, place = np.unique(found.labels[image] * size + found.predicted[trial, image], return_inverse=True)
    images = np.bincount(place, 1 / found.tested.sum(0)[image]).round(9)
    codes = runs[trial] * len(cells) + place
    counts = np.bincount(codes, minlength=(runs.max() + 1) * len(cells)).reshape(-1, len(cells))[found.complete]
    true, predicted = np.divmod(cells, size)
    names = np.array(found.classes, dtype=object)
    ends = (counts.min(0), counts.max(0)) if len(counts) else (None, None)
    of_class = np.bincount(found.labels, minlength=size)[true]
    return pandas.DataFrame(
        dict(zip(COLUMNS, (names[true], names[predicted], images, images / of_class, *ends), strict=True))
    )
