"""Summaries of configurations' accuracies, and the significance of the differences between them.

Trial k draws the same images under every configuration, and all trials are tested on the same images: an easy draw or
an easy image raises both accuracies of a pair, and cancels in their difference. Where every image's outcome is known,
means and differences are estimated for other draws and other images (module crossed), else for other draws alone, by
Student's t (module pairs). Comparisons with the best are corrected as such, and pairs that were chosen beforehand for
their number (module simultaneous): where all configurations are equal, at most 5 % of sweeps call any different.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from graft.nouns import counted
from graft.statistics.accuracies import Accuracies, Measured, is_bounded
from graft.statistics.crossed import Estimate
from graft.statistics.intervals import LEVEL, TOLERANCE, estimate_interval, mean_interval
from graft.statistics.pairs import MIN_TRIALS, Joint, Pair, estimated, pair
from graft.statistics.simultaneous import together, with_the_best

BOTH = "training draws and test images"  # what an interval counts


@dataclass(frozen=True)
class Spread:
    """Summary of one configuration's accuracies, in [0, 1].

    Attributes:
        std: sample standard deviation; None for a single trial.
        interval: 95 % interval of the mean; None if nothing can be said, as of one trial without outcomes.
        counts: what the interval counts, in words: training draws, test images, or both.
        estimate: of the mean, for other draws and other images; None where images are unknown.
    """

    num_trials: int
    mean: float
    low: float
    high: float
    std: float | None
    interval: tuple[float, float] | None
    counts: str | None
    estimate: Estimate | None = None


@dataclass(frozen=True)
class Difference:
    """Difference between two configurations' accuracies, over the trials that both have.

    Attributes:
        per_trial: d_k, of shape (common trials,), positive where the first is better.
        p: two-sided, corrected; None with too few common trials for a test.
        interval: of the mean difference, simultaneous, in [-1, 1]; it excludes 0 exactly if p < 5 %. None as p is, and
            where trials do not differ and images are unknown.
        estimate: of the mean difference, for other draws and other images; None where images are unknown.
        quantile: Student's, corrected: the interval is mean +- quantile errors of the estimate; None if that is.
        design: what varies: "crossed" (draws and images), "images" (all trials are the same computation), or "trials".
    """

    per_trial: np.ndarray
    p: float | None
    interval: tuple[float, float] | None
    estimate: Estimate | None = None
    quantile: float | None = None
    design: str = "trials"

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
    if isinstance(accuracies, Measured):
        outcomes, found = accuracies.outcomes, estimated(accuracies.outcomes)
        fixed = found.num_trials == 1 or outcomes.share >= 1  # nothing tells how other training images would do
        counts = "test images" if fixed else BOTH
        return Spread(len(values), mean, low, high, std, estimate_interval(found), counts, found)
    ends, counts = mean_interval(values.tolist(), images, is_bounded(accuracies)) or (None, None)
    return Spread(len(values), mean, low, high, std, ends, counts)


def summary(accuracies: Accuracies, images: int | None = None) -> dict[str, float | list[float] | str | None]:
    """Return a `Spread` as `result.json` stores it: mean, min, max, std, ci95, and what this interval counts."""
    overall = spread(accuracies, images)
    ci95 = None if overall.interval is None else list(overall.interval)
    described = {"mean": overall.mean, "min": overall.low, "max": overall.high, "std": overall.std}
    return {**described, "ci95": ci95, "ci95_counts": overall.counts}


def ranks(configurations: Mapping[str, Accuracies]) -> dict[str, int]:
    """Return the configurations' ranks, the highest mean first; equal means have one rank and keep their order."""
    left = {name: float(np.mean(list(accuracies.values()))) for name, accuracies in configurations.items()}
    if not np.isfinite(list(left.values())).all():
        raise ValueError("a configuration has a mean that is no number, and cannot be ranked")
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

    Example:
        Eight trials of three heads; trials 4 to 7 draw easier images than 0 to 3.

        >>> draws = [0.80, 0.80, 0.81, 0.81, 0.90, 0.90, 0.91, 0.91]
        >>> noise = [0.01, -0.01, 0.02, -0.02, 0.01, -0.01, 0.02, -0.02]
        >>> plain = dict(enumerate(draws))
        >>> dense = {seed: draw + 0.05 + noise[seed] / 5 for seed, draw in enumerate(draws)}
        >>> wide = {seed: draw + 0.05 + noise[seed] for seed, draw in enumerate(draws)}
        >>> compared = compare_all({"plain": plain, "dense": dense, "wide": wide})
        >>> compared.best, compared.num_tested
        ('dense', 2)
        >>> for name, difference in compared.differences.items():
        ...     low, high = difference.interval
        ...     print(f"{name}: {difference.mean:.3f} ({low:.3f} to {high:.3f}) {difference.significant}")
        plain: -0.050 (-0.054 to -0.046) True
        wide: 0.000 (-0.012 to 0.012) False
    """
    placed = ranks(configurations)
    best, *tied = (name for name, rank in placed.items() if rank == 1)
    names, values = list(configurations), list(configurations.values())
    place = names.index(best)
    joint = Joint(values)
    usual = joint.prior(place)
    pairs = [pair(one, values[place], joint.estimate(own, place, usual), usual) for own, one in enumerate(values)]
    tested = [own for own in range(len(names)) if own == place or pairs[own].p is not None]
    p = np.array([pairs[own].p if own != place else 1.0 for own in tested], dtype=float)
    corrected, levels = with_the_best(tested.index(place), p, joint.covariance(tested))
    found = dict(zip(tested, zip(corrected.tolist(), levels.tolist(), strict=True), strict=True))
    to_best = {
        name: with_level(pairs[own], *found.get(own, (None, LEVEL))) for own, name in enumerate(names) if own != place
    }
    equal = [name for name in tied if not to_best[name].significant]  # its common trials may differ from its mean
    return Comparison(best, to_best, len(tested) - 1, equal)


def differences(pairs: Sequence[tuple[Accuracies, Accuracies]]) -> list[Difference]:
    """Test several pairs together; they must have been chosen before their results were seen.

    p-values and intervals are corrected for the pairs that have enough common trials, so that all their intervals hold
    simultaneously with 95 % probability.
    """
    found = [pair(first, second) for first, second in pairs]
    tested = [index for index, one in enumerate(found) if one.p is not None]
    distinct = list({id(one): one for index in tested for one in pairs[index]}.values())
    covariance = np.eye(len(tested))
    if len(tested) > 1:
        places = {id(one): place for place, one in enumerate(distinct)}
        contrasts = np.zeros((len(tested), len(distinct)))
        for row, index in enumerate(tested):
            contrasts[row, places[id(pairs[index][0])]] += 1
            contrasts[row, places[id(pairs[index][1])]] -= 1
        covariance = contrasts @ Joint(distinct).covariance(range(len(distinct))) @ contrasts.T
    corrected, level = together(np.array([found[index].p for index in tested], dtype=float), covariance)
    p = dict(zip(tested, corrected.tolist(), strict=True))
    return [with_level(one, p.get(index), level) for index, one in enumerate(found)]


def with_level(found: Pair, p: float | None, level: float) -> Difference:
    """Return a pair's difference with its corrected p, if it was tested, and its interval of a level of its own."""
    estimate = found.estimate
    quantile = None if estimate is None else float(stats.t.isf(level / 2, estimate.degrees))
    interval = None if p is None else found.interval(level)
    return Difference(found.per_trial, p, interval, estimate, quantile, found.design)


def describe_method(num_tested: int, pairs: str, least: int = MIN_TRIALS) -> str:
    """Name the tests of `compare_all` and `differences` for the reader of a report.

    Args:
        num_tested: number of tested pairs.
        pairs: which pairs these are, as in "with the best of 8 configurations".
        least: number of common trials that a test needs.
    """
    if not num_tested:
        return (
            f"No differences were tested: two configurations need {least} common trials (seeds); "
            "those shown are means over common trials."
        )
    return (
        "Differences: paired tests over common trials (seeds), p and simultaneous 95 % intervals corrected for "
        f"{counted(num_tested, 'comparison')} ({pairs})."
    )
