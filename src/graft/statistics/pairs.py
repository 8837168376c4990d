"""One pair of configurations: the difference of their accuracies, its p and its interval, not yet corrected for others.

- Both know every image: the crossed design (module crossed), with the least variance of module intervals.
- Both are one computation, and know every image: images alone, by McNemar's test (module mcnemar).
- Otherwise: the paired t-test over the trials that both have, for these test images only.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from graft.statistics import cross_validation, mcnemar
from graft.statistics.accuracies import Accuracies, Measured, is_bounded, is_copies
from graft.statistics.crossed import NONE, Estimate, Prior, estimate, prior, squares
from graft.statistics.intervals import TOLERANCE, floored
from graft.statistics.outcomes import Outcomes, aligned
from graft.statistics.overlap import common_share, for_other_pools, share_of_all
from graft.statistics.simultaneous import shrunk

# If all n differences have the same sign, the sign test, which assumes nothing about their distribution, gives
# p = 2 / 2^n: 6.3 % for 5 pairs, 3.1 % for 6. A t-test may report p < 5 % for 3 pairs, but only by assuming normally
# distributed differences, which 3 pairs cannot show.
MIN_TRIALS = 6
# With outcomes, images tell more than trials: simulated intervals cover 93 to 96 % with 3 trials, 88 to 97 % with 2.
MIN_CROSSED = 3

Interval = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Pair:
    """The first of two configurations less the second.

    Attributes:
        per_trial: differences of the common trials, (trials,).
        p: two-sided; None with too few common trials for a test.
        interval: of the mean difference, by the probability to miss it; None if nothing can be said.
        estimate: of the mean difference; None where images are unknown or trials too few.
        design: what varies: "crossed" (draws and images), "images", or "trials".
    """

    per_trial: np.ndarray
    p: float | None
    interval: Callable[[float], Interval | None]
    estimate: Estimate | None
    design: str


def paired_outcomes(configurations: Sequence[Accuracies]) -> list[Outcomes] | None:
    """Return the outcomes of the trials that all have, on the same two images or more; None if there are none."""
    known = [one.outcomes for one in configurations if isinstance(one, Measured)]
    if len(known) < len(configurations) or len({one.folds for one in known}) > 1:
        return None
    found = aligned(known)
    return found if found is not None and len(found[0].images) > 1 and found[0].seeds else None


class Joint:
    """All configurations of a comparison together: how their means vary and go with each other."""

    def __init__(self, configurations: Sequence[Accuracies]):
        self._seeds = [set(one) for one in configurations]
        self._common = [seed for seed in configurations[0] if all(seed in other for other in configurations)]
        self._by_trial = np.array([[one[seed] for seed in self._common] for one in configurations])  # (k, trials)
        self._squares, outcomes = None, paired_outcomes(configurations)
        if len(self._common) >= MIN_CROSSED and outcomes is not None and not outcomes[0].folds:
            self._squares = squares([one.values for one in outcomes], outcomes[0].groups)
        self._shares = [one.share for one in outcomes or ()]
        self._bounded = all(one.bounded for one in outcomes or ())
        self._worth = min((one.worth for one in outcomes or ()), default=math.inf)

    def prior(self, place: int) -> Prior:
        """Return what the variances between trials of all pairs say of one with the configuration at a place.

        Only pairs of those that draw as many images as it does say something: trials of fewer images vary more. None
        do where configurations have different trials.
        """
        if len(self._common) < 2 or any(len(seeds) != len(self._common) for seeds in self._seeds):
            return NONE
        between = np.atleast_2d(np.cov(self._by_trial)) if self._squares is None else self._squares.trials
        alike = [one for one in range(len(between)) if self._draw_alike(one, place)]
        return prior(between[np.ix_(alike, alike)], len(self._common) - 1)

    def _draw_alike(self, first: int, second: int) -> bool:
        return not self._shares or self._shares[first] == self._shares[second]

    def estimate(self, first: int, second: int, usual: Prior) -> Estimate | None:
        """Return the estimate of a difference whose common trials all configurations have; None of others."""
        if self._squares is None or self._seeds[first] & self._seeds[second] != set(self._common):
            return None
        share = self._shares[first]
        if not self._draw_alike(first, second):
            both = [first, second]
            between = np.diag(self._squares.trials - self._squares.rest)[both].clip(0)
            share, usual = share_of_all([self._shares[one] for one in both], between.tolist()), NONE
        found = _counted(self._squares.difference(first, second, usual), self._bounded, self._worth)
        return for_other_pools(found, share)

    def covariance(self, places: Sequence[int]) -> np.ndarray:
        """Return the covariance of some configurations' means, up to a factor; the identity where it is unknown."""
        chosen = np.ix_(places, places)
        if self._squares is not None:
            return shrunk(self._squares.covariance()[chosen], self._squares.degrees())
        if len(self._common) < 2 or len(places) < 2:
            return np.eye(len(places))
        return shrunk(np.cov(self._by_trial)[chosen], len(self._common) - 1)


def pair(first: Accuracies, second: Accuracies, known: Estimate | None = None, usual: Prior = NONE) -> Pair:
    """Compare two configurations.

    Args:
        first: accuracies by seed.
        second: accuracies by seed.
        known: the estimate of their difference over the trials that both have, where it has been computed already.
        usual: of the variance between trials, from other pairs, where images are unknown.
    """
    per_trial = np.array([first[seed] - second[seed] for seed in first if seed in second], dtype=float)
    if is_copies(first) and is_copies(second):
        outcomes = paired_outcomes([first, second])
        return _over_trials(per_trial[:1], usual) if outcomes is None else _over_images(per_trial[:1], *outcomes)
    if known is None and len(per_trial) >= MIN_CROSSED and (outcomes := paired_outcomes([first, second])) is not None:
        known = _difference(*outcomes)
    bounded = is_bounded(first) and is_bounded(second)
    return _over_trials(per_trial, usual, bounded) if known is None else _crossed(per_trial, floored(known))


def _crossed(per_trial: np.ndarray, found: Estimate) -> Pair:
    """Compare two configurations over trials and images."""
    p = float(2 * stats.t.sf(abs(found.mean) / found.error, found.degrees)) if abs(found.mean) > TOLERANCE else 1.0
    return Pair(per_trial, p, lambda level: _within(found.interval(level), found.bounded), found, "crossed")


def estimated(outcomes: Outcomes) -> Estimate:
    """Return the mean of a configuration, or of a difference, by the design of its trials."""
    if outcomes.folds:
        found = cross_validation.estimate(outcomes.values, outcomes.groups)
        return _counted(found, outcomes.bounded, outcomes.worth)
    rows = outcomes.values[:1] if outcomes.copies else outcomes.values
    found = _counted(estimate(rows, outcomes.groups), outcomes.bounded, outcomes.worth)
    return for_other_pools(found, outcomes.share)


def _counted(found: Estimate, bounded: bool, worth: float) -> Estimate:
    """Return an estimate of outcomes, whose units count as no more than they are worth."""
    return replace(found, bounded=bounded, units=min(found.units, worth))


def _difference(first: Outcomes, second: Outcomes) -> Estimate:
    values, share = first.values - second.values, common_share([first, second])
    return estimated(replace(first, values=values, share=share, copies=False))


def _over_images(per_trial: np.ndarray, first: Outcomes, second: Outcomes) -> Pair:
    """Compare two configurations of one computation each."""
    values = first.values[:1] - second.values[:1]
    p = mcnemar.p_value(values[0], first.groups)
    found = _counted(estimate(values, first.groups), first.bounded, first.worth)
    return Pair(
        per_trial, p, lambda level: _within(mcnemar.interval(found, p, level), found.bounded), floored(found), "images"
    )


def _over_trials(per_trial: np.ndarray, usual: Prior, bounded: bool = True) -> Pair:
    """Compare the trials of two configurations by Student's paired t-test."""
    count = len(per_trial)
    if count < MIN_TRIALS:
        return Pair(per_trial, None, lambda level: None, None, "trials")
    if np.ptp(per_trial) <= TOLERANCE:
        # Without variance t is infinite, or 0 / 0 for equal configurations: p is the sign test's, or 1. An interval
        # of width 0 would claim to know the difference exactly.
        p = 1.0 if abs(per_trial[0]) < TOLERANCE else 2.0 ** (1 - count)
        return Pair(per_trial, p, lambda level: None, None, "trials")
    mean, variance, degrees = float(per_trial.mean()), float(per_trial.var(ddof=1)), count - 1
    error, degrees = (usual.drawn(variance, degrees) / count) ** 0.5, degrees + usual.degrees

    def interval(level: float) -> Interval:
        half = float(stats.t.isf(level / 2, degrees)) * error
        return _within((mean - half, mean + half), bounded)

    return Pair(per_trial, float(2 * stats.t.sf(abs(mean) / error, degrees)), interval, None, "trials")


def _within(interval: Interval, bounded: bool = True) -> Interval:
    return (max(-1.0, interval[0]), min(1.0, interval[1])) if bounded else interval
