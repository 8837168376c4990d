"""A page's confusion matrix, and what each class came to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas

from graft.analysis.confusion_table import confusion_table
from graft.analysis.per_class import per_class
from graft.analysis.predictions import Predictions
from graft.nouns import counted
from graft.page.forest import Marks, ends, scale_of, value_words
from graft.page.ranking import Row, Table, cell
from graft.report.unit import PERCENT

MOST_CLASSES = 25  # a matrix of more cannot be read
SHADES = 10
MOST_PAIRS = 200  # that the table of pairs lists
MOST_ROWS = 1000  # classes that the table of classes lists


class MatrixCell(NamedTuple):
    """A cell: its number, the same in a sentence, and how dark it is."""

    text: str
    words: str
    shade: str


class Pair(NamedTuple):
    """How often one class was taken for one other, or for itself, in texts."""

    true: str
    said: str
    sum: str
    share: str
    range: str


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix, summed over trials.

    Attributes:
        classes: of its columns; the last one is that of all other classes, if some have none.
        rows: a class and its cells.
        pairs: the confusions, most frequent first.
        note: in words, what was left out; empty if nothing was.
        count: what its numbers count.
    """

    classes: list[str]
    rows: list[tuple[str, list[MatrixCell]]]
    pairs: list[Pair]
    note: str
    count: str


def matrix_of(found: Predictions) -> Matrix:
    """Return the confusion matrix of a job's trials."""
    table = confusion_table(found)
    trial, image = np.nonzero(found.tested)
    codes = found.labels[image] * len(found.classes) + found.predicted[trial, image]
    table["sum"] = np.unique(codes, return_counts=True)[1]  # sorted as the table is
    shown = _shown(table, found.classes)
    note = ""
    if len(shown) < len(found.classes):
        note = f"Of {len(found.classes):,} classes, the {len(shown)} with the most wrong predictions are shown."
    wrong = table[table["class"] != table["prediction"]].sort_values("sum", ascending=False, kind="stable")
    listed = wrong.head(MOST_PAIRS)
    if len(listed) < len(wrong):
        note += f" The table below lists the {MOST_PAIRS} most frequent of {len(wrong):,} confusions."
    what = _unit(found)
    count = f"{counted(len(codes), 'prediction')}: {counted(len(found.outcomes.seeds), 'trial')}, "
    count += f"{counted(len(found.images), 'test image')}; ranges are from {what} to {what}"
    right = table[table["class"] == table["prediction"]].head(MOST_PAIRS)
    pairs = [_pair(row) for row in pandas.concat([listed, right]).to_dict("records")]
    return Matrix(*_rows(table, shown, found), pairs, note.strip(), count)


def _unit(found: Predictions) -> str:
    """Return what a range is over."""
    return "repeat" if found.outcomes.folds else "trial"


def _shown(table: pandas.DataFrame, classes: Sequence[str]) -> list[str]:
    """Return the classes that the matrix has, in their order: all, or those with the most wrong predictions."""
    if len(classes) <= MOST_CLASSES:
        return list(classes)
    wrong = table[table["class"] != table["prediction"]]
    total = wrong.groupby("class")["sum"].sum().add(wrong.groupby("prediction")["sum"].sum(), fill_value=0)
    most = set(total.sort_values(ascending=False, kind="stable").index[:MOST_CLASSES])
    return [name for name in classes if name in most] or list(classes[:MOST_CLASSES])


def _rows(
    table: pandas.DataFrame, shown: Sequence[str], found: Predictions
) -> tuple[list[str], list[tuple[str, list[MatrixCell]]]]:
    of_pair = {(row["class"], row["prediction"]): row for row in table.to_dict("records")}
    of_class = table.groupby("class")["sum"].sum().to_dict()
    others, rows = len(shown) < len(found.classes), []
    for true in shown:
        cells = [_cell(true, said, of_pair.get((true, said)), of_class.get(true, 0), _unit(found)) for said in shown]
        if others:
            rest = of_class.get(true, 0) - sum(row["sum"] for said in shown if (row := of_pair.get((true, said))))
            cells.append(MatrixCell(f"{rest:,}", f"{true} taken for another class: {rest:,}", "zero" if not rest else "w0"))
        rows.append((true, cells))
    return [*shown, *(["others"] if others else [])], rows


def _cell(true: str, said: str, row: dict | None, of_class: int, unit: str) -> MatrixCell:
    right = true == said
    what = f"{true} recognized" if right else f"{true} taken for {said}"
    if row is None:
        return MatrixCell("0", f"{what}: never, of {of_class:,} predictions", "zero")
    pair = _pair(row)
    span = f"; {pair.range} a {unit}" if pair.range else ""
    words = f"{what}: {pair.sum} of {of_class:,} predictions ({pair.share} of {true}){span}"
    return MatrixCell(pair.sum, words, f"{'r' if right else 'w'}{round(SHADES * row['share'] ** (1 if right else 0.5))}")


def _pair(row: dict) -> Pair:
    low, high = row["low"], row["high"]
    known = low is not None and high is not None and not pandas.isna(low)
    span = "" if not known else f"{int(low):,}" if low == high else f"{int(low):,} to {int(high):,}"
    return Pair(row["class"], row["prediction"], f"{row['sum']:,}", f"{100 * row['share']:.1f} %", span)


def classes_table(found: Predictions) -> Table:
    """Return what each class came to: precision, recall and F1 with their intervals, those of recall drawn."""
    rows, table = [], per_class(found).astype(object)
    lines = table.where(table.notna(), None).head(MOST_ROWS).to_dict("records")
    scale = scale_of([line[f"recall{end}"] for line in lines for end in ("", "_low", "_high")], PERCENT)
    for line in lines:
        mean, low, high = line["recall"], line["recall_low"], line["recall_high"]
        marks = None
        if mean is not None:
            place = scale.place(100 * mean)
            marks = Marks(f"recall, {value_words(PERCENT, mean, low, high)}", place, ends(scale, PERCENT, low, high))
        texts = {metric: _value(line, metric) for metric in ("recall", "precision", "f1")}
        line_cells = [cell("class", line["class"], line["note"])._replace(is_text=True)]
        line_cells += [cell(name.replace("f1", "F1"), text) for name, text in texts.items()]
        line_cells.append(cell("test images", f"{line['images']:,}"))
        line_cells.append(cell("taken for it, mean over trials", f"{line['predicted']:,.1f}"))
        rows.append(Row(line_cells, marks))
    more = "" if len(table) <= MOST_ROWS else f"; the first {MOST_ROWS:,} of {len(table):,} classes"
    images = f"{counted(len(found.outcomes.seeds), 'trial')}, {counted(len(found.images), 'test image')}"
    caption = f"In percent, mean over trials with 95 % interval, of {images}{more}"
    return Table("classes", caption, rows, scale, "Drawn: recall, % (dot mean, line 95 % interval)")


def _value(line: dict, metric: str) -> str:
    mean, low, high = (line[f"{metric}{end}"] for end in ("", "_low", "_high"))
    if mean is None:
        return ""
    return PERCENT.number(mean) + ("" if low is None or high is None else f" ({PERCENT.span(low, high)})")
