"""Reports: the comparison of several jobs as sentences, tables and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from graft.errors import GraftError
from graft.files import write_text
from graft.report.as_needed import ended_otherwise, method
from graft.report.canvas import LINES
from graft.report.curves import draw_best_curves
from graft.report.effect_sentences import budget_answers, effects_answer
from graft.report.effects import Effects, sweep_effects
from graft.report.leaderboard import Leaderboard, rank_jobs
from graft.report.plot import draw_budget, draw_differences, draw_effects, draw_ranges
from graft.report.sentences import (
    answer,
    baseline_answer,
    baseline_gaps,
    best_answer,
    copies_answer,
    deciding_answers,
    images_answer,
    join_words,
)
from graft.report.show_job import CURVES, history, show_curves, terminal
from graft.report.table import cells, effects_table, markdown, table_rows
from graft.report.verdicts import claim_of
from graft.results.baseline import common_baseline, common_margin, common_metric
from graft.results.labels import BUDGETS
from graft.results.metric import split_of
from graft.results.records import Records, read_records
from graft.statistics.comparison import describe_method

PICTURES = ("leaderboard.png", "differences.png", "effects.png", "budget.png", CURVES)


def show_sweep(folder: Path, baseline: str | None = None) -> dict[str, str]:
    """Report on a sweep, within its folder, as `show_jobs` does.

    Returns:
        The failed jobs' reasons by name.
    """
    return show_jobs([folder], folder, baseline, required=False)


def show_jobs(
    folders: Sequence[Path],
    output: Path,
    baseline: str | None = None,
    required: bool = True,
    margin: float | None = None,
    metric: str | None = None,
) -> dict[str, str]:
    """Compare all jobs below some folders: print the report, and write it.

    Writes `leaderboard.csv`, `leaderboard.md` and `leaderboard.png`, and if there is something to draw
    `differences.png`, `effects.png`, `budget.png` and `curves.png`.

    Args:
        folders: searched at any depth.
        output: the folder to write into.
        baseline: what to compare the jobs with besides the best, as source:scratch; None: the baseline in their
            configurations, if all have the same.
        required: whether to refuse a baseline that no job matches.
        margin: in percent points; None: that of their configurations, if all have the same, or else 0.
        metric: what ranks them; None: that of their configurations, if all have the same, or else accuracy.

    Returns:
        The failed jobs' reasons by name.

    Raises:
        GraftError: a folder is missing, has no results, no job matches a required baseline, or a job lacks the metric.
    """
    report = compare_jobs(folders, baseline, required, margin, metric)
    show_report(report, output)
    return report.records.failed


@dataclass(frozen=True)
class Report:
    """What a comparison of jobs comes to.

    Attributes:
        records: all jobs that were found.
        board: the finished ones, ranked.
        effects: of the keys in which they differ.
        sentences: the answer in words; none if the jobs are not ranked.
    """

    records: Records
    board: Leaderboard
    effects: Effects
    sentences: list[str]


def compare_jobs(
    folders: Sequence[Path],
    baseline: str | None = None,
    required: bool = True,
    margin: float | None = None,
    metric: str | None = None,
) -> Report:
    """Compare all jobs below some folders; the arguments and errors are those of `show_jobs`."""
    records = read_records(folders)
    if not (records.finished or records.failed or records.refits):
        what = f"{'readable ' if records.damaged else ''}result.json below {', '.join(map(str, folders))}"
        raise GraftError(f"there is no {what}; try outputs")
    configs = [record.config for record in records.finished]
    asked = baseline or common_baseline(configs)
    points, name = common_margin(configs) if margin is None else margin, metric or common_metric(configs)
    board = rank_jobs(records.finished, asked, required and baseline is not None, points / 100, records.rounds, name)
    if metric is not None and board.lacking:
        raise GraftError(f"{board.lacking}; try --metric accuracy")
    ranked, key = board.records if board.comparison is not None else [], board.metric
    values, spreads = [job.accuracies(key) for job in ranked], [job.spread(key) for job in ranked]
    effects = sweep_effects([job.setting for job in ranked], values, spreads)
    return Report(records, board, effects, [*_sentences(board, effects), *_ends(records)])


def show_report(report: Report, output: Path) -> None:
    """Print a report, and write its tables and pictures into a folder."""
    records, board, console = report.records, report.board, terminal()
    for name, reason in records.damaged.items():
        console.print(f"left out {name}: {reason}", style="red", soft_wrap=True)
    for picture in PICTURES:
        (output / picture).unlink(missing_ok=True)  # an earlier report's, which may not be drawn again
    if board.records:
        print_table(board, console)
        draw(report, output)
        for sentence in report.sentences:
            console.print(sentence, soft_wrap=True)
        missing = [f"Failed: {name}: {reason}." for name, reason in records.failed.items()]
        missing += [f"Left out: {name}: {reason}." for name, reason in records.damaged.items()]
        _write(board, report.effects, report.sentences + missing, output)
    _print_unfinished(records, console)
    if board.records or not records.refits:
        console.print(f"written to {output}", soft_wrap=True)


def print_table(board: Leaderboard, console: Console) -> None:
    """Print the ranked jobs."""
    console.print(board.heading, soft_wrap=True)
    uneven = len(set(board.table["trials"])) > 1
    lines = [cells(row, board.metric, short=True, trials=uneven) for row in table_rows(board.table)]
    table = Table()
    for header in lines[0]:
        left = header in ("rank", "job", "verdict")
        table.add_column(header, justify="left" if left else "right", overflow="fold", no_wrap=header != "job")
    for line in lines:
        table.add_row(*line.values())
    console.print(table)


def _print_unfinished(records: Records, console: Console) -> None:
    for name, reason in records.failed.items():
        console.print(f"failed {name}: {reason}", style="red", soft_wrap=True)
    for name, note in records.pruned.items():
        console.print(f"pruned {name} {note}", soft_wrap=True)
    for name, words in records.refits.items():
        console.print(f"not ranked {name}: {words}", soft_wrap=True)


def _sentences(board: Leaderboard, effects: Effects) -> list[str]:
    """Return the sentences about ranked jobs; none if the jobs are not ranked."""
    if board.comparison is None:
        return []
    configurations = {record.label: record.accuracies(board.metric) for record in board.records}
    best, found, unit = board.records[0], board.answer, board.measure.unit
    spread, images = best.spread(board.metric), best.result.get("images") or {}
    claimed = claim_of(configurations[best.label], spread.counts, best.config, images)
    sentences = [answer(configurations, board.comparison, found, unit), *copies_answer(configurations)]
    sentences.append(best_answer(best.label, spread, claimed, found, len(configurations), unit))
    sentences += [*deciding_answers(best.label, board.comparison, found), *ended_otherwise(found.ended)]
    if board.baseline:
        sentences.append(baseline_answer(board.baseline, board.versus_baseline, found.least, unit))
    sentences += baseline_gaps(board.missing_baseline, board.without_counterpart)
    if len(effects.main):
        sentences.append(effects_answer(effects.main, unit))
    if effects.budget:
        sentences += budget_answers(effects.budget, effects.curves)
    if found.shared is not None:
        others = {"main effects": len(effects.main) > 0, "comparisons with the baseline": bool(board.baseline)}
        fixed = ["intervals of means", *(what for what, shown in others.items() if shown)]
        sentences.append(method(found.shared, join_words(fixed)))
    elif len(board.records) > 1:
        pairs = f"with the best of {len(board.records)} configurations"
        sentences.append(describe_method(board.comparison.num_tested, pairs, found.least))
    if split_of(board.metric) == "test":
        sentences += images_answer(board.comparison.differences.values())
    if board.versus_baseline:
        tested = sum(difference.p is not None for difference in board.versus_baseline.values())
        count = "1 comparison" if tested == 1 else f"{tested} comparisons"
        sentences.append(f"Comparisons with the baseline: the same tests, corrected for {count}.")
    return sentences


def _ends(records: Records) -> list[str]:
    """Return why the jobs of sweeps with trials=auto got no more trials; of several folders with their names."""
    ends = {folder: sweep.ended for folder, sweep in sorted(records.rounds.items()) if sweep.ended}
    whole = all(job.folder.is_relative_to(folder) for job in records.finished for folder in ends)
    return [ended if whole else f"{folder}: {ended}" for folder, ended in ends.items()]


def draw(report: Report, output: Path) -> None:
    """Draw all pictures that the jobs allow, into a folder."""
    board, effects = report.board, report.effects
    draw_ranges(output / "leaderboard.png", board.compared(), board.order, board.measure)
    _draw_curves(board, output)
    if board.comparison is None:
        return
    differences = board.comparison.differences
    if any(len(difference.per_trial) for difference in differences.values()):
        draw_differences(output / "differences.png", board.comparison.best, differences, board.measure)
    if len(effects.main):
        draw_effects(output / "effects.png", effects.main, board.measure)
    if effects.budget:
        draw_budget(output / "budget.png", effects.curves, BUDGETS[effects.budget], board.measure)


def _draw_curves(board: Leaderboard, output: Path) -> None:
    """Draw the learning curves of one job or of the best; none of jobs that answer different questions."""
    if len(board.records) == 1:
        (record,) = board.records
        show_curves(record.folder, record.config, output)
    elif board.comparison is not None:
        split = split_of(board.metric)
        best = board.records[: len(LINES)]
        found = {record.label: history(record.folder, record.name) for record in best}
        histories = {label: history for label, history in found.items() if history is not None}
        solved = {record.label for record in best if record.solved}
        if any(history.query(f"split == '{split}'")["epoch"].nunique() > 1 for history in histories.values()):
            draw_best_curves(output / CURVES, histories, split, solved)


def _write(board: Leaderboard, effects: Effects, sentences: Sequence[str], output: Path) -> None:
    """Write the leaderboard as data (CSV), and as a page of tables and sentences (Markdown)."""
    write_text(output / "leaderboard.csv", board.table.drop(columns="label").to_csv(index=False))
    lines = [cells(row, board.metric) for row in table_rows(board.table)]
    table = markdown(list(lines[0]), [list(line.values()) for line in lines])
    parts = [f"{board.heading}.", table, *sentences]
    if len(effects.main):
        parts.append(effects_table(effects.main, board.measure.unit))
    write_text(output / "leaderboard.md", "\n\n".join(parts) + "\n")
