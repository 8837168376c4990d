"""A page's confusion matrix, and what each class came to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from graft.analysis.confusion_table import confusion_table
from graft.analysis.per_class import per_class
from graft.analysis.predictions import Predictions
from graft.nouns import counted
from graft.page.drawn_table import Row, Table, cell
from graft.page.forest import Marks, ends, scale_of, value_words
from graft.report.table import table_rows
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
        several: whether they are of several trials or repeats, so that they have ranges.
    """

    classes: list[str]
    rows: list[tuple[str, list[MatrixCell]]]
    pairs: list[Pair]
    note: str
    count: str
    several: bool


def matrix_of(found: Predictions) -> Matrix:
    """Return the confusion matrix of a job's trials."""
    trial, image = np.nonzero(found.tested)
    codes = found.labels[image] * len(found.classes) + found.predicted[trial, image]
    sums = np.unique(codes, return_counts=True)[1]  # sorted by the pair, as the table is
    pairs = table_rows(confusion_table(found).assign(sum=sums))
    wrong = sorted((row for row in pairs if row["class"] != row["prediction"]), key=lambda row: -row["sum"])
    right = [row for row in pairs if row["class"] == row["prediction"]]
    shown, notes = _shown(wrong, found.classes), []
    if len(shown) < len(found.classes):
        notes.append(f"Of {len(found.classes):,} classes, the {len(shown)} with the most wrong predictions are shown.")
    if len(wrong) > MOST_PAIRS:
        notes.append(f"The table below lists the {MOST_PAIRS} most frequent of {len(wrong):,} confusions.")
    unit, weighed, tests, several = found.run_noun, "", found.tests, bool(found.runs.max())
    count = f"{counted(len(codes), 'prediction')}: {found.trials}, "
    count += counted(len(found.images), "test image")
    count += f"; ranges are from {unit} to {unit}" if several else ""
    if tests.min() < tests.max():
        weighed = ", each image once"
        count += f"; images were tested by {tests.min()} to {tests.max()} trials, and count once each in a share"
    if not several:  # one has no range
        pairs, wrong, right = ([row | {"low": None} for row in rows] for rows in (pairs, wrong, right))
    listed = [_pair(row) for row in (*wrong[:MOST_PAIRS], *right[:MOST_PAIRS])]
    columns = [*shown, *(["all others"] if len(shown) < len(found.classes) else [])]
    rows = _rows(pairs, shown, columns, unit, weighed)
    return Matrix(columns, rows, listed, " ".join(notes), count, several)


def _shown(wrong: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> list[str]:
    """Return the classes that the matrix has, in their order: all, or those with the most wrong predictions."""
    if len(classes) <= MOST_CLASSES:
        return list(classes)
    total: Counter[str] = Counter()
    for row in wrong:
        total[row["class"]] += row["sum"]
        total[row["prediction"]] += row["sum"]
    most = {name for name, _ in total.most_common(MOST_CLASSES)}
    return [name for name in classes if name in most] or list(classes[:MOST_CLASSES])


def _rows(
    pairs: Sequence[Mapping[str, Any]], shown: Sequence[str], columns: Sequence[str], unit: str, weighed: str
) -> list[tuple[str, list[MatrixCell]]]:
    of_pair = {(row["class"], row["prediction"]): row for row in pairs}
    of_class: Counter[str] = Counter()
    for row in pairs:
        of_class[row["class"]] += row["sum"]
    rows = []
    for true in shown:
        known = [of_pair.get((true, said)) for said in shown]
        cells = [_cell(true, said, row, of_class[true], unit, weighed) for said, row in zip(shown, known, strict=True)]
        if len(columns) > len(shown):
            rest = of_class[true] - sum(row["sum"] for row in known if row)
            words = f"{true} taken for another class: {rest:,} of {of_class[true]:,} predictions"
            cells.append(MatrixCell(f"{rest:,}", words, "w0" if rest else "zero"))
        rows.append((true, cells))
    return rows


def _cell(true: str, said: str, row: Mapping[str, Any] | None, of_class: int, unit: str, weighed: str) -> MatrixCell:
    right = true == said
    what = f"{true} recognized" if right else f"{true} taken for {said}"
    if row is None:
        return MatrixCell("0", f"{what}: never, of {of_class:,} predictions", "zero")
    pair = _pair(row)
    span = f"; {pair.range} a {unit}" if pair.range else ""
    words = f"{what}: {pair.sum} of {of_class:,} predictions ({pair.share} of {true}{weighed}){span}"
    shade = row["share"] if right else row["share"] ** 0.5  # few errors can be seen, too
    return MatrixCell(pair.sum, words, f"{'r' if right else 'w'}{round(SHADES * shade)}")


def _pair(row: Mapping[str, Any]) -> Pair:
    low, high = row["low"], row["high"]
    span = ""
    if low is not None:
        span = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return Pair(row["class"], row["prediction"], f"{row['sum']:,}", f"{100 * row['share']:.1f} %", span)


def classes_table(found: Predictions) -> Table:
    """Return what each class came to: precision, recall and F1 with their intervals, those of recall drawn."""
    rows, table, single = [], per_class(found), len(found.outcomes.seeds) == 1
    lines = table_rows(table.head(MOST_ROWS))
    scale = scale_of([line[f"recall{end}"] for line in lines for end in ("", "_low", "_high")], PERCENT)
    for line in lines:
        mean, low, high = line["recall"], line["recall_low"], line["recall_high"]
        marks = None
        if mean is not None:
            place = scale.place(100 * mean)
            marks = Marks(f"recall, {value_words(PERCENT, mean, low, high)}", place, ends(scale, PERCENT, low, high))
        texts = {metric: _value(line, metric) for metric in ("recall", "precision", "f1")}
        line_cells = [cell("class", line["class"], line["note"])]
        line_cells += [cell(name.replace("f1", "F1"), text) for name, text in texts.items()]
        line_cells.append(cell("test images", f"{line['images']:,}"))
        line_cells.append(cell("taken for it", f"{line['predicted']:,.{0 if single else 1}f}"))
        rows.append(Row(line_cells, marks))
    more = "" if len(table) <= MOST_ROWS else f"; the first {MOST_ROWS:,} of {len(table):,} classes"
    images = f"{found.trials}, {counted(len(found.images), 'test image')}"
    means = "" if single else ", means over the trials"
    caption = f"In percent, with 95 % intervals, of {images}{means}{more}"
    return Table("classes", caption, rows, scale, "Drawn: recall, %; line 95 % interval")


def _value(line: Mapping[str, Any], metric: str) -> str:
    mean, low, high = (line[f"{metric}{end}"] for end in ("", "_low", "_high"))
    if mean is None:
        return ""
    return PERCENT.number(mean) + ("" if low is None or high is None else f" ({PERCENT.span(low, high)})")
