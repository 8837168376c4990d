"""The 95 % interval of a mean accuracy: of other training draws, or of other test images where that is wider."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.05
# For equal accuracies. One image of a million in one trial is more; the last of six decimals is not.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Interval:
    """A 95 % interval of a mean accuracy, in [0, 1].

    Attributes:
        low: lower end.
        high: upper end.
        counts: what would differ if the experiment were repeated: training draws, or test images.
    """

    low: float
    high: float
    counts: str


def mean_interval(values: Sequence[float], images: int | None) -> Interval | None:
    """Return the interval of the mean of several trials; None for a single trial, or if nothing can be said.

    Student's t counts how the trials, and so their training draws, differ. Where they hardly differ it would be
    narrower than the interval of a proportion of the images, which all trials share: then Wilson's interval of that
    proportion is the answer. Four images, all right in all trials, are 51 to 100 %, and not 100 to 100 %.

    Args:
        values: of the trials.
        images: number of different images on which they were measured; None if unknown.
    """
    if len(values) < 2:
        return None
    mean, std = float(np.mean(values)), float(np.std(values, ddof=1))
    found = []
    if np.ptp(values) > TOLERANCE:
        half = float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1)) * std / len(values) ** 0.5
        found.append(Interval(max(0.0, mean - half), min(1.0, mean + half), "training draws"))
    if images:
        low, high = proportion_interval(mean, images)
        found.append(Interval(low, high, "test images"))
    return max(found, key=lambda interval: interval.high - interval.low, default=None)


def proportion_interval(mean: float, images: int) -> tuple[float, float]:
    """Return Wilson's interval of a proportion of images; between two counts, from the lower's to the upper's."""
    few, many = math.floor(mean * images + TOLERANCE), math.ceil(mean * images - TOLERANCE)
    low = stats.binomtest(few, images).proportion_ci(1 - LEVEL, method="wilson").low
    high = stats.binomtest(many, images).proportion_ci(1 - LEVEL, method="wilson").high
    return max(0.0, float(low)), min(1.0, float(high))
