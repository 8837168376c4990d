"""The tables of a page that compare jobs: the ranked one, paired differences, main effects, gains of more images."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from graft.figures.curves import SPLITS
from graft.page.forest import MAX_DOTS, Marks, Scale, ends, scale_of, value_words
from graft.report.effects import Effects
from graft.report.leaderboard import Leaderboard
from graft.report.rows import SPREAD, column
from graft.report.table import cells, table_rows
from graft.report.unit import PERCENT, Unit
from graft.results.labels import BUDGETS, describe, label
from graft.results.metric import split_of
from graft.results.records import Record
from graft.statistics.accuracies import Accuracies
from graft.statistics.comparison import Difference, differences

PLOTTED = ("95 % interval", "difference", "recall", "to the key's best value", "gain")  # a drawing follows these
LEFT_OUT = ("job", "std", "p", "lowest-highest", "trainable")  # they are elsewhere on the page, or in leaderboard.csv
TEXTS = ("job", "configuration", "verdict", "to the range", "key", "value", "what would decide", "compared with")


class Cell(NamedTuple):
    """One cell of a table.

    Attributes:
        header: of its column.
        text: what it says.
        order: what rows are sorted by; empty cells come last.
        note: in small letters below the text.
        is_text: whether it is left-aligned, as words are.
    """

    header: str
    text: str
    order: str
    note: str = ""
    is_text: bool = False


class Row(NamedTuple):
    """One row of a table, and its drawing."""

    cells: list[Cell]
    marks: Marks | None


@dataclass(frozen=True)
class Table:
    """A table with a drawing in each row.

    Attributes:
        name: tells the tables of a page apart.
        caption: what it shows, and what its numbers were computed from.
        rows: at least one.
        scale: of the drawings.
        axis: what the scale counts.
    """

    name: str
    caption: str
    rows: list[Row]
    scale: Scale
    axis: str

    @property
    def plot_after(self) -> int:
        """Which column, counted from 1, the drawings follow."""
        headers = [each.header for each in self.rows[0].cells]
        return next((place for place, header in enumerate(headers, 1) if header in PLOTTED), len(headers))


def cell(header: str, text: str, note: str = "") -> Cell:
    """Return a cell that is sorted by the number that its text begins with, if it is no text."""
    is_text = header in TEXTS
    number = None if is_text else re.match(r"[<-]*\d[\d,]*\.?\d*", text)
    order = number.group().replace(",", "").lstrip("<") if number else text
    return Cell(header, text, order, "" if note == text else note, is_text)


def ranked(board: Leaderboard) -> Table:
    """Return all jobs in their order, with their means and intervals."""
    unit, metric = board.measure.unit, board.metric
    rows, by_label = table_rows(board.table), {record.label: record for record in board.records}
    spread = [[row.get(column(metric, what)) for what in SPREAD] for row in rows]
    published = [[row.get(f"reference_{end}") for end in ("low", "high")] for row in rows]
    shown = [value for mean, low, high, _, first, last in spread for value in (mean, low, high, first, last)]
    scale = scale_of([*shown, *(value for values in published for value in values)], unit)
    found = []
    for row, (mean, low, high, _, first, last), box in zip(rows, spread, published, strict=True):
        words = f"{value_words(unit, mean, first, last)}, trials {unit.span(low, high)}{unit.sign}"
        places = ends(scale, unit, first, last), ends(scale, unit, low, high), ends(scale, PERCENT, *box)
        marks = Marks(words, scale.place(unit.factor * mean), *places)
        texts = {"rank": "", "configuration": by_label[row["label"]].label, **cells(row, metric)}
        order = [header for header in texts if header not in LEFT_OUT and (texts[header] or header != "rank")]
        line = [
            cell(header.strip(), texts[header], row["job"] if header == "configuration" else "") for header in order
        ]
        found.append(Row(line, marks))
    axis = f"Drawn: {board.measure.axis}; dot mean, line 95 % interval, band lowest to highest trial"
    axis += ", box published range" if "reference_low" in board.table else ""
    return Table("ranking", board.heading, found, scale, axis)


def compared(board: Leaderboard, found: Mapping[str, Difference], other: str, name: str) -> Table | None:
    """Return the differences of jobs to another one; None if there are none.

    Args:
        board: has the jobs.
        found: the differences, by label.
        other: what they are compared with.
        name: of the table.
    """
    known = {own: it for own, it in found.items() if it.mean is not None}
    if not known:
        return None
    unit = board.measure.unit
    ranges = [it.interval or (None, None) for it in known.values()]
    trials = [value for it in known.values() for value in it.per_trial.tolist()]
    scale = scale_of([*(end for ends_ in ranges for end in ends_), *trials], unit, with_zero=True)
    rows = []
    for own, it in known.items():
        low, high = it.interval or (None, None)
        line = [
            cell("configuration", own),
            cell("difference", _difference(unit, it.mean, low, high)),
            cell("p", _p(it.p)),
            cell("verdict", _verdict(board, own, it, name)),
            cell("common trials", str(len(it.per_trial))),
        ]
        if name == "differences":
            line.append(cell("what would decide", board.answer.deciding.get(own, "")))
        rows.append(Row(line, _marks(scale, unit, it)))
    axis = f"Drawn: difference in {board.measure.words}{',' if unit.points else ''}{unit.points}: diamond mean, filled if p < 5 %"
    return Table(name, f"Compared with {other}, trial by trial", rows, scale, f"{axis}; line 95 % interval; dots trials")


def _marks(scale: Scale, unit: Unit, it: Difference) -> Marks:
    low, high = it.interval or (None, None)
    assert it.mean is not None
    words = f"{value_words(unit, it.mean, low, high).replace(unit.sign, unit.points) if unit.sign else ''}"
    dots = [scale.place(unit.factor * value) for value in it.per_trial[:MAX_DOTS].tolist()]
    where = scale.place(unit.factor * it.mean)
    return Marks(words, where, ends(scale, unit, low, high), dots=dots, filled=it.significant)


def _verdict(board: Leaderboard, own: str, it: Difference, name: str) -> str:
    if name == "differences":
        found = board.answer.verdicts.get(own)
        return "not tested" if found is None else str(found)
    if it.p is None:
        return "not tested"
    return ("better" if (it.mean or 0) > 0 else "worse") if it.significant else "undecided"


def effects_table(effects: Effects, board: Leaderboard) -> Table | None:
    """Return the means of each key's values over the other keys; None if there are none."""
    if not len(effects.main):
        return None
    unit, lines = board.measure.unit, table_rows(effects.main)
    scale = scale_of([line[f"difference{end}"] for line in lines for end in ("", "_low", "_high")], unit, True)
    rows = []
    for line in lines:
        mean, low, high = (line[f"difference{end}"] for end in ("", "_low", "_high"))
        marks = None
        if mean is not None:
            words = _difference(unit, mean, low, high)
            filled = line["p"] is not None and line["p"] < 0.05
            marks = Marks(words, scale.place(unit.factor * mean), ends(scale, unit, low, high), filled=filled)
        texts = {
            "key": line["key"],
            "value": line["value"],
            "mean": unit.number(line["mean"]),
            "to the key's best value": _difference(unit, mean, low, high) if mean is not None else "the best",
            "p": _p(line["p"]),
        }
        rows.append(Row([cell(header, text) for header, text in texts.items()], marks))
    caption = f"Means over all other keys, of {lines[0]['trials']} trials that all jobs have"
    return Table("effects", caption, rows, scale, f"Drawn: difference to the key's best value{',' + unit.points if unit.points else ''}")


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
        (jobs[name][many].accuracies(board.metric), jobs[name][few].accuracies(board.metric)) for name, few, many in steps
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
            cell("gain", _difference(unit, it.mean, low, high)),
            cell("p", _p(it.p)),
        ]
        rows.append(Row(line, _marks(scale, unit, it)._replace(dots=())))
    caption = f"What more images brought, trial by trial; intervals hold together for {len(known)} comparisons"
    return Table("gains", caption, rows, scale, f"Drawn: gain in {board.measure.words}{',' + unit.points if unit.points else ''}")


def _difference(unit: Unit, mean: float | None, low: float | None, high: float | None) -> str:
    if mean is None:
        return ""
    return unit.signed(mean) + ("" if low is None or high is None else f" ({unit.span(low, high)})")


def _p(value: float | None) -> str:
    return "" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def trials_in_words(records: Sequence[Record], metric: str) -> str:
    """Return what a comparison was computed from: 15 trials each (seeds 0 to 14) on 1,250 test images."""
    counts = {len(record.accuracies(metric)) for record in records}
    seeds = sorted({seed for record in records for seed in record.accuracies(metric)})
    trials = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    split = split_of(metric)
    numbers = {images.get(split) for record in records if (images := record.result.get("images") or {})}
    words = f"{trials} trial{'' if counts == {1} else 's'}{' each' if len(records) > 1 else ''}"
    words += f" (seed{'s' if len(seeds) > 1 else ''} {seeds[0]}{f' to {seeds[-1]}' if len(seeds) > 1 else ''})"
    known = [number for number in numbers if number]
    return words + (f", {known[0]:,} {SPLITS[split][0]} images" if len(known) == 1 == len(numbers) else "")
