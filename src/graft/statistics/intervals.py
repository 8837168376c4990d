"""The 95 % interval of a mean accuracy: for other training draws and other test images.

The mean p of trials x images with the variance v and f degrees of freedom (module crossed) is worth n = p (1 - p) / v
independent images. Its interval is Wilson's (J. Am. Stat. Assoc. 22, 1927) for p of n, with Student's quantile of f
degrees instead of the normal one. For large n it is p +- t sqrt(v); near 0 and 1 it stays within 0 to 1.

Where nearly all images are right, v is known from nearly none. With I images, their binomial variance b = p (1 - p) / I
and the number of wrong images w = I p (1 - p), v is then drawn towards b, as if half a wrong image more had shown it:

    v' = max(v, (w v + b / 2) / (w + 1/2))

Without a wrong image this is Wilson's interval of I images: four right of four are 51 to 100 %.

A difference D of two configurations has the interval D +- t sqrt(v). Images on which they differ in all trials are few,
and there may be some of which none was tested. So with the part V of v that images explain, v is no smaller than

    V + 2 / I^2

which is Bonett and Price's variance (J. Educ. Behav. Stat. 37, 2012) of paired proportions: it adds one image to each
side. That other disagreements were those of single trials does not make it smaller: they say nothing of such images.

Metrics of unequal classes owe more to an image of a rare class, so their I is at most the one of `outcomes.of_rarest`.

Where only the trials' accuracies are known, Student's t counts their spread alone, or Wilson's interval the images
alone.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from graft.statistics.crossed import Estimate, estimate

LEVEL = 0.05
NORMAL = float(stats.norm.ppf(1 - LEVEL / 2))
# For equal accuracies. One image of a million in one trial is more; the last of six decimals is not.
TOLERANCE = 1e-6
UNKNOWN = 1e12  # Student's quantile of 0.1 degrees of freedom, from which nothing follows
PRIOR = 0.5  # of an image, that speaks for the binomial variance; chosen by simulation, see docs/statistics.md
ADDED = 2.0  # disagreements, by Bonett and Price


def mean_interval(
    values: Sequence[float], images: int | None, bounded: bool = True
) -> tuple[tuple[float, float], str] | None:
    """Return the interval of the mean of several trials, and what it counts: training draws, or test images.

    Student's t counts how the trials, and so their training draws, differ. Where they hardly differ it would be
    narrower than the interval of a proportion of the images, which all trials share: then Wilson's interval of that
    proportion is the answer. Four images, all right in all trials, are 51 to 100 %, and not 100 to 100 %.
    Of a single trial, or of equal ones on an unknown number of images, nothing can be said: None.

    Args:
        values: of the trials.
        images: number of different images on which they were measured; None if unknown.
        bounded: whether they are in [0, 1], where the interval then stays; else they are losses with a minus.
    """
    if len(values) < 2:
        return None
    mean, std = float(np.mean(values)), float(np.std(values, ddof=1))
    found = []
    if np.ptp(values) > TOLERANCE:
        half = float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1)) * std / len(values) ** 0.5
        low, high = (max(0.0, mean - half), min(1.0, mean + half)) if bounded else (mean - half, min(0.0, mean + half))
        found.append(((low, high), "training draws"))
    if images and bounded:  # a mean of losses is no proportion
        found.append((proportion_interval(mean, images), "test images"))
    return max(found, key=lambda one: one[0][1] - one[0][0], default=None)


def proportion_interval(mean: float, images: int) -> tuple[float, float]:
    """Return Wilson's interval of a proportion of images; between two counts, from the lower's to the upper's."""
    few, many = math.floor(mean * images + TOLERANCE), math.ceil(mean * images - TOLERANCE)
    return _wilson(few / images, images, NORMAL)[0], _wilson(many / images, images, NORMAL)[1]


def share_interval(right: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float] | None:
    """Return the interval of the share of images with a property, of one model as it is; None for a single group.

    Args:
        right: whether each image has it, (images,).
        groups: (images,), the unit that an image belongs to, which the interval then counts; None: Wilson's of images.
    """
    if groups is None:
        return proportion_interval(float(np.mean(right)), len(right))
    if len(np.unique(groups)) == 1:
        return None
    return estimate_interval(estimate(np.asarray(right, dtype=float)[None], groups))


def estimate_interval(found: Estimate) -> tuple[float, float]:
    """Return the interval of a configuration's mean for other trials and other images.

    It is that of the formula above; of a loss, Student's.
    """
    if not found.bounded:
        low, high = found.interval(LEVEL)
        return low, min(high, 0.0)  # a loss, which has a minus here, ends at 0
    mean = min(max(found.mean, 0.0), 1.0)
    wrong = mean * (1 - mean) * found.units
    if wrong < TOLERANCE:
        return _wilson(mean, found.units, NORMAL)
    variance, degrees = found.variance, found.degrees
    if found.proportion:
        own = variance * wrong / (wrong + PRIOR)
        drawn = own + PRIOR / (wrong + PRIOR) * mean * (1 - mean) / found.units
        if drawn > variance:
            variance, degrees = drawn, degrees * (drawn / own) ** 2 if own > 0 else math.inf  # only v has degrees
    quantile = float(stats.t.ppf(1 - LEVEL / 2, degrees))
    low, high = _wilson(mean, mean * (1 - mean) / variance, quantile) if variance > 0 else (mean, mean)
    # One wrong image of a single trial shall not lift the end that no wrong image has, nor a metric's pseudo-values.
    return min(low, _wilson(1.0, found.units, NORMAL)[0]), max(high, _wilson(0.0, found.units, NORMAL)[1])


def floored(difference: Estimate) -> Estimate:
    """Return the estimate of a difference with the variance, by the formula above, that it has at least."""
    if not difference.bounded:
        return difference
    parts = difference.parts
    by_images = parts.images + parts.rest if difference.num_trials > 1 else difference.variance
    least = by_images + ADDED / difference.units**2
    if least <= difference.variance:
        return difference
    known = difference.variance / least  # only this share has the degrees of freedom
    degrees = difference.degrees / known**2 if known > 1e-6 else math.inf
    more = replace(parts, images=parts.images + least - difference.variance)
    return replace(difference, variance=least, degrees=degrees, parts=more)


def _wilson(mean: float, images: float, quantile: float) -> tuple[float, float]:
    """Return Wilson's interval of a proportion of any positive number of images."""
    if quantile > UNKNOWN:  # its square may be no number; the interval goes from 0 to 1 in all digits
        return 0.0, 1.0
    worth = quantile**2 / images
    middle = (mean + worth / 2) / (1 + worth)
    half = (mean * (1 - mean) * worth + worth**2 / 4) ** 0.5 / (1 + worth)
    return max(0.0, middle - half), min(1.0, middle + half)
