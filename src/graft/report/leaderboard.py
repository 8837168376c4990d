"""The leaderboard: jobs ranked and compared with the best and a baseline, or each with its published range."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas

from graft.errors import GraftError
from graft.report.as_needed import AsNeeded, as_needed, compare_as_needed
from graft.report.rows import SPREAD, backbone_costs, column, costs, difference_columns, results_row
from graft.report.unit import Measure, measure_of
from graft.report.verdicts import Answer, judge
from graft.results.baseline import baseline_keys, matches_baseline, unknown_baseline
from graft.results.measured import vary
from graft.results.metric import METRICS, in_words, name_of, split_of
from graft.results.records import Record
from graft.results.rounds import SweepRounds
from graft.statistics.accuracies import Accuracies
from graft.statistics.comparison import Comparison, Difference, compare_all, differences, ranks
from graft.statistics.margin import VARIES

DIFFERENT_IMAGES = (
    "tested on different images, or of data sets that differ: neither ranked nor compared, sorted by name"
)
DIFFERENT_RANGES = "compared with published ranges: not ranked, sorted by name"
IN_COMMON_TRIALS = ", each by its difference to the best in the trials that both have"


@dataclass
class Leaderboard:
    """Finished jobs in their order, and how they compare.

    Attributes:
        table: a row for each job; accuracies in [0, 1].
        order: how the jobs are ordered, in words.
        metric: the key of the metric by which jobs are compared, of the test or validation images.
        records: the jobs.
        comparison: with the best; None if jobs are not ranked.
        answer: what the comparison comes to.
        versus_baseline: differences to the baseline, by label.
        baseline: in words.
        missing_baseline: one that no job matches, as it was asked for.
        without_counterpart: labels of jobs that no job of the baseline equals in all else.
        lacking: why jobs are ranked by accuracy instead of the metric that was asked for; empty if they are not.
    """

    table: pandas.DataFrame
    order: str
    metric: str
    records: list[Record]
    comparison: Comparison | None = None
    answer: Answer = field(default_factory=Answer)
    versus_baseline: dict[str, Difference] = field(default_factory=dict)
    baseline: str = ""
    missing_baseline: str = ""
    without_counterpart: list[str] = field(default_factory=list)
    lacking: str = ""

    @property
    def numbers(self) -> str:
        """What the table's numbers are."""
        numbers = "Losses as they are (cross-entropy), accuracies" if name_of(self.metric) == "loss" else "Accuracies"
        return f"{numbers} in percent"

    @property
    def heading(self) -> str:
        """What the table's numbers are, and how its jobs are ordered."""
        return f"{self.numbers}, {self.order}"

    @property
    def unlike(self) -> str:
        """Why jobs that are not ranked are not: tested on different images, or compared with published ranges."""
        return self.order.partition(":")[0]

    @property
    def measure(self) -> Measure:
        """The metric by which jobs are compared, in words and with its unit."""
        return measure_of(self.metric)

    @property
    def vary(self) -> str:
        """What the trials of all jobs vary in; all, where jobs differ in that."""
        found = {vary(record.result) for record in self.records}
        only = found.pop() if len(found) == 1 else "all"
        return only if only in VARIES else "all"

    @property
    def best(self) -> Record | None:
        """The first of ranked jobs, or the only one; None of jobs that are not ranked."""
        return None if self.comparison is None else self.records[0]

    def compared(self) -> pandas.DataFrame:
        """Return the table with the compared metric in the columns that the test accuracy has."""
        if self.metric == "accuracy":
            return self.table
        columns = {column(self.metric, what): column("accuracy", what) for what in SPREAD}
        return self.table.drop(columns=list(columns.values())).rename(columns=columns)


def rank_jobs(
    records: Sequence[Record],
    baseline: str | None = None,
    required: bool = True,
    margin: float = 0.0,
    rounds: Mapping[Path, SweepRounds] | None = None,
    metric: str = "accuracy",
) -> Leaderboard:
    """Rank jobs by a metric of the validation images if every job has some, otherwise of the test images.

    Jobs with different published ranges answer different questions: each is compared with its range, and they are
    not ranked. Nor are jobs tested on different images, because their trials cannot be paired.

    Args:
        records: the finished jobs.
        baseline: what to compare the jobs with besides the best, as source:scratch; None: nothing.
        required: whether to refuse a baseline that no job matches: in a sweep, its job may have failed.
        margin: the largest difference that does not matter, a fraction of 1.
        rounds: what the rounds of sweeps with trials=auto have found, by folder.
        metric: its name, one of `METRICS`. Where a job does not have it, all are ranked by accuracy, and `order` says
            why.

    Raises:
        GraftError: no job matches a required baseline, or a margin is given for a loss.
    """
    metric, lacking = ranked_by(records, metric)
    if name_of(metric) == "loss" and margin:
        raise GraftError(f"a margin of {100 * margin:g} percent points means nothing for a loss; try a margin of 0")
    order = f"ranked by {in_words(metric)}{', the lowest first' if name_of(metric) == 'loss' else ''}"
    order += f" ({lacking})" if lacking else ""
    reason = not_comparable(records)
    if reason:
        table = pandas.DataFrame([results_row(record, metric) | costs(record) for record in records])
        return Leaderboard(table, reason, metric, list(records))
    if not records:
        return Leaderboard(pandas.DataFrame(), order, metric, [])
    by_label = {record.label: record for record in records}
    found = {record.label: record.accuracies(metric) for record in records}
    shared = as_needed(records, rounds or {})
    comparison, placed = _compared(found, shared)
    if shared is not None and len({len(accuracies) for accuracies in found.values()}) > 1:
        order += IN_COMMON_TRIALS
    board = Leaderboard(pandas.DataFrame(), order, metric, [by_label[name] for name in placed], comparison)
    board.lacking = lacking
    images = "validation images" if split_of(metric) == "val" else "test images"
    board.answer = judge(found, comparison, margin, board.vary, shared, images)
    if baseline:
        _compare_with_baseline(board, baseline, required)
    board.table = pandas.DataFrame(_ranked_rows(board, comparison, placed))
    return board


def ranked_by(records: Sequence[Record], name: str) -> tuple[str, str]:
    """Return the key of the metric by which jobs are ranked, and why it is another one than asked for, if it is."""
    prefix = "val_" if validated(records) else ""
    for record in records:
        try:
            record.accuracies(prefix + name)
        except ValueError as error:
            return f"{prefix}accuracy", f"{record.label} has no {METRICS[name]}, because {error}"
    return prefix + name, ""


def _compared(configurations: Mapping[str, Accuracies], shared: AsNeeded | None) -> tuple[Comparison, dict[str, int]]:
    """Return the comparison with the best, and the ranks, both in their order."""
    if shared is not None:
        return compare_as_needed(configurations, shared)
    placed = ranks(configurations)
    return compare_all({name: configurations[name] for name in placed}), placed


def validated(records: Sequence[Record]) -> bool:
    """Return whether every job has validation images, and accuracies on them."""
    return bool(records) and all(
        (record.result.get("images") or {}).get("val") and record.accuracies("val_accuracy") for record in records
    )


def not_comparable(records: Sequence[Record]) -> str | None:
    """Return why jobs cannot be ranked; None if they can."""
    tested_on = {record.tested_on for record in records}
    settings = {_test_settings(record) for record in records} if None in tested_on else set()
    if len(tested_on - {None}) > 1 or len(settings) > 1:
        return DIFFERENT_IMAGES
    if len({str(record.result.get("reference")) for record in records}) > 1:
        return DIFFERENT_RANGES
    return None


def _test_settings(record: Record) -> str:
    """Return what tells test images apart where a result of an older version does not name them.

    The data set's folder does not count: it may be elsewhere on another machine.
    """
    dataset = record.config.get("dataset") or {}
    count = (record.result.get("images") or {}).get("test")
    return str([count, *(dataset.get(key) for key in ("_target_", "small", "test_per_class"))])


def _ranked_rows(board: Leaderboard, comparison: Comparison, places: Mapping[str, int]) -> list[dict[str, object]]:
    rows, prices = [], backbone_costs(board.records, board.metric)
    for record, price in zip(board.records, prices, strict=True):
        versus_best = comparison.differences.get(record.label)
        row = {"rank": places[record.label], **results_row(record, board.metric), **difference_columns("", versus_best)}
        row["standing"] = _standing(record.label, board)
        if board.baseline:
            row |= difference_columns("baseline_", board.versus_baseline.get(record.label))
        rows.append(row | costs(record) | price)
    return rows


def _standing(name: str, board: Leaderboard) -> str:
    found = board.answer.verdicts.get(name, "best")
    return "not tested" if found is None else str(found)


def _compare_with_baseline(board: Leaderboard, baseline: str, required: bool) -> None:
    """Compare jobs with the one that matches the baseline; if several do, with the one that is otherwise equal.

    Raises:
        GraftError: no job matches a required baseline.
    """
    records = board.records
    bases = [record for record in records if matches_baseline(baseline, record.choices, record.config)]
    if not bases:
        if required:
            raise unknown_baseline(baseline, [record.setting for record in records])
        board.missing_baseline = baseline
        return
    pairs = []
    for record in (record for record in records if record not in bases):
        base = bases[0] if len(bases) == 1 else _counterpart(record, bases, baseline_keys(baseline))
        if base is None:
            board.without_counterpart += [] if record.added else [record.label]
        else:
            pairs.append((record, base))
    tested = differences([(record.accuracies(board.metric), base.accuracies(board.metric)) for record, base in pairs])
    board.versus_baseline = {record.label: it for (record, _), it in zip(pairs, tested, strict=True)}
    board.baseline = bases[0].label if len(bases) == 1 else f"{baseline}, all else equal"


def _counterpart(record: Record, bases: Sequence[Record], keys: set[str]) -> Record | None:
    """Return the first of some jobs that differs from a job in nothing but these keys."""
    others = {key: value for key, value in record.setting.items() if key not in keys}
    return next((base for base in bases if {k: v for k, v in base.setting.items() if k not in keys} == others), None)
