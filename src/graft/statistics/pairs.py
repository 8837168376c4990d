"""One pair of configurations: the difference of their accuracies, its p and its interval, not yet corrected for others.

- Both know every image: the crossed design (module crossed), with the least variance of module intervals.
- Both are one computation, and know every image: images alone, by McNemar's test (module mcnemar).
- Otherwise: the paired t-test over the trials that both have, for these test images only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from graft.statistics import mcnemar
from graft.statistics.accuracies import Accuracies, Measured, is_copies
from graft.statistics.crossed import Estimate, estimate
from graft.statistics.intervals import TOLERANCE, floored
from graft.statistics.outcomes import Outcomes, aligned

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
    """Return the outcomes of the trials that all have, on the same images; None if some lack outcomes or images."""
    known = [one.outcomes for one in configurations if isinstance(one, Measured)]
    if len(known) < len(configurations) or any(one.folds for one in known):
        return None
    found = aligned(known)
    same = all(len(one.images) == len(found[0].images) for one in known)
    return found if same and len(found[0].images) > 1 else None


def pair(first: Accuracies, second: Accuracies, known: Estimate | None = None) -> Pair:
    """Compare two configurations.

    Args:
        first: accuracies by seed.
        second: accuracies by seed.
        known: the estimate of their difference over the trials that both have, where it has been computed already.
    """
    seeds = [seed for seed in first if seed in second]
    per_trial = np.array([first[seed] - second[seed] for seed in seeds], dtype=float)
    copies = is_copies(first) and is_copies(second)
    outcomes = paired_outcomes([first, second])
    if copies:
        per_trial = per_trial[:1]
        return _over_images(per_trial, *outcomes) if outcomes and seeds else _over_trials(per_trial)
    if outcomes is None or len(seeds) < MIN_CROSSED:
        return _over_trials(per_trial)
    found = floored(known or estimate(outcomes[0].values - outcomes[1].values, outcomes[0].groups))
    p = float(2 * stats.t.sf(abs(found.mean) / found.error, found.degrees)) if abs(found.mean) > TOLERANCE else 1.0
    return Pair(per_trial, p, lambda level: _within(found.interval(level)), found, "crossed")


def _over_images(per_trial: np.ndarray, first: Outcomes, second: Outcomes) -> Pair:
    """Compare two configurations of one computation each."""
    values = first.values[:1] - second.values[:1]
    p, found = mcnemar.p_value(values[0], first.groups), estimate(values, first.groups)
    return Pair(per_trial, p, lambda level: _within(mcnemar.interval(found, p, level)), floored(found), "images")


def _over_trials(per_trial: np.ndarray) -> Pair:
    """Compare the trials of two configurations by Student's paired t-test."""
    if len(per_trial) < MIN_TRIALS:
        return Pair(per_trial, None, lambda level: None, None, "trials")
    if np.ptp(per_trial) <= TOLERANCE:
        # Without variance t is infinite, or 0 / 0 for equal configurations: p is the sign test's, or 1. An interval
        # of width 0 would claim to know the difference exactly.
        p = 1.0 if abs(per_trial[0]) < TOLERANCE else 2.0 ** (1 - len(per_trial))
        return Pair(per_trial, p, lambda level: None, None, "trials")
    tested = stats.ttest_1samp(per_trial, 0.0)

    def interval(level: float) -> Interval:
        found = tested.confidence_interval(1 - level)
        return _within((float(found.low), float(found.high)))

    return Pair(per_trial, float(tested.pvalue), interval, None, "trials")


def _within(interval: Interval) -> Interval:
    return max(-1.0, interval[0]), min(1.0, interval[1])
