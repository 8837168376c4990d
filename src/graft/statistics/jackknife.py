"""Metrics that are no mean over images: the jackknife over images, combined with how trials differ.

With I images, M_i the metric of trial i and M_i(j) that without image j, the pseudo-value of image j in trial i is

    x_ij = I M_i - (I - 1) M_i(j), moved by a constant of the trial so that the mean over images is M_i

(Dorfman, Berbaum and Metz, Investigative Radiology 27, 1992; Hillis, Berbaum and Metz, Academic Radiology 15, 2008, for
the constant). To the crossed design (module crossed) they are values like any other: its variance between images is
then the jackknife's. Of a plain mean, such as the accuracy, they are the values themselves. With groups, a group is
left out.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from graft.statistics.outcomes import Outcomes, of_rarest


def pseudo_values(whole: np.ndarray, without: np.ndarray) -> np.ndarray:
    """Return the pseudo-values, (trials, units), by the formula above.

    Args:
        whole: (trials,), the metric of all images.
        without: (trials, units), that without each image or group.

    Raises:
        ValueError: without some image or group there is no metric, or there is one only.
    """
    if without.shape[1] < 2 or not np.isfinite(without).all():
        raise ValueError("without one of its images, or groups, too few are left of some class to compute it")
    units = without.shape[1]
    return whole[:, None] - (units - 1) * (without - without.mean(1, keepdims=True))


def jackknifed(outcomes: Outcomes, metric: Callable[[int, np.ndarray], float]) -> Outcomes:
    """Return outcomes whose mean over images is a metric: its pseudo-values, a column for each image or group.

    It computes the metric once for each trial and image; `macro_f1` and `auroc` know a faster way.

    Args:
        outcomes: of the trials and images.
        metric: returns the metric of one trial (its row) from the weights of the images, (images,), which are 1 or 0.
    """
    names, unit = _units(outcomes)
    trials, images = outcomes.values.shape
    whole = np.array([metric(trial, np.ones(images)) for trial in range(trials)])
    without = np.array(
        [[metric(trial, (unit != left).astype(float)) for left in range(len(names))] for trial in range(trials)]
    )
    return of_units(outcomes, names, pseudo_values(whole, without))


def balanced_accuracy(outcomes: Outcomes) -> Outcomes:
    """Return outcomes whose mean over images is the balanced accuracy: the mean of the classes' accuracies.

    Raises:
        ValueError: the labels are unknown.
    """
    classes, unit, names = _classes(outcomes)
    right = _summed(outcomes.values, classes, unit, len(names))  # (trials, classes, units)
    tested = _summed(np.ones((1, len(classes))), classes, unit, len(names))
    return of_units(outcomes, names, _left_out(right, tested, _mean_of_ratios))


def macro_f1(outcomes: Outcomes, predicted: np.ndarray) -> Outcomes:
    """Return outcomes whose mean over images is the macro F1: the mean of the classes' 2 TP / (2 TP + FP + FN).

    Args:
        outcomes: with labels.
        predicted: (trials, images), class numbers.

    Raises:
        ValueError: the labels are unknown.
    """
    classes, unit, names = _classes(outcomes)
    _, known = np.unique(np.concatenate([np.asarray(outcomes.labels), predicted.ravel()]), return_inverse=True)
    predicted = known[len(classes) :].reshape(predicted.shape)
    truth = known[: len(classes)]
    count, trials = int(known.max()) + 1, len(predicted)
    hits = np.zeros((trials, count, len(names)))
    named = np.zeros_like(hits)  # predictions and labels of a class: 2 TP + FP + FN
    for trial in range(trials):
        np.add.at(hits[trial], (truth, unit), 2.0 * (predicted[trial] == truth))
        np.add.at(named[trial], (truth, unit), 1.0)
        np.add.at(named[trial], (predicted[trial], unit), 1.0)
    return of_units(outcomes, names, _left_out(hits, named, _mean_of_ratios))


def auroc(outcomes: Outcomes, scores: np.ndarray) -> Outcomes:
    """Return outcomes whose mean over images is the area under the ROC curve, of each class against the rest.

    It is the mean over classes of the share of pairs, one image of the class and one of another, in the right order;
    equal scores count half. Of two classes both have the same area.

    Args:
        outcomes: with labels, the places of classes in `scores`.
        scores: (trials, images, classes), higher where the class is more likely.

    Raises:
        ValueError: the labels are unknown, or all the same.
    """
    return _one_against_rest(outcomes, scores, _area)


def average_precision(outcomes: Outcomes, scores: np.ndarray) -> Outcomes:
    """Return outcomes whose mean over images is the average precision, of each class against the rest.

    It is the mean over classes, and over a class's images, of the precision among all images that score as high or
    higher: scikit-learn's `average_precision_score`. The arguments and errors are those of `auroc`.
    """
    return _one_against_rest(outcomes, scores, _precision)


def _one_against_rest(
    outcomes: Outcomes,
    scores: np.ndarray,
    of_class: Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]],
) -> Outcomes:
    """Return the pseudo-values of the mean over classes of a metric of one class against the rest.

    Args:
        outcomes: with labels.
        scores: (trials, images, classes).
        of_class: returns the metric of a mask and scores, (images,), and what it is without each image, (images,), NaN
            if that is the only one.
    """
    labels = outcomes.labels
    if labels is None or len(np.unique(labels)) < 2:
        raise ValueError("this metric needs the labels of images of two classes")

    def mean(trial: int, chosen: np.ndarray) -> tuple[float, np.ndarray]:
        present = np.unique(labels[chosen])
        found = [of_class(labels[chosen] == each, scores[trial, chosen, each]) for each in present]
        without = np.array([each for _, each in found])
        return float(np.mean([one for one, _ in found])), _quotient(np.nansum(without, 0), (~np.isnan(without)).sum(0))

    if outcomes.groups is not None:
        return jackknifed(outcomes, lambda trial, weights: mean(trial, weights > 0)[0])
    every = np.ones(len(labels), dtype=bool)
    found = [mean(trial, every) for trial in range(len(scores))]
    whole, without = np.array([one for one, _ in found]), np.array([each for _, each in found])
    return of_units(outcomes, outcomes.images, pseudo_values(whole, without))


def _area(positive: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the area under the ROC curve, with all images and without each."""
    above, below = np.sort(scores[positive]), np.sort(scores[~positive])
    right = np.where(positive, _lower(below, scores), len(above) - _lower(above, scores))  # pairs in the right order
    total, counts = right[positive].sum(), (len(above), len(below))
    left = np.where(positive, (counts[0] - 1) * counts[1], counts[0] * (counts[1] - 1)).astype(float)
    without = np.divide(total - right, left, out=np.full(len(scores), np.nan), where=left > 0)
    return float(total / (counts[0] * counts[1])) if all(counts) else np.nan, without


def _lower(ordered: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return how many of some ordered scores are lower than each of others; equal ones count half."""
    return (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")) / 2


def _precision(positive: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the average precision, with all images and without each.

    Without an image, the precision at an image of the class that scores no higher has one image less among all, and if
    the left out one is of the class, one less among those of the class.
    """
    own = np.sort(scores[positive])
    size = len(scores) - np.searchsorted(np.sort(scores), own, "left")  # images that score as high or higher
    hits = len(own) - np.searchsorted(own, own, "left")  # those of the class
    upto = np.searchsorted(own, scores, "right")  # images of the class that score no higher than each image
    kept = _sums(hits / size)
    less = np.maximum(size - 1, 1)
    other, same = (_sums((hits - gone) / less)[upto] for gone in (0, 1))
    itself = ((hits - 1) / less)[np.minimum(upto, len(own)) - 1]
    above = kept[-1] - kept[upto]
    of_others = (above + other) / len(own)
    of_own = (above + same - itself) / (len(own) - 1) if len(own) > 1 else np.full(len(scores), np.nan)
    return float(kept[-1] / len(own)), np.where(positive, of_own, of_others)


def _sums(values: np.ndarray) -> np.ndarray:
    """Return the sums of the first 0, 1, 2, ... values."""
    return np.concatenate([[0.0], np.cumsum(values)])


def _left_out(
    above: np.ndarray, below: np.ndarray, metric: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return the pseudo-values of a metric of two counts of each class, each of shape (trials, classes, units)."""
    top, bottom = above.sum(2), below.sum(2)
    whole = metric(top[..., None], np.broadcast_to(bottom, top.shape)[..., None])[:, 0]
    return pseudo_values(whole, metric(top[..., None] - above, bottom[..., None] - below))


def _mean_of_ratios(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return the mean over classes, (trials, units), of those that are left; NaN where none is."""
    below = np.broadcast_to(below, above.shape)
    ratios = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    return _quotient(ratios.sum(1), (below > 0).sum(1))


def _quotient(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _summed(values: np.ndarray, classes: np.ndarray, unit: np.ndarray, units: int) -> np.ndarray:
    """Return the sums of each class in each unit, (trials, classes, units)."""
    sums = np.zeros((len(values), int(classes.max()) + 1, units))
    for own, of_trial in zip(sums, values, strict=True):
        np.add.at(own, (classes, unit), of_trial)
    return sums


def _classes(outcomes: Outcomes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each image's class from 0 and unit from 0, and the names of the units."""
    if outcomes.labels is None:
        raise ValueError("this metric needs the labels of the images")
    names, unit = _units(outcomes)
    return np.unique(outcomes.labels, return_inverse=True)[1], unit, names


def _units(outcomes: Outcomes) -> tuple[np.ndarray, np.ndarray]:
    """Return the names of the images or groups, and each image's unit from 0."""
    if outcomes.groups is None:
        return outcomes.images, np.arange(len(outcomes.images))
    return np.unique(outcomes.groups, return_inverse=True)


def of_units(outcomes: Outcomes, names: np.ndarray, values: np.ndarray) -> Outcomes:
    """Return outcomes with other values, (trials, units), whose columns are images or groups of these names."""
    worth = math.inf if outcomes.labels is None else of_rarest(outcomes)
    grouped = outcomes.groups is not None
    labels, units = None if grouped else outcomes.labels, names.astype(str)
    return replace(outcomes, images=units, values=values, labels=labels, groups=None, worth=worth, of_groups=grouped)
