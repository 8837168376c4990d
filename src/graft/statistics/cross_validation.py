"""Repeated cross-validation: the variance of a mean over folds, for other data sets of the same size.

Each repeat tests each of the I images once, by a trial that trained on images of other folds. With p_j the mean of
image j over repeats, s^2 the variance of p over images, F trials a repeat, J trials in all, and M^2 the variance
between the means of folds, the variance of the mean over all images is estimated by the larger of

    (1 + SHARED) s^2 / I        and        s^2 / I + max(0, M^2 - s^2 F / I) / J.

The first counts the images as if they were tested by one network, and adds what all training sets share: they are drawn
from the same images, so that no difference between them shows how another data set's would differ (Bengio and
Grandvalet, Journal of Machine Learning Research 5, 2004: no estimate of this variance is unbiased). SHARED is the
smallest round number that covers the data sets of docs/statistics.md. The second counts that trials on few of many
images differ among each other by more than their images say.

The correction of Nadeau and Bengio (Machine Learning 52, 2003), for repeated cross-validation by Bouckaert and Frank
(PAKDD 2004), M^2 (1 / J + 1 / (F - 1)) with J - 1 degrees of freedom, covers, too, but is wider: it knows no image, and
takes the variance from as few numbers as there are folds.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from graft.nouns import counted, few
from graft.statistics import crossed
from graft.statistics.crossed import Estimate, Parts

SHARED = 0.5  # variance that training sets of one data set have in common, in units of s^2 / I
MOST_NAMED = 5  # folds


def estimate(values: np.ndarray, groups: np.ndarray | None = None) -> Estimate:
    """Return the mean over the tested images, with its variance for other data sets of the same size.

    Each image has the same weight, however many repeats have tested it.

    Args:
        values: of each trial on each image, (trials, images), or paired differences; NaN where it did not test it.
        groups: (images,), the unit that an image belongs to; None: each image is a unit.
    """
    seen = ~np.isnan(values).all(0)
    values = values[:, seen]
    found = crossed.estimate(np.nanmean(values, 0)[None], None if groups is None else groups[seen])
    between, raw = _between_trials(values, found.variance)
    shared, degrees = SHARED * found.variance, found.degrees
    if between > shared:
        spread = found.variance**2 / found.degrees + raw**2 / (len(values) - 1)
        shared, degrees = between, (found.variance + between) ** 2 / spread
    parts = Parts(shared, found.variance, 0.0)
    variance = found.variance + shared
    return replace(found, variance=variance, degrees=degrees, parts=parts, num_trials=len(values))


def _between_trials(values: np.ndarray, variance: float) -> tuple[float, float]:
    """Return the variance between trials divided by their number, beyond that of their images, and with it."""
    counts = (~np.isnan(values)).sum(1)
    values, counts = values[counts > 0], counts[counts > 0]
    if len(values) < 2:
        return 0.0, 0.0
    raw = float(np.nanmean(values, 1).var(ddof=1)) / len(values)
    of_images = variance * values.shape[1] * float((1 / counts).mean()) / len(values)
    return max(0.0, raw - of_images), raw


def unequal_folds(seeds: Iterable[int], num_folds: int) -> str:
    """Say which folds fewer trials have tested than others; empty if all were tested by as many.

    A mean over trials then weighs the images of these folds less than those of others.

    Args:
        seeds: of the trials that finished.
        num_folds: number of folds; 0 without folds.

    Example:
        >>> unequal_folds([0, 1, 2, 3, 4], 3)
        'of 3 folds, fold 2 has 1 of 2 trials'
    """
    tests = np.bincount([seed % num_folds for seed in seeds], minlength=num_folds) if num_folds else np.zeros(1, int)
    most = int(tests.max())
    words = [f"fold {fold} has {count} of {counted(most, 'trial')}" for fold, count in enumerate(tests) if count < most]
    return f"of {num_folds} folds, {few(words, MOST_NAMED)}" if words else ""
