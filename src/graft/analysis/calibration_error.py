"""The expected calibration error: how far predictions' confidences are from how often they are right."""

import numpy as np

BIN, MOST_BINS = 20, 15  # images in a bin, at least; bins, at most


def calibration_bins(confidence: np.ndarray, correct: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Return each bin's mean confidence, accuracy, images, lowest and highest confidence, (bins, 5).

    Bins have equally many images, at least `BIN`, and therefore less bias where images are few (Nguyen and O'Connor,
    EMNLP 2015). Images of one confidence count alike, so that their order does not matter, and bins of nothing else
    are one bin: a solved head may be sure of nearly all images.

    Args:
        confidence: probability of the most probable class, (images,), one at least.
        correct: whether it is the true one, (images,).
        weight: of each image, (images,); None: equal ones.
    """
    weight = np.ones(len(confidence)) if weight is None else weight
    count = int(np.clip((weight.sum() + 1e-6) // BIN, 1, MOST_BINS))  # thirds may sum to a little less
    values, place = np.unique(confidence, return_inverse=True)
    right = (np.bincount(place, weight * correct) / np.bincount(place, weight))[place]
    rows = []
    for part in np.array_split(np.argsort(place, kind="stable"), count):
        own, images = values[place[part]], weight[part].sum()
        means = [float(weight[part] @ each) / images for each in (own, right[part])]
        if rows and own[-1] == rows[-1][3]:  # the lowest of the bin before, so that both have this confidence only
            images += rows.pop()[2]
        rows.append((*means, images, own[0], own[-1]))
    return np.array(rows)


def calibration_error(confidence: np.ndarray, correct: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the expected calibration error, in [0, 1]: the mean distance of confidence and accuracy over bins.

    Naeini et al., AAAI 2015. The arguments are those of `calibration_bins`.
    """
    sure, right, images, *_ = calibration_bins(confidence, correct, weight).T
    return float(abs(sure - right) @ images / images.sum())
