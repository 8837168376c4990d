"""What a difference comes to: better, worse, equal within a margin or undecided; and where the doubt comes from.

Notation, for the difference D of two configurations with its standard error S and f degrees of freedom (crossed.py), a
margin M and a quantile c:

    better, worse    D - c S > 0, D + c S < 0: the interval D +- c S excludes 0
    equal            |D| + c' S < M: the interval D +- c' S is inside +-M
    undecided        neither

c is the two-sided simultaneous quantile of all comparisons: each spends the probability p = P(t_f > c) on either side.
"Equal" is two one-sided tests (Schuirmann, J. Pharmacokinet. Biopharm. 15, 657, 1987), of which only one can err, so
that each may spend both sides: P(t_f > c') = 2 p. For a single comparison c is t(.975, f), c' is t(.95, f), and the
tests have the level 5 % at the 90 % interval. With several comparisons c' is simultaneous as c is: each comparison's
probability of any false verdict stays 2 p, so that the margin adds nothing to the error rate of all of them, which c
holds. "Equal" goes before "better": inside the margin a difference does not matter, even if it is real.
"""

from collections.abc import Mapping
from enum import StrEnum

from scipy import special

from graft.statistics.crossed import Estimate

VARIES = {
    "all": "training draws, initialization and batch order",
    "data": "training draws",
    "init": "initialization and batch order",
}


class Verdict(StrEnum):
    """What one configuration is, compared with another."""

    BETTER = "better"
    WORSE = "worse"
    EQUAL = "equal"
    UNDECIDED = "undecided"


def verdict(difference: Estimate, quantile: float, margin: float = 0.0) -> Verdict:
    """Return what the first of two configurations is, compared with the second.

    Args:
        difference: of their values, the first minus the second.
        quantile: two-sided, for all comparisons that are made together: the interval is difference +- quantile errors.
        margin: the largest difference that does not matter, a fraction of 1; 0: none is equal.
    """
    equal = quantile_of(2 * tail_of(quantile, difference.degrees), difference.degrees)
    if abs(difference.mean) + equal * difference.error < margin:
        return Verdict.EQUAL
    if abs(difference.mean) <= quantile * difference.error:
        return Verdict.UNDECIDED
    return Verdict.BETTER if difference.mean > 0 else Verdict.WORSE


def tail_of(quantile: float, degrees: float) -> float:
    """Return the probability that Student's t exceeds a quantile."""
    return float(special.stdtr(degrees, -quantile))


def quantile_of(tail: float, degrees: float) -> float:
    """Return the quantile of Student's t that is exceeded with a probability; that of a half or more is 0."""
    return max(0.0, -float(special.stdtrit(degrees, min(tail, 0.5))))


def shares(found: Estimate, vary: str = "all") -> dict[str, float]:
    """Return where the doubt comes from: the shares of the variance by their cause in words; their sum is 1.

    A share is as uncertain as a variance: with 15 trials, that of the trials has a relative standard error of 40 %.

    Args:
        found: a mean or a difference.
        vary: the value of `trials_vary` of its trials.
    """
    parts = found.parts
    # What a correction for shared training images adds comes from the draws, too.
    trials = max(parts.trials, found.variance - parts.images - parts.rest)
    by_cause = {VARIES[vary]: trials, "test images": parts.images, "these together": parts.rest}
    whole = sum(by_cause.values())
    return {cause: part / whole if whole else 0.0 for cause, part in by_cause.items()}


def shares_in_words(shares: Mapping[str, float]) -> str:
    """Return shares in whole percent whose sum is 100: "training draws 35 %, test images 60 %, these together 5 %"."""
    percent = {cause: int(100 * share) for cause, share in shares.items()}
    left = 100 - sum(percent.values())
    for cause in sorted(shares, key=lambda cause: percent[cause] - 100 * shares[cause])[:left]:
        percent[cause] += 1
    return ", ".join(f"{cause} {share} %" for cause, share in percent.items())
