"""Which configurations differ by more than luck: paired comparisons of their trials, corrected for their number.

Trial k has the same images under every configuration, so that trials are compared pair by pair: what makes one draw
of images easy makes it easy for all, and cancels.
"""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.05
# The surest outcome of n pairs, all differences of one sign, has the two-sided chance 2 / 2^n without any assumption
# about their distribution: 6.3 % for 5 pairs, 3.1 % for 6. A t-test may say less than 5 % of 3 pairs, but only
# because it assumes normal differences, which 3 pairs cannot show.
MIN_TRIALS = 6
SAME = 1e-9  # differences closer than this are equal: an image more or less is at least a million times as much

Accuracies = Mapping[int, float]  # of the finished trials, by seed


@dataclass(frozen=True)
class Spread:
    """One configuration's accuracies, in [0, 1]; the interval is Student's t of the mean, None for one trial."""

    trials: int
    mean: float
    low: float
    high: float
    std: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Difference:
    """How one configuration's accuracies differ from another's, over the trials that both have.

    Args:
        each: differences by trial, of shape (common trials,), positive where the first is better.
        p: two-sided and corrected; None if the trials are too few to tell.
        interval: of the mean difference, corrected as well; None likewise.
    """

    each: np.ndarray
    p: float | None
    interval: tuple[float, float] | None

    @property
    def mean(self) -> float | None:
        return float(self.each.mean()) if len(self.each) else None

    @property
    def told(self) -> bool:
        """Whether the two can be told apart."""
        return self.p is not None and self.p < LEVEL


@dataclass(frozen=True)
class Comparison:
    """All configurations beside the one with the highest mean."""

    best: str
    differences: dict[str, Difference]  # of every other configuration to the best
    pairs: int  # how many were tested, and corrected for


def spread(accuracies: Accuracies) -> Spread:
    """Summarize one configuration's trials, of which there is at least one."""
    values = np.array(list(accuracies.values()))
    mean, low, high = (float(number) for number in (values.mean(), values.min(), values.max()))
    if len(values) == 1:
        return Spread(1, mean, low, high, None, None)
    half = _half(values)
    return Spread(len(values), mean, low, high, float(values.std(ddof=1)), (mean - half, mean + half))


def summary(values: Sequence[float]) -> dict[str, float | list[float] | None]:
    """Summarize trials as `result.json` does: mean, lowest, highest, sample standard deviation, 95 % interval.

    The interval is Student's t; it and the deviation are None for a single trial.
    """
    own = spread(dict(enumerate(values)))
    interval = None if own.interval is None else list(own.interval)
    return {"mean": own.mean, "min": own.low, "max": own.high, "std": own.std, "ci95": interval}


def ranking(configurations: Mapping[str, Accuracies]) -> list[str]:
    """Return the configurations from the highest mean to the lowest; equal ones in their order."""
    means = {name: np.mean(list(accuracies.values())) for name, accuracies in configurations.items()}
    return sorted(means, key=lambda name: -round(float(means[name]) / SAME))


def compare_all(configurations: Mapping[str, Accuracies]) -> Comparison:
    """Compare every configuration with the best one.

    The best is best because its mean came out highest, so that it was compared with all others on the way, and all
    others with each other: the correction is for all k(k - 1) / 2 pairs. For the k - 1 pairs with the best alone, it
    would find winners among equals too often.
    """
    winner = ranking(configurations)[0]
    pairs = list(itertools.combinations(configurations, 2))
    tested = differences([(configurations[first], configurations[second]) for first, second in pairs])
    beside = {}
    for (first, second), difference in zip(pairs, tested, strict=True):
        if first == winner:
            beside[second] = _turned(difference)
        elif second == winner:
            beside[first] = difference
    return Comparison(winner, beside, sum(difference.p is not None for difference in tested))


def differences(pairs: Sequence[tuple[Accuracies, Accuracies]]) -> list[Difference]:
    """Test pairs of configurations that were named before their results were seen, together.

    The paired t-test, with Holm's correction (Scandinavian Journal of Statistics 6, 1979) for the number of those
    pairs that have enough trials; intervals are Bonferroni's for the same number, so that all hold together in 95 %
    of cases. They are a little wider than Holm's test is strict: one may just include 0 where p is below 5 %.
    """
    each = [_each(first, second) for first, second in pairs]
    enough = [index for index, values in enumerate(each) if len(values) >= MIN_TRIALS]
    p = dict(zip(enough, holm(_p_values([each[index] for index in enough])), strict=True))
    return [
        Difference(values, p.get(index), _interval(values, len(enough)) if index in p else None)
        for index, values in enumerate(each)
    ]


def holm(p: Sequence[float]) -> list[float]:
    """Correct p-values for their number: the smallest times m, the next times m - 1, never falling, at most 1."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    return corrected.tolist()


def method(comparisons: int, among: str) -> str:
    """Name what `compare_all` and `differences` do, for the reader of a report.

    Args:
        comparisons: how many pairs were tested.
        among: which pairs these are, as in "all pairs of 8 configurations".
    """
    if not comparisons:
        return f"No differences were tested: two configurations need {MIN_TRIALS} common trials (seeds)."
    count = "1 comparison" if comparisons == 1 else f"{comparisons} comparisons"
    return (
        f"Differences: paired t-test over common trials (seeds), p by Holm's correction for {count} ({among}), "
        "intervals by Bonferroni's, so that 95 % holds for all of them together."
    )


def _each(first: Accuracies, second: Accuracies) -> np.ndarray:
    seeds = [seed for seed in first if seed in second]
    return np.array([first[seed] - second[seed] for seed in seeds])


def _turned(difference: Difference) -> Difference:
    interval = difference.interval
    return Difference(-difference.each, difference.p, interval and (-interval[1], -interval[0]))


def _p_values(each: Sequence[np.ndarray]) -> list[float]:
    """Return each paired t-test's p-value; those of as many trials in one call, since 64 configurations are 2,016."""
    p = np.empty(len(each))
    varied: dict[int, list[int]] = {}
    for index, values in enumerate(each):
        if np.ptp(values) > SAME:
            varied.setdefault(len(values), []).append(index)
        elif abs(values[0]) < SAME:
            p[index] = 1.0
        else:  # no variance, of which the t-test would make p = 0: the sign test's p holds here, too
            p[index] = 2.0 ** (1 - len(values))
    for same in varied.values():
        stacked = np.stack([each[index] for index in same])
        p[same] = stats.ttest_rel(stacked, np.zeros_like(stacked), axis=1).pvalue
    return p.tolist()


def _interval(values: np.ndarray, comparisons: int) -> tuple[float, float]:
    mean, half = float(values.mean()), _half(values, comparisons)
    return mean - half, mean + half


def _half(values: np.ndarray, comparisons: int = 1) -> float:
    """Return half the interval of a mean, Bonferroni's for some comparisons."""
    return _quantile(comparisons, len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))


@functools.cache
def _quantile(comparisons: int, freedom: int) -> float:
    return float(stats.t.ppf(1 - LEVEL / 2 / comparisons, freedom))
