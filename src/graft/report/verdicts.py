"""What a comparison with the best comes to: verdicts, what would decide them, where the doubt comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from graft.nouns import few
from graft.report.as_needed import AsNeeded, EndedLabel, with_ended
from graft.results.metric import split_of
from graft.results.records import Record
from graft.statistics.accuracies import Accuracies, Measured, dataset_of, is_bounded
from graft.statistics.comparison import Comparison, Difference, spread
from graft.statistics.intervals import TOLERANCE
from graft.statistics.margin import Verdict, shares, shares_in_words, verdict
from graft.statistics.needed import in_words, needed
from graft.statistics.pairs import MIN_CROSSED, MIN_TRIALS, paired_outcomes
from graft.statistics.winner import corrected

IMAGES = "test images"  # a cause of doubt
MOST_NAMED = 3  # jobs that a sentence names


@dataclass(frozen=True)
class Answer:
    """What the comparison of configurations with the best one comes to.

    Attributes:
        margin: the largest difference that does not matter, a fraction of 1.
        verdicts: of each other configuration, by label; None where trials are too few for a test.
        deciding: what would decide each undecided configuration whose images are known, in words.
        doubt: where the doubt in the best's mean comes from, in words; empty if images are unknown.
        corrected: the best's mean without what it owes to having been chosen on the same images; None if unknown.
        among: number of configurations that this correction counts, the best included.
        least: number of common trials that a test needs.
        shared: how jobs with trials=auto share the level; None: results have decided no number of trials.
        ended: jobs with trials=auto whose verdict is that of their sweep, by label.
    """

    margin: float = 0.0
    verdicts: dict[str, Verdict | None] = field(default_factory=dict)
    deciding: dict[str, str] = field(default_factory=dict)
    doubt: str = ""
    corrected: float | None = None
    among: int = 1
    least: int = MIN_TRIALS
    shared: AsNeeded | None = None
    ended: dict[str, EndedLabel] = field(default_factory=dict)


def judge(
    configurations: Mapping[str, Accuracies],
    comparison: Comparison,
    margin: float,
    vary: str = "all",
    shared: AsNeeded | None = None,
    images: str = IMAGES,
) -> Answer:
    """Judge all configurations against the best one.

    Args:
        configurations: accuracies by label.
        comparison: of these.
        margin: the largest difference that does not matter, a fraction of 1.
        vary: what their trials differ in, as `trials_vary` has it.
        shared: how jobs with trials=auto share the level; None: there are none.
        images: by which they are compared, in words.
    """
    verdicts, ended = {name: judged(it, margin) for name, it in comparison.differences.items()}, {}
    if shared is not None:
        verdicts, ended = with_ended(verdicts, shared, margin)
    measured = all(isinstance(one, Measured) for one in configurations.values())
    # One that was not tested has too few trials in common to be chosen by. With trials=auto one that is worse may have
    # few, too, and is no choice of luck.
    chosen = [name for name, it in verdicts.items() if it is not None and (shared is None or it is not Verdict.WORSE)]
    best, units = configurations[comparison.best], units_of(configurations[comparison.best], images)
    return Answer(
        margin,
        verdicts,
        _deciding(comparison.differences, verdicts, margin, units),
        _doubt(best, vary, units),
        _corrected(best, [configurations[name] for name in chosen]) if chosen else None,
        len(chosen) + 1,
        MIN_CROSSED if measured and shared is None else MIN_TRIALS,
        shared,
        ended,
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
    if difference.interval is None:  # no trial differs, and images are unknown
        return margin > 0 and float(np.abs(difference.per_trial).max()) < TOLERANCE
    return max(map(abs, difference.interval)) < margin


def _deciding(
    differences: Mapping[str, Difference], verdicts: Mapping[str, Verdict | None], margin: float, units: str
) -> dict[str, str]:
    """Return what would decide each undecided configuration, in words."""
    return {
        name: in_words(needed(it.estimate, it.quantile, margin), units)
        for name, it in differences.items()
        if verdicts[name] is Verdict.UNDECIDED and it.design == "crossed" and it.estimate and it.quantile
    }


def _doubt(best: Accuracies, vary: str, units: str) -> str:
    """Return the shares of the variance of the best's mean in words."""
    estimate = spread(best).estimate
    if estimate is None or estimate.num_trials < 2 or not estimate.variance:
        return ""
    return shares_in_words({units if key == IMAGES else key: each for key, each in shares(estimate, vary).items()})


def units_of(accuracies: Accuracies, images: str = IMAGES) -> str:
    """Return what test or validation images are counted in: images, or groups of them."""
    grouped = isinstance(accuracies, Measured) and (
        accuracies.outcomes.groups is not None or accuracies.outcomes.of_groups
    )
    return images.replace("images", "groups") if grouped else images


def _corrected(best: Accuracies, others: Sequence[Accuracies]) -> float | None:
    """Return the best's mean, corrected for its choice over the trials that all have on the images of all."""
    found = paired_outcomes([best, *others])
    if found is None:
        return None
    rows = [one.values[:1] if all(each.copies for each in found) else one.values for one in found]
    common = {str(place): values for place, values in enumerate(rows)}
    bias = max(float(np.nanmean(row)) for row in rows) - corrected(common, found[0].groups)
    found_mean = spread(best).mean - bias
    return max(0.0, found_mean) if is_bounded(best) else found_mean


def claim_of(record: Record, metric: str = "accuracy") -> str:
    """Say for what the interval of the mean of a job's trials holds, as `claim` does; of the metric's images."""
    values = record.accuracies(metric)
    measured = isinstance(values, Measured)
    if split_of(metric) == "val" and not measured:
        drawn = dataset_of(record.result).get("val_per_class")
        images = "other draws of validation images" if drawn else "these validation images only"
        return f"for other training draws and {images}"
    folds = isinstance(values, Measured) and values.outcomes.folds > 0
    return claim(measured, folds, record.spread(metric).counts, record.config, record.result.get("images") or {})


def epochs_answer(configs: Mapping[str, Mapping], split: str) -> list[str]:
    """Say, in a sentence if validation images rank, which jobs' epochs they have chosen, too.

    Args:
        configs: of the jobs, by their labels, the best one first.
        split: the one that ranks.
    """
    chosen = [name for name, config in configs.items() if config.get("weights") == "best"]
    if split != "val" or not chosen:
        return []
    if len(chosen) == len(configs):
        return [
            "weights=best has chosen each trial's epoch by the same validation images, so that validation accuracies "
            "are a little too good; test accuracies are not."
        ]
    return [
        f"weights=best has chosen the epochs of {few(chosen, MOST_NAMED)} by the same validation images, so that their "
        "validation accuracies are a little too good beside those of the other jobs; test accuracies are not."
    ]


def claim(measured: bool, folds: bool, counts: str | None, config: Mapping, images: Mapping) -> str:
    """Say for what an interval of a mean holds: for other images and other draws of 20 images a class.

    Where images belong to groups, other images are those of other groups, and other draws are from the same groups.

    Args:
        measured: whether it is of the outcomes of images.
        folds: whether trials test folds.
        counts: what the interval counts, as `Spread` has it.
        config: its plain configuration.
        images: the numbers of its images, as a result has them.
    """
    other = "images of other groups" if images.get("groups") else "other images"
    same = " of these groups" if images.get("groups") else ""
    if not measured:
        only_images = counts == "test images"
        return f"for {other}" if only_images else "for other training draws and these test images only"
    drawn = f"{images['small']:,} training images" if images.get("small") else "training images"
    if folds:
        return f"for other data sets of as many {'groups' if same else 'images'}"
    if counts == "test images":
        return f"for {other}, with these {drawn}"
    dataset = config.get("dataset") or {}
    per_class = dataset.get("small_per_class") if not dataset.get("small_total") else None
    if isinstance(per_class, int):
        return f"for {other} and other draws of {per_class} a class{same}"
    return f"for {other} and other draws of {drawn}{same}"
