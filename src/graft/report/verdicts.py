"""What a comparison with the best comes to: verdicts, what would decide them, where the doubt comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from graft.statistics.accuracies import Accuracies, Measured
from graft.statistics.comparison import Comparison, Difference, spread
from graft.statistics.margin import Verdict, shares, shares_in_words, verdict
from graft.statistics.needed import in_words, needed
from graft.statistics.outcomes import aligned
from graft.statistics.winner import corrected


@dataclass(frozen=True)
class Answer:
    """What the comparison of configurations with the best one comes to.

    Attributes:
        margin: the largest difference that does not matter, a fraction of 1.
        verdicts: of each other configuration, by label; None where trials are too few for a test.
        deciding: what would decide each undecided configuration whose images are known, in words.
        doubt: where the doubt in the best's mean comes from, in words; empty if images are unknown.
        corrected: the best's mean without what it owes to having been chosen on the same images; None if unknown.
    """

    margin: float = 0.0
    verdicts: dict[str, Verdict | None] = field(default_factory=dict)
    deciding: dict[str, str] = field(default_factory=dict)
    doubt: str = ""
    corrected: float | None = None


def judge(configurations: Mapping[str, Accuracies], comparison: Comparison, margin: float, vary: str = "all") -> Answer:
    """Judge all configurations against the best one.

    Args:
        configurations: accuracies by label.
        comparison: of these.
        margin: the largest difference that does not matter, a fraction of 1.
        vary: what their trials differ in, as `trials_vary` has it.
    """
    verdicts = {name: judged(it, margin) for name, it in comparison.differences.items()}
    return Answer(
        margin,
        verdicts,
        _deciding(comparison.differences, verdicts, margin),
        _doubt(configurations[comparison.best], vary),
        _corrected(list(configurations.values())) if len(configurations) > 1 else None,
    )


def judged(difference: Difference, margin: float) -> Verdict | None:
    """Return what the first of two configurations is, compared with the second; None if they were not tested."""
    if difference.p is None or difference.mean is None:
        return None
    if _equal(difference, margin):
        return Verdict.EQUAL
    if not difference.significant:
        return Verdict.UNDECIDED
    return Verdict.BETTER if difference.mean > 0 else Verdict.WORSE


def _equal(difference: Difference, margin: float) -> bool:
    """Return whether a difference is within the margin, by two one-sided tests or else by its interval."""
    if difference.design == "crossed" and difference.estimate is not None and difference.quantile is not None:
        return verdict(difference.estimate, difference.quantile, margin) is Verdict.EQUAL
    return difference.interval is not None and max(map(abs, difference.interval)) < margin


def _deciding(
    differences: Mapping[str, Difference], verdicts: Mapping[str, Verdict | None], margin: float
) -> dict[str, str]:
    """Return what would decide each undecided configuration, in words."""
    return {
        name: in_words(needed(it.estimate, it.quantile, margin))
        for name, it in differences.items()
        if verdicts[name] is Verdict.UNDECIDED and it.design == "crossed" and it.estimate and it.quantile
    }


def _doubt(best: Accuracies, vary: str) -> str:
    """Return the shares of the variance of the best's mean in words."""
    estimate = spread(best).estimate
    if estimate is None or estimate.num_trials < 2 or not estimate.variance:
        return ""
    return shares_in_words(shares(estimate, vary))


def _corrected(configurations: Sequence[Accuracies]) -> float | None:
    """Return the best's mean, corrected for its choice, over the trials and images that all have."""
    known = [one.outcomes for one in configurations if isinstance(one, Measured)]
    if len(known) < len(configurations):
        return None
    found = aligned(known)
    complete = all(len(one.images) == len(found[0].images) and len(one.seeds) == len(found[0].seeds) for one in known)
    if not complete or len(found[0].images) < 2:
        return None
    rows = [one.values[:1] if all(each.copies for each in found) else one.values for one in found]
    return corrected({str(place): values for place, values in enumerate(rows)}, found[0].groups)


def claim(accuracies: Accuracies, counts: str | None, config: Mapping, num_small: int | None) -> str:
    """Say for what an interval of a mean holds: for other images and other draws of 20 images a class.

    Args:
        accuracies: of the job.
        counts: what the interval counts, as `Spread` has it.
        config: its plain configuration.
        num_small: number of each trial's training images.
    """
    if not isinstance(accuracies, Measured):
        only_images = counts == "test images"
        return "for other images" if only_images else "for other training draws and these test images only"
    drawn = f"{num_small:,} training images" if num_small else "training images"
    if accuracies.outcomes.folds:
        return "for other data sets of as many images"
    if counts == "test images":
        return f"for other images, with these {drawn}"
    dataset = config.get("dataset") or {}
    per_class = dataset.get("small_per_class") if not dataset.get("small_total") else None
    if isinstance(per_class, int):
        return f"for other images and other draws of {per_class} a class"
    return f"for other images and other draws of {drawn}"
