"""What would decide a comparison: further trials, or further test images.

Notation as in crossed.py and margin.py. With other numbers of trials J' and images I' the parts of the variance become

    S'^2 = trials J / J' + images I / I' + rest J I / (J' I') + fixed

where fixed is what a correction has added (for training images that the trials share): neither number reduces it. The
degrees of freedom follow from the expected mean squares by Satterthwaite's formula, and the quantile keeps its tail p.
The smallest J', or I', at which the difference would be decided is what is needed (Hillis, Obuchowski, Berbaum, Acad.
Radiol. 18, 129, 2011, size studies of readers and cases in this way).

The parts are estimates: the mean square of J trials has J - 1 degrees of freedom, and a number that follows from 15
trials is wrong by more than a factor of 1.5 more often than not (docs/statistics.md). So the smallest number is also
found at either end of the 90 % intervals of both mean squares (chi-squared), and is called exact only if these agree
with it within that factor.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace

from scipy import special

from graft.statistics.crossed import Estimate, Parts, satterthwaite
from graft.statistics.margin import quantile_of, tail_of

MOST_TRIALS, MOST_IMAGES = 10_000, 10_000_000  # a larger number helps nobody: it counts as none
EXACT = 1.5


@dataclass(frozen=True)
class Further:
    """A number that is still needed, and its range.

    Attributes:
        low: the smallest plausible one, at least 1.
        expected: the one that follows from the estimated parts; None: no number would do.
        high: the largest plausible one; None: perhaps no number would do.
    """

    low: int
    expected: int | None
    high: int | None

    @property
    def exact(self) -> bool:
        """Whether the expected number is known within a factor of 1.5."""
        if self.expected is None or self.high is None:
            return False
        return self.high <= EXACT * self.expected and self.expected <= EXACT * self.low


@dataclass(frozen=True)
class Needed:
    """What would decide a comparison if its difference stayed as it is.

    Attributes:
        trials: further trials on the same images; None: no number would.
        images: further test images, or groups of them, for the same trials; None: no number would.
        both: further trials together with images; only where neither number alone is expected to decide.
        images_per_trial: of `both`.
        shared: whether, however many there were, the images that all trials draw from would leave too much doubt.
    """

    trials: Further | None
    images: Further | None
    both: Further | None = None
    images_per_trial: float = 0.0
    shared: bool = False


def needed(difference: Estimate, quantile: float, margin: float = 0.0) -> Needed:
    """Return how many further trials, or further images, would decide a comparison that is undecided.

    The true difference is unknown: the numbers say when the one that was observed would be decided.

    Args:
        difference: as `verdict` has it.
        quantile: as `verdict` has it.
        margin: as `verdict` has it.
    """
    ratio, tail = difference.num_images / difference.num_trials, tail_of(quantile, difference.degrees)
    plausible = _with_ends(difference, 0.95), difference, _with_ends(difference, 0.05)

    def found(more: Callable[[int], tuple[int, int]], most: int) -> Further | None:
        """Return the further number; `more` makes of it the trials and the images that are added."""
        low, expected, high = (
            _fewest(lambda number, each=each: _decided(each, tail, margin, *more(number)), most) for each in plausible
        )
        likely = [number for number in (low, expected) if number is not None]
        if not likely:
            return None
        # With fewer degrees of freedom a smaller variance can need more: the range holds the expected number anyway.
        return Further(min(likely), expected, None if high is None else max(high, *likely))

    trials = found(lambda number: (number, 0), MOST_TRIALS)
    images = found(lambda number: (0, number), MOST_IMAGES)
    if any(further is not None and further.expected is not None for further in (trials, images)):
        return Needed(trials, images)
    both = found(lambda number: (number, round(ratio * number)), MOST_TRIALS)
    endless = MOST_TRIALS * difference.num_trials, MOST_IMAGES * difference.num_images
    shared = _fixed(difference) > 1e-9 * difference.variance and not _decided(difference, tail, margin, *endless)
    return Needed(trials, images, both, ratio, shared)


def in_words(needed: Needed, images: str = "test images") -> str:
    """Return what would decide: "9 more trials, or 400 more test images".

    Args:
        needed: the numbers.
        images: what the second one counts, in the plural.
    """
    trials, others = _more(needed.trials, "trials"), _more(needed.images, images)
    if trials and others:
        return f"{trials}, or {others}"
    if trials:
        return f"{trials}; no number of {images} {_denied(needed.images)} decide"
    if others:
        return f"no number of trials {_denied(needed.trials)} decide; {others} would"
    both = needed.both and _more(needed.both, "trials")
    if needed.both is None or needed.both.expected is None:
        why = "the doubt that is left is about the images that all trials draw from"
        why = why if needed.shared else "the difference is too small"
        return f"no number of trials and {images} {_denied(needed.both)} decide, because {why}"
    return f"{both} together with {_rounded(round(needed.images_per_trial * needed.both.expected)):,} more {images}"


def _with_ends(difference: Estimate, probability: float) -> Estimate:
    """Return a difference with those parts at which its mean squares are above such a share of possible ones."""
    rest, degrees = difference.parts.rest, (difference.num_trials - 1, _image_degrees(difference))
    trials, images = (
        max(0.0, (part + rest) * free / (2 * float(special.gammaincinv(free / 2, probability))) - rest)
        for part, free in zip((difference.parts.trials, difference.parts.images), degrees, strict=True)
    )
    return replace(difference, parts=Parts(trials, images, rest), variance=trials + images + rest + _fixed(difference))


def _image_degrees(difference: Estimate) -> float:
    """Return the degrees of freedom of the images' mean square.

    Two configurations differ on few images: with the share p of trials and images on which just one is right, a
    difference (-1, 0 or 1) has the excess kurtosis k of about 1 / p - 3, and a variance from I images has 2 I / (2 + k)
    degrees of freedom. Means over trials have less kurtosis, so that these are too few rather than too many.
    """
    parts, images = difference.parts, difference.num_images
    share = difference.mean**2 + parts.rest * images * difference.num_trials
    share += parts.trials * difference.num_trials + parts.images * images
    return max(1.0, (images - 1) * (min(1.0, 2 * share / (1 - share)) if share < 1 else 1.0))


def _fixed(difference: Estimate) -> float:
    parts = difference.parts
    return max(0.0, difference.variance - parts.trials - parts.images - parts.rest)


def _decided(difference: Estimate, tail: float, margin: float, more_trials: int, more_images: int) -> bool:
    """Return whether a difference would be decided with further trials and images."""
    parts, trials, images = difference.parts, difference.num_trials + more_trials, difference.num_images + more_images
    fewer_trials, fewer_images = difference.num_trials / trials, difference.num_images / images
    rest = parts.rest * fewer_trials * fewer_images
    by_trial, by_image = parts.trials * fewer_trials + _fixed(difference), parts.images * fewer_images
    variance = by_trial + by_image + rest
    degrees = satterthwaite(variance, (by_trial + rest, by_image + rest, rest), (trials, images))
    error = variance**0.5
    if abs(difference.mean) > quantile_of(tail, degrees) * error:
        return True
    return abs(difference.mean) + quantile_of(2 * tail, degrees) * error < margin


def _fewest(decided: Callable[[int], bool], most: int) -> int | None:
    """Return the smallest number from 1 to `most` that decides; None if none does."""
    found = bisect_left(range(1, most + 1), True, key=decided) + 1
    return found if found <= most else None


def _more(further: Further | None, what: str) -> str:
    """Return a further number in words, rounded up to two digits; empty if none is expected to do."""
    if further is None or further.expected is None:
        return ""
    expected, what = f"{_rounded(further.expected):,}", what if further.expected > 1 else what.removesuffix("s")
    if further.exact:
        return f"{expected} more {what}"
    high = "or more" if further.high is None else f"to {_rounded(further.high):,}"
    return f"about {expected} more {what} ({_rounded(further.low):,} {high})"


def _denied(further: Further | None) -> str:
    return "would" if further is None else "is likely to"


def _rounded(number: int) -> int:
    """Return a number rounded up to two digits."""
    step = 10 ** max(0, len(str(number)) - 2)
    return -(-number // step) * step
