"""Reports: one job's summary; the comparison of several jobs as sentences, tables and pictures."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas
from rich.console import Console
from rich.table import Table

from graft.errors import GraftError
from graft.files import write_text
from graft.job_folder import HISTORY
from graft.report.baseline import common_baseline
from graft.report.effects import Effects, sweep_effects
from graft.report.job_files import read_history
from graft.report.labels import BUDGETS, title
from graft.report.leaderboard import INTERVALS, MARKS, Leaderboard, rank_jobs, verdict
from graft.report.plot import (
    LINES,
    draw_best_curves,
    draw_budget,
    draw_curves,
    draw_differences,
    draw_effects,
    draw_ranges,
)
from graft.report.records import Records, read_records
from graft.report.sentences import (
    answer,
    baseline_answer,
    baseline_gaps,
    budget_answers,
    copies_answer,
    count_trials,
    effects_answer,
    percent,
    span,
)
from graft.report.table import cells, effects_table, markdown, table_rows
from graft.statistics.accuracies import Copies, accuracies, num_images
from graft.statistics.comparison import describe_method, spread

CURVES = "curves.png"
IMAGES = ("big", "small", "val", "test")
PICTURES = ("leaderboard.png", "differences.png", "effects.png", "budget.png", CURVES)


def show_job(result: dict, folder: Path) -> None:
    """Print one job's summary: accuracy over the trials, images, parameters and seconds by part."""
    values, images, parameters = accuracies(result), result["images"], result["parameters"]
    accuracy = spread(values, num_images(result))
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("test accuracy", f"{percent(accuracy.mean)} %, mean of {count_trials(len(values))}", style="bold")
    if len(set(images.get("by_class", {}).get("test", {}).values())) > 1:  # else it is the same
        balanced = [trial["balanced_accuracy"] for trial in result["trials"] if trial.get("error") is None]
        table.add_row("balanced accuracy", f"{percent(sum(balanced) / len(balanced))} %, classes of equal weight")
    table.add_row("lowest to highest", f"{span(accuracy.low, accuracy.high)} %")
    interval = "needs two trials"
    if accuracy.interval is not None:
        interval = f"{span(*accuracy.interval)} %, of the mean for other {accuracy.counts}"
    table.add_row("95 % interval", interval)
    if isinstance(values, Copies):
        table.add_row("trials", "all are the same computation, which no seed changes: they count as one")
    if result["reference"]:
        low, high, source = (result["reference"][key] for key in ("low", "high", "source"))
        compared = f"{percent(low)} to {percent(high)} % ({source}): {verdict(accuracy.mean, low, high)}"
        table.add_row("published range", compared)
    table.add_row("images", ", ".join(f"{split} {images[split]:,}" for split in IMAGES if split in images))
    if images.get("ignored"):
        table.add_row("ignored files", ", ".join(f"{count:,} {reason}" for reason, count in images["ignored"].items()))
    table.add_row("parameters", ", ".join(f"{kind} {count:,}" for kind, count in parameters.items()))
    table.add_row("seconds", ", ".join(f"{part} {seconds:.1f}" for part, seconds in result["seconds"].items()))
    _console().print(table)
    _console().print(f"written to {folder}", soft_wrap=True)


def show_curves(folder: Path, config: dict, output: Path) -> None:
    """Draw one job's learning curves, if it has a history.

    Args:
        folder: the job's.
        config: its plain configuration.
        output: the folder to draw into.
    """
    history = _history(folder, folder.name)
    if history is not None and len(set(history["epoch"])) > 1:  # a head that is fitted in closed form has no curve
        draw_curves(output / CURVES, history, title(config) or folder.name)


def _history(folder: Path, name: str) -> pandas.DataFrame | None:
    """Return a job's history; None if it has none, or a damaged one, which is told."""
    if not os.path.lexists(folder / HISTORY):
        return None
    try:
        return read_history(folder / HISTORY)
    except (ValueError, OSError) as error:
        _console().print(f"left out {name}/{HISTORY}: {error}", style="red", soft_wrap=True)
        return None


def show_sweep(folder: Path, baseline: str | None = None) -> dict[str, str]:
    """Report on a sweep, within its folder, as `show_jobs` does.

    Returns:
        The failed jobs' reasons by name.
    """
    return show_jobs([folder], folder, baseline, required=False)


def show_jobs(
    folders: Sequence[Path], output: Path, baseline: str | None = None, required: bool = True
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

    Returns:
        The failed jobs' reasons by name.

    Raises:
        GraftError: a folder is missing, has no results, or no job matches a required baseline.
    """
    records, console = read_records(folders), _console()
    for name, reason in records.damaged.items():
        console.print(f"left out {name}: {reason}", style="red", soft_wrap=True)
    if not records.finished and not records.failed:
        where = ", ".join(str(folder) for folder in folders)
        raise GraftError(f"there is no {'readable ' if records.damaged else ''}result.json below {where}; try outputs")
    asked = baseline or common_baseline([record.config for record in records.finished])
    board = rank_jobs(records.finished, asked, required=required and baseline is not None)
    for picture in PICTURES:
        (output / picture).unlink(missing_ok=True)  # an earlier report's, which may not be drawn again
    if board.records:
        _show_board(board, records, output, console)
    _print_unfinished(records, console)
    console.print(f"written to {output}", soft_wrap=True)
    return records.failed


def _console() -> Console:
    # No markup: a job's name may contain brackets or colons, dataset.small=[cat,dog].
    return Console(width=None if sys.stdout.isatty() else 120, markup=False, emoji=False, highlight=False)


def _show_board(board: Leaderboard, records: Records, output: Path, console: Console) -> None:
    """Print, draw and write the comparison of finished jobs."""
    ranked, metric = board.records if board.comparison is not None else [], board.metric
    values, spreads = [job.accuracies(metric) for job in ranked], [job.spread(metric) for job in ranked]
    effects = sweep_effects([job.setting for job in ranked], values, spreads)
    sentences = _sentences(board, effects)
    _print_table(board, console)
    _draw(board, effects, output)
    for sentence in sentences:
        console.print(sentence, soft_wrap=True)
    missing = [f"Failed: {name}: {reason}." for name, reason in records.failed.items()]
    missing += [f"Left out: {name}: {reason}." for name, reason in records.damaged.items()]
    _write(board, effects, sentences + missing, output)


def _print_table(board: Leaderboard, console: Console) -> None:
    console.print(f"Accuracies in percent, {board.order}", soft_wrap=True)
    lines = [cells(row, short=True) for row in table_rows(board.table)]
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


def _sentences(board: Leaderboard, effects: Effects) -> list[str]:
    """Return the sentences about ranked jobs; none if the jobs are not ranked."""
    if board.comparison is None:
        return []
    configurations = {record.label: record.accuracies(board.metric) for record in board.records}
    sentences = [answer(configurations, board.comparison), *copies_answer(configurations)]
    if board.baseline:
        sentences.append(baseline_answer(board.baseline, board.versus_baseline))
    sentences += baseline_gaps(board.missing_baseline, board.without_counterpart)
    if len(effects.main):
        sentences.append(effects_answer(effects.main))
    if effects.budget:
        sentences += budget_answers(effects.budget, effects.curves)
    if len(board.records) > 1:
        pairs = f"with the best of {len(board.records)} configurations"
        sentences += [MARKS, describe_method(board.comparison.num_tested, pairs)]
    if board.versus_baseline:
        tested = sum(difference.p is not None for difference in board.versus_baseline.values())
        count = "1 comparison" if tested == 1 else f"{tested} comparisons"
        sentences.append(f"Comparisons with the baseline: the same tests, corrected for {count}.")
    return [*sentences, INTERVALS]


def _draw(board: Leaderboard, effects: Effects, output: Path) -> None:
    """Draw all pictures that the jobs allow."""
    draw_ranges(output / "leaderboard.png", board.compared_accuracies(), board.order, board.metric_name)
    _draw_curves(board, output)
    if board.comparison is None:
        return
    differences = board.comparison.differences
    if any(len(difference.per_trial) for difference in differences.values()):
        draw_differences(output / "differences.png", board.comparison.best, differences, board.metric_name)
    if len(effects.main):
        draw_effects(output / "effects.png", effects.main, board.metric_name)
    if effects.budget:
        draw_budget(output / "budget.png", effects.curves, BUDGETS[effects.budget], board.metric_name)


def _draw_curves(board: Leaderboard, output: Path) -> None:
    """Draw the learning curves of one job or of the best; none of jobs that answer different questions."""
    if len(board.records) == 1:
        (record,) = board.records
        show_curves(record.folder, record.config, output)
    elif board.comparison is not None:
        split = "val" if board.metric == "val_accuracy" else "test"
        best = board.records[: len(LINES)]
        found = {record.label: _history(record.folder, record.name) for record in best}
        histories = {label: history for label, history in found.items() if history is not None}
        solved = {record.label for record in best if record.solved}
        if any(history.query(f"split == '{split}'")["epoch"].nunique() > 1 for history in histories.values()):
            draw_best_curves(output / CURVES, histories, split, solved)


def _write(board: Leaderboard, effects: Effects, sentences: Sequence[str], output: Path) -> None:
    """Write the leaderboard as data (CSV), and as a page of tables and sentences (Markdown)."""
    write_text(output / "leaderboard.csv", board.table.drop(columns="label").to_csv(index=False))
    lines = [cells(row) for row in table_rows(board.table)]
    table = markdown(list(lines[0]), [list(line.values()) for line in lines])
    parts = [f"Accuracies in percent, {board.order}.", table, *sentences]
    if len(effects.main):
        parts.append(effects_table(effects.main))
    write_text(output / "leaderboard.md", "\n\n".join(parts) + "\n")
