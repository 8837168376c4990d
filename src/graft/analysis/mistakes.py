"""The test images that trials got wrong, the most certain mistakes first."""

import numpy as np
import pandas

from graft.analysis.predictions import Predictions, once


@once
def mistakes(found: Predictions) -> pandas.DataFrame:
    """Return a row for each test image that at least one trial got wrong.

    The first are those that the largest share of their trials got wrong, of equal ones those with the most probable
    wrong class, or where its probability is not stored, the least probable true one; then by number. The columns are
    the image's number, path, hash, class and group, and

    - prediction: the wrong class that most trials say, of equally frequent ones the first;
    - wrong: the share of the trials that tested the image and got it wrong;
    - trials: number of trials that tested it; those that are one computation count as one;
    - said: number of trials that said the prediction; others may have said another wrong class;
    - probability: of the prediction, the mean over the trials that said it; None where it is not stored;
    - probability_of_label: of the true class, the mean over the trials that were wrong;
    - seeds: of the trials that were wrong, with spaces between them.
    """
    wrong = found.wrong
    (places,) = np.nonzero(wrong.any(0))
    most = _most_frequent(found)
    probability = found.probability_of(most)
    table = about(found, places)
    table["prediction"] = np.array(found.classes, dtype=object)[most[places]]
    table["wrong"] = wrong.sum(0)[places] / found.tests[places]
    table["trials"] = found.tests[places]
    own = wrong[:, places]
    said = own & (found.predicted[:, places] == most[places])
    table["said"] = said.sum(0)
    table["probability"] = None if probability is None else probability[:, places].mean(0, where=said)
    table["probability_of_label"] = found.of_label[:, places].mean(0, np.float64, where=own)
    seeds = np.array(found.outcomes.seeds).astype(str)
    table["seeds"] = [" ".join(seeds[column]) for column in own.T]
    certain = -table["probability_of_label"] if probability is None else table["probability"]
    order = np.lexsort((table["number"], -certain.to_numpy(float), -table["wrong"].to_numpy(float)))
    return table.iloc[order].reset_index(drop=True)


def about(found: Predictions, places: np.ndarray) -> pandas.DataFrame:
    """Return the number, path, hash, class and group of images at some places, (number of them,)."""
    return found.images.iloc[places].reset_index(names="number")


def _most_frequent(found: Predictions) -> np.ndarray:
    """Return the place of each image's most frequent wrong class, (images,); 0 for images that no trial got wrong."""
    trial, image = np.nonzero(found.wrong)
    size = len(found.classes)
    cells, counts = np.unique(image * size + found.predicted[trial, image], return_counts=True)
    place, said = np.divmod(cells, size)
    order = np.lexsort((-said, counts))  # the last one is kept: the most frequent, and of those the first class
    most = np.zeros(len(found.images), dtype=np.int64)
    most[place[order]] = said[order]
    return most
