"""Sentences about effects of single keys, and about learning curves."""

from collections.abc import Sequence

import pandas

from graft.report.effects import Curve, does_not_reach, equal_budgets
from graft.report.sentences import MAX_NAMES, join_words
from graft.report.unit import PERCENT, Unit
from graft.results.labels import describe
from graft.statistics.intervals import LEVEL

MAX_VALUES = 4  # of a key that a sentence lists; of more it says the lowest and the highest
ONLY = "the trained head"  # the curve beside that of a baseline, if no other key is swept


def effects_answer(effects: pandas.DataFrame, unit: Unit = PERCENT, left_out: Sequence[str] = ()) -> str:
    """Name the mean of each key's values, and the keys without a significant difference.

    Args:
        effects: as `main_effects` returns them.
        unit: of their metric.
        left_out: heads without all combinations of the other keys.
    """
    parts = []
    for key, rows in effects.groupby("key", sort=False):
        values = [f"{value} ({unit.value(mean)})" for value, mean in zip(rows["value"], rows["mean"], strict=True)]
        if len(values) > MAX_VALUES:
            lowest, highest = values[rows["mean"].argmin()], values[rows["mean"].argmax()]
            values = [f"{len(values)} values from {lowest} to {highest}"]
        p = rows["p"].dropna()
        note = "" if any(p < LEVEL) else ", no significant effect" if len(p) else ", not tested"
        parts.append(f"{key}: {', '.join(values)}{note}")
    without = f" (without {join_words(left_out)}, which ran with some of their values only)" if left_out else ""
    return f"Main effects, averaged over the other keys{without}: {'; '.join(parts)}."


def front_answer(labels: Sequence[str], front: Sequence[bool], words: str = "accuracy") -> str:
    """Name the jobs of different backbones that no other one beats in both accuracy and speed.

    Args:
        labels: of the jobs.
        front: whether each is on the front.
        words: for the metric that ranks them, which takes the place of the accuracy.
    """
    names = [label for label, own in zip(labels, front, strict=True) if own]
    accurate = words in ("accuracy", "test accuracy", "validation accuracy")
    subject, good = ("Accuracy", "accurate") if accurate else (f"{words[0].upper()}{words[1:]}", "good")
    where = f"{'is' if len(names) == 1 else 'are'} on the front: no other job is at least as {good} and as fast"
    return f"{subject} against seconds an image: {join_words(names)} {where}."


def budget_answers(key: str, curves: Sequence[Curve]) -> list[str]:
    """Say how many images the next curves need for the accuracies that the best one reaches with fewer."""
    best, sentences = curves[0], []
    first = best.label or ONLY
    for other in curves[1 : 1 + MAX_NAMES]:
        equal, second = equal_budgets(best, other), other.label or ONLY
        if equal:
            fewer = describe(key, join_words([str(images) for images, _ in equal]))
            more = join_words([f"{images:.1f}" if images < 10 else f"{images:.0f}" for _, images in equal])
            sentences.append(f"{first} with {fewer} equals {second} with {more} (interpolated).")
        elif does_not_reach(best, other):
            most = describe(key, str(other.images[-1]))
            sentences.append(f"{second} with {most} does not reach {first} with {best.images[0]}.")
        else:
            sentences.append(f"How many images {second} needs to equal {first} cannot be told.")
    return sentences
