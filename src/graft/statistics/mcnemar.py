"""Two configurations of one computation each, compared over images alone: exact McNemar, or sign flips of units.

With b images that only the first has right and c that only the second has, and no difference between them, b is
binomial of b + c with probability 1/2 (McNemar, Psychometrika 12, 1947): an exact test. Where values are not only right
and wrong, or images belong to groups, the signs of the units' sums are flipped instead: all flips of 13 units or fewer
that are not 0, else 10,000 of a fixed seed (Winkler et al., Neuroimage 123, 2015, for units of several observations).
"""

import itertools

import numpy as np
from scipy import stats

from graft.statistics.crossed import Estimate
from graft.statistics.intervals import floored

ALL_FLIPS = 13  # units; 2^13 = 8,192
FLIPS = 10_000


def p_value(differences: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Return the two-sided p of the differences of two configurations on images.

    Args:
        differences: (images,), 1 where only the first is right, -1 where only the second is, or any numbers.
        groups: (images,), the unit that an image belongs to; None: each image is a unit.
    """
    if groups is not None:
        _, unit = np.unique(groups, return_inverse=True)
        differences = np.bincount(unit, weights=differences)
    sums = differences[differences != 0]
    if groups is None and np.isin(sums, (-1, 1)).all():
        return float(stats.binomtest(int((sums > 0).sum()), len(sums)).pvalue) if len(sums) else 1.0
    found = abs(sums.sum()) * (1 - 1e-9)  # a flip that gives the same sum may differ in its last bit
    if len(sums) <= ALL_FLIPS:
        flips = np.array(list(itertools.product((-1.0, 1.0), repeat=len(sums))))
        return float(np.mean(np.abs(flips @ sums) >= found))
    random, more = np.random.default_rng(0), 1  # the flip that was found is one of them
    for _ in range(FLIPS // 1000):  # 1,000 at once: 10,000 images are 80 MB
        more += int((np.abs(random.choice((-1.0, 1.0), (1000, len(sums))) @ sums) >= found).sum())
    return more / (FLIPS + 1)


def interval(difference: Estimate, p: float, level: float) -> tuple[float, float]:
    """Return the interval of a difference over images, which excludes 0 exactly if p < level.

    It is Student's, with the least variance of a paired proportion. Its nearer end is moved to 0 where the exact test
    says otherwise: beyond 0 if the test finds nothing, up to the smallest number before 0 if it does.

    Args:
        difference: of one trial.
        p: of `p_value`.
        level: probability to miss the difference.
    """
    low, high = floored(difference).interval(level)
    if p >= level:
        return min(low, 0.0), max(high, 0.0)
    if difference.mean > 0:
        return max(low, np.nextafter(0.0, 1.0)), high
    return low, min(high, np.nextafter(0.0, -1.0))
