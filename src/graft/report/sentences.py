"""Sentences of a report."""

from collections.abc import Iterable, Mapping, Sequence

from graft.nouns import counted
from graft.report.unit import PERCENT, TEST_ACCURACY, Measure, Unit
from graft.report.verdicts import Answer
from graft.statistics.accuracies import Accuracies, Measured, is_copies
from graft.statistics.comparison import Comparison, Difference, Spread, spread
from graft.statistics.intervals import TOLERANCE
from graft.statistics.margin import Verdict
from graft.statistics.pairs import MIN_TRIALS

MAX_NAMES = 2  # configurations that a sentence names; it counts the others


def join_words(items: Sequence[str]) -> str:
    """Return items as a list in words: one, two and three."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def answer(
    configurations: Mapping[str, Accuracies], comparison: Comparison, found: Answer, measure: Measure = TEST_ACCURACY
) -> str:
    """Say which configuration is best, and what the others are compared with it.

    Args:
        configurations: accuracies by label.
        comparison: of these, as `compare_all` returns it.
        found: what it comes to, as `judge` returns it.
        measure: their metric.
    """
    unit, best, versus_best = measure.unit, comparison.best, _by_mean(comparison.differences)
    top = spread(configurations[best])
    if not versus_best:
        trials = counted(top.num_trials, "trial")
        return f"{best} has {measure.value(top.mean)} in {trials}; there is nothing to compare it with."
    first = f"{name_first([best, *comparison.tied])} {'have' if comparison.tied else 'has'} the {unit.most} mean"
    if found.shared is not None and any(spread(one).mean > top.mean + TOLERANCE for one in configurations.values()):
        first = f"{best} leads in common trials"
    if {Verdict.WORSE} <= set(found.verdicts.values()) <= {Verdict.WORSE, None}:
        first = f"{best} is best"
    first = f"{first} ({measure.value(top.mean)})"
    if all(verdict is None for verdict in found.verdicts.values()):
        untested = "no pair was tested" if comparison.tied else "was not tested against any other"
        got = _common_trials(versus_best.values())
        return f"{first}, but {untested}: a test needs {found.least} common trials, got {got}."
    by_verdict = {
        kind: {name: it for name, it in versus_best.items() if found.verdicts[name] is kind and name not in found.ended}
        for kind in (*Verdict, None)
    }
    points = f"{100 * found.margin:g} point{'' if 100 * found.margin == 1 else 's'}"
    clauses = _named(by_verdict[Verdict.EQUAL], f"equal to it within {points}")
    clauses += _named(by_verdict[Verdict.UNDECIDED], "undecided")
    clauses += _differing(by_verdict[Verdict.WORSE], unit)
    return "; ".join([first, *clauses, *_untested(by_verdict[None], found.least)]) + "."


def unfinished_answer(jobs: Sequence[str], num_jobs: int) -> list[str]:
    """Say which of all jobs have not finished, in a sentence if there are any."""
    if not jobs:
        return []
    return [
        f"{len(jobs)} of {counted(num_jobs, 'job')} {'has' if len(jobs) == 1 else 'have'} not finished: "
        f"{name_first(jobs)}."
    ]


def skipped_answer(skipped: int, num_jobs: int) -> list[str]:
    """Say how many of all jobs were skipped, in a sentence if there are any."""
    if not skipped:
        return []
    verb = "was" if skipped == 1 else "were"
    return [f"{skipped} of {counted(num_jobs, 'job')} {verb} skipped: the backbone's weights could not be had."]


def best_answer(best: str, spread: Spread, claim: str, found: Answer, measure: Measure = TEST_ACCURACY) -> str:
    """Say how accurate the best configuration is, for which images and draws, and what it owes to the choice.

    Args:
        best: its label.
        spread: of its accuracies.
        claim: for what the interval holds, as `claim` returns it.
        found: as `judge` returns it.
        measure: their metric.
    """
    unit = measure.unit
    interval = "" if spread.interval is None else f", {unit.span(*spread.interval)}{unit.sign} {claim} (95 %)"
    sentences = [f"{best}: {measure.value(spread.mean)}{interval}."]
    if found.corrected is not None:
        chosen = f"chosen among {found.among} jobs by the images that it is measured on"
        sentences.append(f"Corrected for having been {chosen}: {unit.value(found.corrected)}.")
    if found.doubt:
        sentences.append(f"Its doubt comes from: {found.doubt}.")
    return " ".join(sentences)


def deciding_answers(best: str, comparison: Comparison, found: Answer) -> list[str]:
    """Say what would decide between the best and the closest configuration that is undecided, if there is any."""
    closest = _by_mean({name: comparison.differences[name] for name in found.deciding})
    if not closest:
        return []
    differing = {name: it for name, it in closest.items() if it.per_trial.any()}
    # No number of trials and images tells which of two is better whose means are the same.
    apart = {name: it for name, it in differing.items() if abs(it.mean or 0) > TOLERANCE} or differing
    if not apart:
        verb = "has" if len(closest) == 1 else "have"
        same = f"{name_first(list(closest))} {verb} the same value as {best} in every trial"
        return [f"{same}: report.margin=1 would call them equal."]
    name, others = next(iter(apart)), ""
    if len(closest) > 1:
        others = f", the closest of those undecided{' that has another mean' if apart != closest else ''}"
    return [f"What would decide between {best} and {name}{others}: {found.deciding[name]}."]


def images_answer(differences: Iterable[Difference]) -> list[str]:
    """Say which tested differences hold for these test images only, in a sentence if there are any."""
    tested = [it.design for it in differences if it.p is not None]
    count = tested.count("trials")
    if not count:
        return []
    which = "Differences" if count == len(tested) else f"{count} of {len(tested)} differences"
    verb = "is" if which.startswith("1 of") else "are"
    return [f"{which} {verb} for other training draws and these test images only: outcomes of images are missing."]


def copies_answer(configurations: Mapping[str, Accuracies]) -> list[str]:
    """Name the configurations whose trials are all the same computation, in a sentence if there are any."""
    names = [name for name, accuracies in configurations.items() if is_copies(accuracies)]
    if not names:
        return []
    known = all(isinstance(configurations[name], Measured) for name in names)
    compared = "two of these are compared over images alone" if known else "between two of these there is no test"
    pair = "" if len(names) == 1 else f", and {compared}"
    same = f"All trials of {name_first(names)} are the same computation, which no seed changes"
    return [f"{same}: they count as one{pair}."]


def baseline_gaps(missing: str, without_counterpart: Sequence[str]) -> list[str]:
    """Say what was not compared with the baseline: everything, or jobs without a counterpart in it."""
    sentences = [f"No finished job has {missing}: nothing is compared with this baseline."] if missing else []
    if without_counterpart:
        verb = "has" if len(without_counterpart) == 1 else "have"
        sentences.append(f"{name_first(without_counterpart)} {verb} no counterpart in the baseline.")
    return sentences


def baseline_answer(
    baseline: str, versus_baseline: Mapping[str, Difference], least: int = MIN_TRIALS, unit: Unit = PERCENT
) -> str:
    """Say how configurations compare with a baseline.

    Args:
        baseline: in words.
        versus_baseline: differences to it, by label.
        least: number of common trials that a test needs.
        unit: of their metric.
    """
    differences = _by_mean(versus_baseline)
    tested = {name: it for name, it in differences.items() if it.p is not None}
    clauses = [
        *_differing({name: it for name, it in tested.items() if it.significant}, unit, named=True),
        *_named({n: it for n, it in tested.items() if not it.significant}, "not significantly different from it"),
        *_untested(differences, least),
    ]
    return f"Compared with the baseline {baseline}: {'; '.join(clauses) or 'there is no other job'}."


def _by_mean(differences: Mapping[str, Difference]) -> dict[str, Difference]:
    """Order differences from the highest mean to the lowest."""
    return dict(sorted(differences.items(), key=lambda item: -(item[1].mean or 0)))


def _differing(differences: Mapping[str, Difference], unit: Unit, named: bool = False) -> list[str]:
    """Return the clauses about configurations that are better or worse: one by name, several by their range.

    Args:
        differences: by label.
        unit: of their metric.
        named: whether the first of several are named; the winner's sentence has named others before, and counts these.
    """
    clauses = []
    for sign, word in ((1, "better"), (-1, "worse")):
        found = {name: it for name, it in differences.items() if sign * (it.mean or 0) > 0}
        means = [it.mean or 0 for it in found.values()]
        if len(found) > 1:
            several = name_first(list(found)) if named else f"{len(found)} others"
            clauses.append(f"{several} are {unit.sizes(min(means), max(means))}{unit.points} {word}")
        clauses += [
            f"{name} is {unit.gap(it.mean or 0)} ({_certainty(it, unit)})"
            for name, it in found.items()
            if len(found) == 1
        ]
    return clauses


def _named(differences: Mapping[str, Difference], what: str) -> list[str]:
    """Return the clause that configurations are something in their common trials, if there are any."""
    if not differences:
        return []
    verb, trials = "is" if len(differences) == 1 else "are", _common_trials(differences.values())
    return [f"{name_first(list(differences))} {verb} {what} after {trials} trial{'' if trials == '1' else 's'}"]


def _untested(differences: Mapping[str, Difference], least: int) -> list[str]:
    """Return the clause about configurations with too few common trials, if there are any.

    Args:
        differences: by label.
        least: number of common trials that a test needs.
    """
    names = [name for name, difference in differences.items() if difference.p is None]
    if not names:
        return []
    verb = "has" if len(names) == 1 else "have"
    return [f"{name_first(names)} {verb} fewer than {least} trials in common with it, too few for a test"]


def _common_trials(differences: Iterable[Difference]) -> str:
    """Return how many trials the differences are about: 8, or 7 to 9."""
    counts = {len(difference.per_trial) for difference in differences}
    return str(min(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def _certainty(difference: Difference, unit: Unit) -> str:
    """Return a significant difference's interval, as of a size without sign; p if it is missing."""
    low, high = difference.interval or (0.0, 0.0)
    if (difference.mean or 0) < 0:
        low, high = -high, -low
    if low <= 0:  # all trials differ by the same, so that none is known
        return f"p {difference.p:.3f}"
    factor = abs(unit.factor)
    return f"95 %: {factor * low:.{unit.decimals}f} to {factor * high:.{unit.decimals}f}"


def name_first(names: Sequence[str]) -> str:
    """Return the first names and the number of the others: a, b, c and 2 others."""
    more = len(names) - MAX_NAMES
    if more > 0:
        return f"{', '.join(names[:MAX_NAMES])} and {more} {'other' if more == 1 else 'others'}"
    return join_words(names)
