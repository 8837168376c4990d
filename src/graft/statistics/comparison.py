"""Significance of the differences between configurations: paired tests over trials, corrected for their number.

Notation, for two configurations a and b and the trials k = 1 ... n that both finished:

    d_k = a_k - b_k                          difference of their accuracies in trial k
    D = mean(d),  S = std(d) / sqrt(n)       mean difference and its standard error
    t = D / S                                paired t-test: Student's t with n - 1 degrees of freedom gives p
    D +- S * t(1 - LEVEL / (2 m), n - 1)     its interval, for m tested pairs (Bonferroni); t(q, f) is a quantile

Trial k draws the same images under every configuration: an easy draw raises both a_k and b_k, and cancels in d_k.
For m pairs with p-values sorted p_(1) <= ... <= p_(m), Holm's correction is

    p'_(i) = min(1, max over j <= i of (m + 1 - j) p_(j))

and a difference is significant if p' < LEVEL: where all pairs are equal, at most 5 % of sweeps call any pair different.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from graft.statistics.accuracies import Accuracies, Copies
from graft.statistics.intervals import LEVEL, TOLERANCE, mean_interval

# If all n differences have the same sign, the sign test, which assumes nothing about their distribution, gives
# p = 2 / 2^n: 6.3 % for 5 pairs, 3.1 % for 6. A t-test may report p < 5 % for 3 pairs, but only by assuming normally
# distributed differences, which 3 pairs cannot show.
MIN_TRIALS = 6


@dataclass(frozen=True)
class Spread:
    """Summary of one configuration's accuracies, in [0, 1].

    Attributes:
        std: sample standard deviation; None for a single trial.
        interval: 95 % interval of the mean; None for a single trial, or if nothing can be said.
        counts: what the interval counts, in words: training draws, or test images.
    """

    num_trials: int
    mean: float
    low: float
    high: float
    std: float | None
    interval: tuple[float, float] | None
    counts: str | None


@dataclass(frozen=True)
class Difference:
    """Difference between two configurations' accuracies, over the trials that both have.

    Attributes:
        per_trial: d_k, of shape (common trials,), positive where the first is better.
        p: two-sided, Holm-corrected; None with fewer than `MIN_TRIALS` common trials.
        interval: of the mean difference, Bonferroni-corrected, in [-1, 1]; None as p is, and without variance.
    """

    per_trial: np.ndarray
    p: float | None
    interval: tuple[float, float] | None

    @property
    def mean(self) -> float | None:
        """The mean difference; None without common trials."""
        return float(self.per_trial.mean()) if len(self.per_trial) else None

    @property
    def significant(self) -> bool:
        return self.p is not None and self.p < LEVEL


@dataclass(frozen=True)
class Comparison:
    """All configurations compared with the one of the highest mean.

    Attributes:
        best: its name; the first of several with equal means.
        differences: of every other configuration to the best.
        num_tested: pairs that had enough common trials; the correction is for their number.
        tied: the others whose mean equals the best's.
    """

    best: str
    differences: dict[str, Difference]
    num_tested: int
    tied: Sequence[str] = ()


def spread(accuracies: Accuracies, images: int | None = None) -> Spread:
    """Summarize the accuracies of one configuration, which has at least one trial.

    Args:
        accuracies: by seed.
        images: number of different images on which they were measured; None if unknown.
    """
    values = np.array(list(accuracies.values()))
    low, high = float(values.min()), float(values.max())
    mean = min(max(float(values.mean()), low), high)  # the mean of equal numbers may differ from them in its last bit
    std = float(values.std(ddof=1)) if len(values) > 1 else None
    interval = mean_interval(values.tolist(), images)
    ends, counts = (None, None) if interval is None else ((interval.low, interval.high), interval.counts)
    return Spread(len(values), mean, low, high, std, ends, counts)


def summary(values: Sequence[float], images: int | None = None) -> dict[str, float | list[float] | str | None]:
    """Return a `Spread` as `result.json` stores it: mean, min, max, std, ci95, and what this interval counts."""
    overall = spread(dict(enumerate(values)), images)
    ci95 = None if overall.interval is None else list(overall.interval)
    described = {"mean": overall.mean, "min": overall.low, "max": overall.high, "std": overall.std}
    return {**described, "ci95": ci95, "ci95_counts": overall.counts}


def ranks(configurations: Mapping[str, Accuracies]) -> dict[str, int]:
    """Return the configurations' ranks, the highest mean first; equal means have one rank and keep their order."""
    left = {name: spread(accuracies).mean for name, accuracies in configurations.items()}
    ranked: dict[str, int] = {}
    while left:
        lowest = max(left.values()) - TOLERANCE
        ranked |= dict.fromkeys((name for name, mean in left.items() if mean >= lowest), len(ranked) + 1)
        left = {name: mean for name, mean in left.items() if name not in ranked}
    return ranked


def ranking(configurations: Mapping[str, Accuracies]) -> list[str]:
    """Return the configurations from the highest mean to the lowest; equal ones in their given order."""
    return list(ranks(configurations))


def compare_all(configurations: Mapping[str, Accuracies]) -> Comparison:
    """Compare every configuration with the best one.

    Choosing the best by its mean compares all pairs implicitly, so p-values are corrected for k(k - 1) / 2
    comparisons. A correction for the k - 1 pairs with the best would find winners among equals too often.

    Example:
        Eight trials of three heads; trials 4 to 7 draw easier images than 0 to 3.

        >>> draws = [0.80, 0.80, 0.81, 0.81, 0.90, 0.90, 0.91, 0.91]
        >>> noise = [0.01, -0.01, 0.02, -0.02, 0.01, -0.01, 0.02, -0.02]
        >>> plain = dict(enumerate(draws))
        >>> dense = {seed: draw + 0.05 + noise[seed] / 5 for seed, draw in enumerate(draws)}
        >>> wide = {seed: draw + 0.05 + noise[seed] for seed, draw in enumerate(draws)}
        >>> compared = compare_all({"plain": plain, "dense": dense, "wide": wide})
        >>> compared.best, compared.num_tested
        ('dense', 3)
        >>> for name, difference in compared.differences.items():
        ...     low, high = difference.interval
        ...     print(f"{name}: {difference.mean:.3f} ({low:.3f} to {high:.3f}) {difference.significant}")
        plain: -0.050 (-0.054 to -0.046) True
        wide: 0.000 (-0.015 to 0.015) False
    """
    placed = ranks(configurations)
    best, *tied = (name for name, rank in placed.items() if rank == 1)
    pairs = list(itertools.combinations(configurations, 2))
    tested = differences([(configurations[first], configurations[second]) for first, second in pairs])
    to_best = {}
    for (first, second), difference in zip(pairs, tested, strict=True):
        if first == best:
            to_best[second] = _negated(difference)
        elif second == best:
            to_best[first] = difference
    equal = [name for name in tied if not to_best[name].significant]  # its common trials may differ from its mean
    return Comparison(best, to_best, sum(difference.p is not None for difference in tested), equal)


def differences(pairs: Sequence[tuple[Accuracies, Accuracies]]) -> list[Difference]:
    """Test several pairs together; they must have been chosen before their results were seen.

    p-values have Holm's correction (Scandinavian Journal of Statistics 6, 1979) for the number m of pairs with
    enough common trials, intervals have Bonferroni's, so that all m hold simultaneously with 95 % probability.
    Bonferroni is more conservative than Holm: an interval may include 0 although p < 5 %.
    """
    per_trial = [_per_trial(first, second) for first, second in pairs]
    enough = [index for index, values in enumerate(per_trial) if len(values) >= MIN_TRIALS]
    p, intervals = _paired_t_tests([per_trial[index] for index in enough])
    tested = dict(zip(enough, zip(holm(p), intervals, strict=True), strict=True))
    return [Difference(values, *tested.get(index, (None, None))) for index, values in enumerate(per_trial)]


def _per_trial(first: Accuracies, second: Accuracies) -> np.ndarray:
    """Return the differences of the common trials; two configurations of copies have one, whatever their number."""
    values = np.array([first[seed] - second[seed] for seed in first if seed in second], dtype=float)
    return values[:1] if isinstance(first, Copies) and isinstance(second, Copies) else values


def holm(p: Sequence[float]) -> list[float]:
    """Correct p-values for their number, by Holm's formula above."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    return corrected.tolist()


def describe_method(num_tested: int, pairs: str) -> str:
    """Name the tests of `compare_all` and `differences` for the reader of a report.

    Args:
        num_tested: number of tested pairs.
        pairs: which pairs these are, as in "all pairs of 8 configurations".
    """
    if not num_tested:
        return f"No differences were tested: two configurations need {MIN_TRIALS} common trials (seeds)."
    count = "1 comparison" if num_tested == 1 else f"{num_tested} comparisons"
    return (
        f"Differences: paired t-tests over common trials (seeds), p with Holm's correction for {count} ({pairs}), "
        "simultaneous 95 % intervals by Bonferroni's correction."
    )


def _negated(difference: Difference) -> Difference:
    interval = difference.interval
    return Difference(-difference.per_trial, difference.p, interval and (-interval[1], -interval[0]))


def _paired_t_tests(per_trial: Sequence[np.ndarray]) -> tuple[list[float], list[tuple[float, float] | None]]:
    """Return each pair's uncorrected p-value, and its interval corrected for the number of pairs.

    Args:
        per_trial: differences of each pair, each of shape (n,), where n differs between pairs.
    """
    p = np.empty(len(per_trial))
    intervals: list[tuple[float, float] | None] = [None] * len(per_trial)
    by_length: dict[int, list[int]] = {}
    for index, values in enumerate(per_trial):
        if np.ptp(values) > TOLERANCE:
            by_length.setdefault(len(values), []).append(index)
            continue
        # Without variance t is infinite, or 0 / 0 for equal configurations: p is the sign test's, or 1. An interval
        # of width 0 would claim to know the difference exactly.
        p[index] = 1.0 if abs(values[0]) < TOLERANCE else 2.0 ** (1 - len(values))
    # One call for all pairs of the same n: 64 configurations are 2,016 pairs.
    for same in by_length.values():
        stacked = np.stack([per_trial[index] for index in same])  # (pairs, n)
        tested = stats.ttest_rel(stacked, np.zeros_like(stacked), axis=1)
        interval = tested.confidence_interval(1 - LEVEL / len(per_trial))
        p[same] = tested.pvalue
        for index, low, high in zip(same, interval.low.clip(min=-1), interval.high.clip(max=1), strict=True):
            intervals[index] = float(low), float(high)
    return p.tolist(), intervals
