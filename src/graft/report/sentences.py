"""A sweep's answer in one sentence, and how numbers are written in it."""

from collections.abc import Mapping, Sequence

from graft.report.settings import listed
from graft.report.statistics import MIN_TRIALS, Accuracies, Comparison, Difference, spread

NAMES = 3  # configurations that a sentence names; it counts the others


def percent(fraction: float) -> str:
    """Return a fraction of 1 as a percentage with one decimal."""
    return f"{100 * fraction:.1f}"


def span(low: float, high: float) -> str:
    """Return two fractions as percentages, or two differences in points: 90.1 to 92.3."""
    return f"{percent(low)} to {percent(high)}".replace("-0.0", "0.0")


def trials(count: int) -> str:
    """Return a count of trials in words."""
    return "1 trial" if count == 1 else f"{count} trials"


def answer(configurations: Mapping[str, Accuracies], comparison: Comparison) -> str:
    """Say which configuration is best, which may be as good, and by how much the others are worse.

    Args:
        configurations: each one's accuracies by seed, under its label.
        comparison: what `compare_all` made of them.
    """
    best, beside = comparison.best, comparison.differences
    top = spread(configurations[best])
    if not beside:
        return f"{best} has {percent(top.mean)} % in {trials(top.trials)}, and nothing to be compared with."
    tested = [difference for difference in beside.values() if difference.p is not None]
    if not tested:
        most = max(len(difference.each) for difference in beside.values())
        common = trials(most) if most else "no trial"
        return (
            f"{best} has the highest mean ({percent(top.mean)} %), but {common} in common "
            f"cannot tell whether it is the best: it takes {MIN_TRIALS}."
        )
    unsure = [name for name, difference in beside.items() if difference.p is not None and not difference.told]
    few = [name for name, difference in beside.items() if difference.p is None]
    worse = sorted((name for name in beside if beside[name].told), key=lambda name: -(beside[name].mean or 0))
    parts = [f"{best} {'is best' if worse else 'has the highest mean'} ({percent(top.mean)} %)"]
    if unsure:
        common = {len(beside[name].each) for name in unsure}
        span_of = str(min(common)) if len(common) == 1 else f"{min(common)} to {max(common)}"
        parts.append(f"{_listed(unsure)} cannot be told apart from it in {span_of} trials")
    parts += [f"{name} is {_gap(beside[name])} worse ({_interval(beside[name])})" for name in worse[:NAMES]]
    others = worse[NAMES:]
    if others:
        gaps = [-(beside[name].mean or 0) for name in others]
        is_are = "other is" if len(others) == 1 else "others are"
        size = _gap(beside[others[0]]) if len(others) == 1 else f"{span(min(gaps), max(gaps))} points"
        parts.append(f"{len(others)} {is_are} {size} worse")
    if few:
        parts.append(f"{_listed(few)} had fewer than {MIN_TRIALS} trials in common with it, too few to tell")
    return "; ".join(parts) + "."


def beside_baseline(baseline: str, differences: Mapping[str, Difference]) -> str:
    """Say how configurations do beside a baseline.

    Args:
        baseline: in words.
        differences: of each configuration to it, by label.
    """
    by_gap = sorted(differences, key=lambda name: -(differences[name].mean or 0))
    told = [name for name in by_gap if differences[name].told]
    parts = [
        f"{name} is {_gap(differences[name])} {'better' if (differences[name].mean or 0) > 0 else 'worse'} "
        f"({_interval(differences[name])})"
        for name in told[:NAMES]
    ]
    if told[NAMES:]:
        better = sum((differences[name].mean or 0) > 0 for name in told[NAMES:])
        parts.append(f"of {len(told) - NAMES} others that differ {better or 'none'} are better")
    unsure = [name for name in by_gap if differences[name].p is not None and not differences[name].told]
    if unsure:
        parts.append(f"{_listed(unsure)} cannot be told apart from it")
    few = [name for name in by_gap if differences[name].p is None]
    if few:
        parts.append(f"{_listed(few)} had fewer than {MIN_TRIALS} trials in common with it, too few to tell")
    return f"Beside the baseline {baseline}: {'; '.join(parts) or 'there is nothing to compare'}."


def _gap(difference: Difference) -> str:
    points = percent(abs(difference.mean or 0))
    return "less than 0.1 points" if points == "0.0" else "1 point" if points == "1.0" else f"{points} points"


def _interval(difference: Difference) -> str:
    assert difference.interval is not None
    low, high = difference.interval
    if (difference.mean or 0) < 0:
        low, high = -high, -low
    if low <= 0:  # Bonferroni's interval is a little wider than Holm's test is strict
        return f"p {difference.p:.3f}"
    return f"95 %: {span(low, high)}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMES
    if more > 0:
        return f"{', '.join(names[:NAMES])} and {more} {'other' if more == 1 else 'others'}"
    return listed(names)
