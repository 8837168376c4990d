"""Sentences of a report, and how it writes numbers."""

from collections.abc import Iterable, Mapping, Sequence

import pandas

from graft.report.effects import Curve, does_not_reach, equal_budgets
from graft.report.labels import describe
from graft.statistics.accuracies import Accuracies, Copies
from graft.statistics.comparison import LEVEL, MIN_TRIALS, Comparison, Difference, spread

MAX_NAMES = 3  # configurations that a sentence names; it counts the others


def percent(fraction: float) -> str:
    """Return a fraction as a percentage with one decimal."""
    return f"{100 * fraction:.1f}"


def span(low: float, high: float) -> str:
    """Return a range of fractions as percentages, or of differences as points: 90.1 to 92.3."""
    return f"{percent(low)} to {percent(high)}".replace("-0.0", "0.0")


def count_trials(count: int) -> str:
    """Return a number of trials in words."""
    return "1 trial" if count == 1 else f"{count} trials"


def join_words(items: Sequence[str]) -> str:
    """Return items as a list in words: one, two and three."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def answer(configurations: Mapping[str, Accuracies], comparison: Comparison) -> str:
    """Say which configuration is best, which are not significantly different, and how much worse the others are.

    Args:
        configurations: accuracies by label.
        comparison: of these, as `compare_all` returns it.
    """
    best, versus_best = comparison.best, _by_mean(comparison.differences)
    top = spread(configurations[best])
    if not versus_best:
        return (
            f"{best} has {percent(top.mean)} % in {count_trials(top.num_trials)}; there is nothing to compare it with."
        )
    if comparison.tied:
        first = f"{_name_first([best, *comparison.tied])} are equal ({percent(top.mean)} %)"
    else:
        first = f"{best} {'is best' if _significant(versus_best) else 'has the highest mean'} ({percent(top.mean)} %)"
    if all(difference.p is None for difference in versus_best.values()):
        untested = "no pair was tested" if comparison.tied else "was not tested against any other"
        got = _common_trials(versus_best.values())
        return f"{first}, but {untested}: a test needs {MIN_TRIALS} common trials, got {got}."
    others = {name: difference for name, difference in versus_best.items() if name not in comparison.tied}
    return "; ".join([first, *_not_significant(others), *_significant(others), *_untested(others)]) + "."


def copies_answer(configurations: Mapping[str, Accuracies]) -> list[str]:
    """Name the configurations whose trials are all the same computation, in a sentence if there are any."""
    names = [name for name, accuracies in configurations.items() if isinstance(accuracies, Copies)]
    if not names:
        return []
    pair = "" if len(names) == 1 else ", and between two of these there is no test"
    same = f"All trials of {_name_first(names)} are the same computation, which no seed changes"
    return [f"{same}: they count as one{pair}."]


def baseline_gaps(missing: str, without_counterpart: Sequence[str]) -> list[str]:
    """Say what was not compared with the baseline: everything, or jobs without a counterpart in it."""
    sentences = [f"No finished job has {missing}: nothing is compared with this baseline."] if missing else []
    if without_counterpart:
        verb = "has" if len(without_counterpart) == 1 else "have"
        sentences.append(f"{_name_first(without_counterpart)} {verb} no counterpart in the baseline.")
    return sentences


def baseline_answer(baseline: str, versus_baseline: Mapping[str, Difference]) -> str:
    """Say how configurations compare with a baseline.

    Args:
        baseline: in words.
        versus_baseline: differences to it, by label.
    """
    differences = _by_mean(versus_baseline)
    clauses = [*_significant(differences), *_not_significant(differences), *_untested(differences)]
    return f"Compared with the baseline {baseline}: {'; '.join(clauses) or 'there is no other job'}."


def effects_answer(effects: pandas.DataFrame) -> str:
    """Name the mean of each key's values, and the keys without a significant difference.

    Args:
        effects: as `main_effects` returns them.
    """
    parts = []
    for key, rows in effects.groupby("key", sort=False):
        values = ", ".join(f"{value} {percent(mean)}" for value, mean in zip(rows["value"], rows["mean"], strict=True))
        p = rows["p"].dropna()
        note = "" if any(p < LEVEL) else " (no significant effect)" if len(p) else " (not tested)"
        parts.append(f"{key}: {values}{note}")
    return f"Main effects, averaged over the other keys: {'; '.join(parts)}."


def budget_answers(key: str, curves: Sequence[Curve]) -> list[str]:
    """Say how many images the next curves need for the accuracies that the best one reaches with fewer."""
    best, sentences = curves[0], []
    for other in curves[1 : 1 + MAX_NAMES]:
        equal = equal_budgets(best, other)
        if equal:
            fewer = describe(key, join_words([str(images) for images, _ in equal]))
            more = join_words([f"{images:.1f}" if images < 10 else f"{images:.0f}" for _, images in equal])
            sentences.append(f"{best.label} with {fewer} equals {other.label} with {more} (interpolated).")
        elif does_not_reach(best, other):
            most = describe(key, str(other.images[-1]))
            sentences.append(f"{other.label} with {most} does not reach {best.label} with {best.images[0]}.")
        else:
            sentences.append(f"How many images {other.label} needs to equal {best.label} cannot be told.")
    return sentences


def _by_mean(differences: Mapping[str, Difference]) -> dict[str, Difference]:
    """Order differences from the highest mean to the lowest."""
    return dict(sorted(differences.items(), key=lambda item: -(item[1].mean or 0)))


def _significant(differences: Mapping[str, Difference]) -> list[str]:
    """Return the clauses about significant differences: the first by name, the others by their range."""
    significant = [(name, difference) for name, difference in differences.items() if difference.significant]
    clauses = [
        f"{name} is {_gap(difference)} ({_certainty(difference)})" for name, difference in significant[:MAX_NAMES]
    ]
    others = [difference for _, difference in significant[MAX_NAMES:]]
    points = [difference.mean or 0 for difference in others]
    num_better = sum(mean > 0 for mean in points)
    if len(others) == 1:
        clauses.append(f"1 other is {_gap(others[0])}")
    elif others and num_better in (0, len(others)):
        sizes = [abs(mean) for mean in points]
        sign = "better" if num_better else "worse"
        clauses.append(f"{len(others)} others are {span(min(sizes), max(sizes))} points {sign}")
    elif others:
        clauses.append(f"{len(others)} others differ significantly, {num_better} of them better")
    return clauses


def _not_significant(differences: Mapping[str, Difference]) -> list[str]:
    """Return the clause about tested differences that are not significant, if there are any."""
    equal = {name: it for name, it in differences.items() if it.p is not None and not it.significant}
    if not equal:
        return []
    verb, trials = "is" if len(equal) == 1 else "are", _common_trials(equal.values())
    return [f"{_name_first(list(equal))} {verb} not significantly different from it in {trials} trials"]


def _untested(differences: Mapping[str, Difference]) -> list[str]:
    """Return the clause about configurations with too few common trials, if there are any."""
    names = [name for name, difference in differences.items() if difference.p is None]
    if not names:
        return []
    verb = "has" if len(names) == 1 else "have"
    return [f"{_name_first(names)} {verb} fewer than {MIN_TRIALS} trials in common with it, too few for a test"]


def _common_trials(differences: Iterable[Difference]) -> str:
    """Return how many trials the differences are about: 8, or 7 to 9."""
    counts = {len(difference.per_trial) for difference in differences}
    return str(min(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def _gap(difference: Difference) -> str:
    """Return a difference's size and sign in words: 2.4 points worse."""
    mean = difference.mean or 0
    points = percent(abs(mean))
    size = "less than 0.1 points" if points == "0.0" else "1 point" if points == "1.0" else f"{points} points"
    return f"{size} {'better' if mean > 0 else 'worse'}"


def _certainty(difference: Difference) -> str:
    """Return a significant difference's interval, as of a size without sign; p if it is missing."""
    low, high = difference.interval or (0.0, 0.0)
    if (difference.mean or 0) < 0:
        low, high = -high, -low
    if low <= 0:  # all trials differ by the same, so that none is known
        return f"p {difference.p:.3f}"
    return f"95 %: {span(low, high)}"


def _name_first(names: Sequence[str]) -> str:
    """Return the first names and the number of the others: a, b, c and 2 others."""
    more = len(names) - MAX_NAMES
    if more > 0:
        return f"{', '.join(names[:MAX_NAMES])} and {more} {'other' if more == 1 else 'others'}"
    return join_words(names)
