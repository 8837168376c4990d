"""What more training images have brought: the gains of a budget sweep, as a table of a page."""

from itertools import pairwise

from graft.page.drawn_table import Row, Table, cell, in_points, marks_of
from graft.page.forest import scale_of
from graft.report.effects import Effects
from graft.report.leaderboard import Leaderboard
from graft.report.table import p_words
from graft.results.labels import describe
from graft.statistics.comparison import differences


def gains(effects: Effects, board: Leaderboard) -> Table | None:
    """Return what more training images have brought: each budget compared with the next smaller one, trial by trial.

    Nothing is extrapolated: beyond the largest budget nothing was measured.
    """
    key, unit = effects.budget, board.measure.unit
    if key is None:
        return None
    accuracies = [record.accuracies(board.metric) for record in board.records]
    steps, pairs = [], []
    for curve in effects.curves:
        for (few, smaller), (many, larger) in pairwise(zip(curve.images, curve.jobs, strict=True)):
            steps.append((curve.label or "all", str(few), describe(key, str(many))))
            pairs.append((accuracies[larger], accuracies[smaller]))
    known = [(step, it) for step, it in zip(steps, differences(pairs), strict=True) if it.mean is not None]
    if not known:
        return None
    values = [end for _, it in known for end in (it.mean, *(it.interval or ()))]
    scale, rows = scale_of(values, unit, with_zero=True), []
    for (name, few, many), it in known:
        gain = unit.difference(it.mean, *(it.interval or (None, None)))
        texts = {"configuration": name, "from": few, "to": many, "gain": gain, "p": p_words(it.p)}
        line = [cell(header, text) for header, text in texts.items()]
        rows.append(Row(line, marks_of(scale, unit, it)._replace(dots=())))
    caption = f"What more images brought, trial by trial; intervals hold together for {len(known)} comparisons"
    return Table("gains", caption, rows, scale, f"Drawn: gain in {in_points(board.measure.words, unit)}")
