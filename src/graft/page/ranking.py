"""The tables of a page that compare jobs: the ranked one, paired differences, main effects."""

from collections.abc import Mapping, Sequence

from graft.figures.curves import SPLITS
from graft.nouns import counted, few
from graft.page.drawn_table import Row, Table, cell, in_points, marks_of
from graft.page.forest import MAX_DOTS, Marks, ends, scale_of, value_words
from graft.report.effects import Effects
from graft.report.leaderboard import Leaderboard
from graft.report.rows import SPREAD, column
from graft.report.table import cells, p_words, table_rows
from graft.report.unit import PERCENT
from graft.report.verdicts import judged
from graft.results.measured import distinct_images
from graft.results.metric import name_of, split_of
from graft.results.records import Record
from graft.statistics.accuracies import dataset_of, num_folds
from graft.statistics.comparison import Difference
from graft.statistics.intervals import LEVEL

LEFT_OUT = ("job", "std", "p", "lowest-highest", "trainable")  # they are elsewhere on the page, or in leaderboard.csv
BETWEEN = ("rank", "to the best", "verdict")  # nothing of one job
MAX_SEEDS = 6  # that are listed, where they are not in a row


def ranked(board: Leaderboard) -> Table:
    """Return all jobs in their order, with their means and intervals."""
    unit, metric = board.measure.unit, board.metric
    rows, by_label = table_rows(board.table), {record.label: record for record in board.records}
    spread = [[row[column(metric, what)] for what in SPREAD] for row in rows]
    drawn = name_of(metric) == "accuracy"  # published ranges are of accuracies
    published = [[row.get(f"reference_{end}") if drawn else None for end in ("low", "high")] for row in rows]
    shown = [value for mean, low, high, _, first, last in spread for value in (mean, low, high, first, last)]
    scale = scale_of([*shown, *(value for values in published for value in values)], unit)
    found = []
    for row, (mean, low, high, _, first, last), box in zip(rows, spread, published, strict=True):
        words = f"{value_words(unit, mean, first, last)}, trials {unit.span(low, high)}{unit.sign}"
        places = ends(scale, unit, first, last), ends(scale, unit, low, high), ends(scale, PERCENT, *box)
        marks = Marks(words, scale.place(unit.factor * mean), *places)
        texts = {"rank": "", "configuration": by_label[row["label"]].label, **cells(row, metric)}
        hidden = LEFT_OUT if len(rows) > 1 else (*LEFT_OUT, *BETWEEN)
        order = [header for header in texts if header.strip() not in hidden and (texts[header] or header != "rank")]
        line = [
            cell(header.strip(), texts[header], row["job"] if header == "configuration" else "") for header in order
        ]
        found.append(Row(line, marks))
    axis = f"Drawn: {board.measure.axis}; dot mean, line 95 % interval, band lowest to highest trial"
    axis += ", box published range" if drawn and "reference_low" in board.table else ""
    return Table("ranking", board.heading if len(rows) > 1 else board.numbers, found, scale, axis)


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
            cell("difference", unit.difference(it.mean, low, high)),
            cell("p", p_words(it.p)),
            cell("verdict", _verdict(board, own, it, name)),
            cell("common trials", str(len(it.per_trial))),
        ]
        if name == "differences" and board.answer.deciding:
            line.append(cell("what would decide", board.answer.deciding.get(own, "")))
        rows.append(Row(line, marks_of(scale, unit, it)))
    axis = f"Drawn: difference in {in_points(board.measure.words, unit)}; diamond mean, filled if p < 5 %"
    axis += "; line 95 % interval; dots trials"
    axis += f", the first {MAX_DOTS}" if max(len(it.per_trial) for it in known.values()) > MAX_DOTS else ""
    return Table(name, f"Compared with {other}, trial by trial", rows, scale, axis)


def _verdict(board: Leaderboard, own: str, it: Difference, name: str) -> str:
    # The margin is for the choice of the best, as in the sentence about the baseline.
    found = board.answer.verdicts.get(own) if name == "differences" else judged(it, margin=0.0)
    return "not tested" if found is None else str(found)


def paired_words(records: Sequence[Record]) -> str:
    """Say what trials of one seed have in common under several configurations."""
    drawn = [(dataset_of(record.result), (record.result.get("images") or {}).get("small")) for record in records]
    if all(each == drawn[0] for each in drawn):
        return "Trial k draws the same images under every configuration, and all are tested on the same images"
    return (
        "Trial k has the same seed under every configuration, but draws other images where their number, or another "
        "setting of the data, differs; all are tested on the same images"
    )


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
            words = unit.difference(mean, low, high)
            filled = line["p"] is not None and line["p"] < LEVEL
            marks = Marks(words, scale.place(unit.factor * mean), ends(scale, unit, low, high), filled=filled)
        texts = {
            "key": line["key"],
            "value": line["value"],
            "mean": unit.number(line["mean"]),
            "to the key's best value": unit.difference(mean, low, high) if mean is not None else "the best",
            "p": p_words(line["p"]),
        }
        rows.append(Row([cell(header, text) for header, text in texts.items()], marks))
    caption = f"Means over all other keys, of {lines[0]['trials']} trials that all jobs have; "
    caption += "p is corrected for each key's comparisons"
    axis = "Drawn: " + in_points("difference to the key's best value", unit)
    return Table("effects", caption, rows, scale, axis)


def trials_in_words(records: Sequence[Record], metric: str) -> str:
    """Return what a comparison was computed from: 15 trials each (seeds 0 to 14) on 1,250 test images."""
    counts = {len(record.accuracies(metric)) for record in records}
    seeds = sorted({seed for record in records for seed in record.accuracies(metric)})
    trials = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    split = split_of(metric)
    numbers = {distinct_images(record.result, record.outcomes, metric) for record in records}
    words = f"{trials} trial{'' if counts == {1} else 's'}{' each' if len(records) > 1 else ''}"
    in_a_row = 0 < seeds[-1] - seeds[0] == len(seeds) - 1
    told = f"{seeds[0]} to {seeds[-1]}" if in_a_row else few(list(map(str, seeds)), MAX_SEEDS)
    words += f" (seed{'s' if len(seeds) > 1 else ''} {told})"
    known = [number for number in numbers if number]
    if len(known) != 1 or len(numbers) != 1:
        return words
    folds = split == "test" and any(num_folds(record.result) for record in records)
    return f"{words}, {counted(known[0], f'{SPLITS[split][0]} image')}{', fold by fold' if folds else ''}"
