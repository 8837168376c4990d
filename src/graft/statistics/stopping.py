"""Trials as needed: which configurations of a sweep get further trials, and when more trials cannot tell.

Trials come in rounds, and every round ends with a look at the results. A test at 5 % at each look would find a
difference among equals far more often than in 5 % of sweeps. Alpha spending (Lan and DeMets, Biometrika 70, 659, 1983)
divides the 5 % among the looks: each of L looks may spend LEVEL / L, which is their linear function, with the look as
its clock. The levels add up to LEVEL, and each is divided by the number of pairs that the sweep may compare. These are
Bonferroni's sums, and hold whatever the looks have in common: all of them test on the same images, so that they share
most of their error where images dominate.

A pair's difference over n trials has the variance of the crossed design (crossed.py), of which trials and rest shrink
with n, and images do not. A pair that is undecided gets more trials only if these could tell: the chance that it is
told apart after m trials is the predictive power (Spiegelhalter, Freedman and Blackburn, Controlled Clinical Trials 7,
8, 1986), with D now its mean difference and V_n the variance after n trials:

    D_m ~ N(D, V_n - V_m),    told apart if |D_m| > z V_m^(1/2), or equal if |D_m| < margin - z V_m^(1/2)

Stopping because a chance is small declares nothing, so it costs no error. What a correction for draws from one pool has
added to V_n (overlap.py) shrinks with neither.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import stats

from graft.statistics.accuracies import Accuracies, Measured, is_copies, of_seeds
from graft.statistics.comparison import ranking
from graft.statistics.intervals import LEVEL, TOLERANCE
from graft.statistics.margin import Verdict
from graft.statistics.outcomes import Outcomes
from graft.statistics.pairs import MIN_TRIALS, Pair, estimated, pair, paired_outcomes

GROWTH = 1.5  # of the number of trials from look to look
LEAST_CHANCE = 0.2  # of a decision, below which an undecided pair gets no more trials
# More trials are not worth their time if endlessly many would narrow the interval of a mean by less than a tenth.
NARROWEST = 0.9

ONLY_IMAGES = "only more test images could tell"
ONLY_TRIALS = "more trials than trials_max could tell"
ONLY_DRAWS = "only other images to train on could tell"


def looks(least: int, most: int, folds: int | None = None) -> list[int]:
    """Return the number of trials at each look: from `least`, half as many again each time, to `most`.

    With folds each look has whole repeats of them: `least` and what follows are rounded up, `most` is rounded down.

    >>> looks(6, 60), looks(6, 64, folds=5)
    ([6, 9, 14, 21, 32, 48, 60], [10, 15, 25, 40, 60])
    """
    folds = folds or 1
    sizes, most = [math.ceil(least / folds) * folds], most // folds * folds
    while sizes[-1] < most:
        sizes.append(min(math.ceil(sizes[-1] * GROWTH / folds) * folds, most))
    return sizes


def levels(sizes: Sequence[int]) -> list[float]:
    """Return the level that each look may spend; together LEVEL. Looks at fewer trials than a test needs spend none.

    Args:
        sizes: the number of trials at each look.
    """
    tests = [size >= MIN_TRIALS for size in sizes]
    return [LEVEL / sum(tests) if test else 0.0 for test in tests]


@dataclass(frozen=True)
class Test:
    """How pairs are tested at one look.

    Attributes:
        level: that each pair may spend at this look.
        last_level: that each pair may spend at the last look, for predictions of more trials.
        most: the largest number of trials.
        margin: configurations that differ by less are equal; in [0, 1].
    """

    level: float
    last_level: float
    most: int
    margin: float = 0.0


@dataclass
class Rounds:
    """The rounds of a sweep: how many trials each configuration gets, and what each look has found.

    Attributes:
        sizes: number of trials at each look.
        pairs: number of pairs of configurations that the sweep may compare.
        margin: configurations that differ by less are equal; in [0, 1].
        trials: the number of trials that each configuration shall have, by name.
        out: those that get no more trials, each worse than the best or equal to it.
        than: the best at that time, by the name of each that is out.
        undecided: those that more trials could not tell from the best, each with what could.
        going: those that get more trials: the best, and those which more trials could tell from it.
        best: the one of the highest mean that is not out.
        number: of looks so far.
    """

    sizes: Sequence[int]
    pairs: int
    margin: float
    trials: dict[str, int]
    out: dict[str, Verdict] = field(default_factory=dict)
    than: dict[str, str] = field(default_factory=dict)
    undecided: dict[str, str] = field(default_factory=dict)
    going: list[str] = field(default_factory=list)
    best: str = ""
    number: int = 0

    @property
    def ended(self) -> bool:
        """Whether no configuration gets more trials."""
        return self.number > 0 and (not self.going or self.number == len(self.sizes))

    def look(self, configurations: Mapping[str, Accuracies]) -> None:
        """Compare the configurations that are not out with the best of them, and give those that go on more trials.

        Args:
            configurations: by name; only the trials that each shall have so far count. One that is missing has
                failed, and gets no more.
        """
        spent = [level / max(1, self.pairs) for level in levels(self.sizes)]
        test = Test(spent[self.number], spent[-1], self.sizes[-1], self.margin)
        left = {
            name: of_seeds(values, sorted(values)[: self.trials[name]])
            for name, values in configurations.items()
            if name not in self.out
        }
        self.number += 1
        self.undecided, self.going = {}, []
        if not left:
            return
        self.best = best_of(left)
        for name in (name for name in ranking(left) if name != self.best):
            compared = pair(left[name], left[self.best])
            verdict = _decide(compared, test)
            if verdict:
                self.out[name], self.than[name] = verdict, self.best
                continue
            could_tell = _could_tell(left[name], left[self.best], compared, test)
            if could_tell is None:
                self.going.append(name)
            else:
                self.undecided[name] = could_tell
        if len(configurations) == 1 and could_narrow(left[self.best]):
            self.going = [self.best]
        elif self.going:
            self.going.insert(0, self.best)
        if not self.ended:
            self.trials |= dict.fromkeys(self.going, self.sizes[self.number])


def best_of(configurations: Mapping[str, Accuracies]) -> str:
    """Return the configuration of the highest mean among those of the most trials: few trials may have easy draws."""
    most = max(map(len, configurations.values()))
    return ranking({name: values for name, values in configurations.items() if len(values) == most})[0]


def could_narrow(accuracies: Accuracies) -> bool:
    """Return whether more trials of one configuration would narrow the 95 % interval of its mean by a tenth or more."""
    if is_copies(accuracies):
        return False
    if len(accuracies) < 2 or not isinstance(accuracies, Measured):
        return True
    outcomes = accuracies.outcomes
    if outcomes.folds:
        return _noise(outcomes) > 1 - NARROWEST**2
    found = estimated(outcomes)
    # What the draws share stays, however many trials there are: it is in the variance, but not in its parts.
    return found.variance - found.parts.trials - found.parts.rest < NARROWEST**2 * found.variance


def _noise(outcomes: Outcomes) -> float:
    """Return the share of the variance of images' means over repeats of folds that further repeats would remove."""
    tested = ~np.isnan(outcomes.values)
    counts, seen = tested.sum(0), outcomes.values[:, tested.any(0)]
    if counts[counts > 0].min() < 2:
        return 1.0
    of_means = float(np.nanmean(seen, axis=0).var(ddof=1))
    within = float((np.nanvar(seen, axis=0, ddof=1) / counts[counts > 0]).mean())
    return min(1.0, within / of_means) if of_means > 0 else 0.0


def _decide(found: Pair, test: Test) -> Verdict | None:
    """Return whether the first of a pair is worse than the second or equal to it; None if that is undecided."""
    if found.p is None or test.level <= 0 or (len(found.per_trial) < MIN_TRIALS and found.design != "images"):
        return None
    # Two one-sided tests, of which only one can err; the report has them for the crossed design only.
    around = found.interval(2 * test.level if found.design == "crossed" else test.level)
    if around is None and np.abs(found.per_trial).max() < TOLERANCE:
        around = (0.0, 0.0)
    if around is not None and -test.margin < around[0] and around[1] < test.margin:
        return Verdict.EQUAL
    return Verdict.WORSE if found.per_trial.mean() < 0 and found.p < test.level else None


def _could_tell(first: Accuracies, second: Accuracies, found: Pair, test: Test) -> str | None:
    """Return what could tell a pair apart if not the trials that are left; None if these could."""
    number, noise = len(found.per_trial), None
    if is_copies(first) and is_copies(second):
        return ONLY_IMAGES
    if number < min(MIN_TRIALS, test.most):
        return None
    outcomes = paired_outcomes([first, second])
    if outcomes is not None and outcomes[0].folds:
        noise = _noise(replace(outcomes[0], values=outcomes[0].values - outcomes[1].values))
    if number < test.most and _chance(found, test, test.most, noise) >= LEAST_CHANCE:
        return None
    if _chance(found, test, math.inf, noise) >= LEAST_CHANCE:
        return ONLY_TRIALS
    of_images = found.estimate.parts.images if found.estimate is not None and noise is None else math.inf
    return ONLY_DRAWS if _chance(found, test, math.inf, noise, of_images) < LEAST_CHANCE else ONLY_IMAGES


def _chance(found: Pair, test: Test, trials: float, noise: float | None, of_images: float = 0.0) -> float:
    """Return the chance that a pair is told apart, or found equal, after some number of trials.

    Args:
        found: the pair.
        test: how it is tested.
        trials: their number.
        noise: with folds, the share of the variance that endlessly many trials remove; None: what `found` says.
        of_images: a part of the variance that further test images remove.
    """
    number, mean = len(found.per_trial), float(found.per_trial.mean())
    variance = shrinking = float(found.per_trial.var(ddof=1)) / number
    if found.estimate is not None:
        parts, variance = found.estimate.parts, found.estimate.variance
        shrinking = min(variance, parts.trials + parts.rest) if noise is None else noise * variance
    lost = min(variance, shrinking * (1 - number / trials) + of_images)
    bound = float(stats.norm.isf(test.last_level / 2)) * math.sqrt(variance - lost) + TOLERANCE
    spread = math.sqrt(lost) + 1e-12
    apart = stats.norm.sf((bound - mean) / spread) + stats.norm.cdf((-bound - mean) / spread)
    inside = test.margin - bound
    if inside <= 0:
        return float(apart)
    ends = (np.array([-inside, inside]) - mean) / spread
    return float(apart + np.diff(stats.norm.cdf(ends))[0])
