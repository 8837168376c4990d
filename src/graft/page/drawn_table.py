"""Tables of a page with a drawing in each row, and what their cells say."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from graft.page.forest import MAX_DOTS, Marks, Scale, ends
from graft.report.unit import Unit
from graft.statistics.comparison import Difference

PLOTTED = ("95 % interval", "difference", "recall", "to the key's best value", "gain")  # a drawing follows these
TEXTS = ("job", "configuration", "class", "verdict", "to the range", "key", "value", "what would decide")


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
    number = None if is_text else re.match(r"[<+-]*\d[\d,]*\.?\d*", text)
    order = text if is_text else number.group().replace(",", "").lstrip("<+") if number else ""
    return Cell(header, text, order, "" if note == text else note, is_text)


def marks_of(scale: Scale, unit: Unit, it: Difference) -> Marks:
    """Return the drawing of a difference that has common trials."""
    low, high = it.interval or (None, None)
    assert it.mean is not None
    interval = "no interval" if it.interval is None else f"95 % interval {unit.span(*it.interval)}{unit.points}"
    words = f"mean difference {unit.signed(it.mean)}{unit.points}, {interval}"
    dots = [scale.place(unit.factor * value) for value in it.per_trial[:MAX_DOTS].tolist()]
    where = scale.place(unit.factor * it.mean)
    return Marks(words, where, ends(scale, unit, low, high), dots=dots, filled=it.significant)


def in_points(words: str, unit: Unit) -> str:
    """Return what an axis of differences is called."""
    return f"{words},{unit.points}" if unit.points else words
