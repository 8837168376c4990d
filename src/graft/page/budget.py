"""What more training images have brought: the gains of a budget sweep, as a table of a page."""

from collections.abc import Sequence
from itertools import pairwise

from graft.page.drawn_table import Row, Table, cell, in_points, marks_of
from graft.page.forest import scale_of
from graft.report.effects import Effects
from graft.report.leaderboard import Leaderboard
from graft.report.table import p_words
from graft.results.labels import BUDGETS, describe, label
from graft.results.records import Record
from graft.statistics.accuracies import Accuracies
from graft.statistics.comparison import differences


def gains(effects: Effects, board: Leaderboard) -> Table | None:
    """Return what more training images have brought: each budget compared with the next smaller one, trial by trial.

    Nothing is extrapolated: beyond the largest budget nothing was measured.
    """
    key = effects.budget
    if key is None:
        return None
    jobs: dict[str, dict[int, Record]] = {}
    for record in board.records:
        if record.setting.get(key, "").isdecimal():
            others = {name: value for name, value in record.setting.items() if name not in BUDGETS}
            jobs.setdefault(label(others), {})[int(record.setting[key])] = record
    steps = [
        (curve.label, few, many)
        for curve in effects.curves
        for few, many in pairwise(sorted(jobs.get(curve.label, {})))
    ]
    pairs = [
        (jobs[name][many].accuracies(board.metric), jobs[name][few].accuracies(board.metric))
        for name, few, many in steps
    ]
    return _gains_table(key, steps, pairs, board)


def _gains_table(
    key: str, steps: Sequence[tuple[str, int, int]], pairs: Sequence[tuple[Accuracies, Accuracies]], board: Leaderboard
) -> Table | None:
    found, unit = differences(pairs), board.measure.unit
    known = [(step, it) for step, it in zip(steps, found, strict=True) if it.mean is not None]
    if not known:
        return None
    values = [end for _, it in known for end in (it.mean, *(it.interval or ()))]
    scale, rows = scale_of(values, unit, with_zero=True), []
    for (name, few, many), it in known:
        low, high = it.interval or (None, None)
        line = [
            cell("configuration", name or "all"),
            cell("from", str(few)),
            cell("to", describe(key, str(many))),
            cell("gain", unit.difference(it.mean, low, high)),
            cell("p", p_words(it.p)),
        ]
        rows.append(Row(line, marks_of(scale, unit, it)._replace(dots=())))
    caption = f"What more images brought, trial by trial; intervals hold together for {len(known)} comparisons"
    return Table("gains", caption, rows, scale, f"Drawn: gain in {in_points(board.measure.words, unit)}")
