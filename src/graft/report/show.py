"""Reports: one job's summary; the comparison of several jobs as sentences, tables and pictures."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas
from rich.console import Console
from rich.table import Table

from graft.errors import GraftError
from graft.files import write_text
from graft.job_folder import HISTORY
from graft.report.effects import Effects, sweep_effects
from graft.report.labels import BUDGETS
from graft.report.leaderboard import MARKS, Leaderboard, rank_jobs, verdict
from graft.report.plot import (
    LINES,
    draw_best_curves,
    draw_budget,
    draw_curves,
    draw_differences,
    draw_effects,
    draw_ranges,
    title,
)
from graft.report.records import Record, Records, read_records
from graft.report.sentences import answer, baseline_answer, budget_answers, count_trials, effects_answer, percent
from graft.report.statistics import describe_method
from graft.report.table import cells, effects_table, markdown, table_rows

CURVES = "curves.png"
PICTURES = ("leaderboard.png", "differences.png", "effects.png", "budget.png", CURVES)


def show_job(result: dict, folder: Path) -> None:
    """Print one job's summary: accuracy over the trials, images, parameters and seconds by part."""
    accuracy, images, parameters = result["accuracy"], result["images"], result["parameters"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    mean = f"{percent(accuracy['mean'])} %, mean of {count_trials(len(result['trials']))}"
    table.add_row("test accuracy", mean, style="bold")
    if len(set(images.get("by_class", {}).get("test", {}).values())) > 1:  # else it is the same
        values = [trial["balanced_accuracy"] for trial in result["trials"] if "error" not in trial]
        table.add_row("balanced accuracy", f"{percent(sum(values) / len(values))} %, classes of equal weight")
    table.add_row("lowest to highest", f"{percent(accuracy['min'])} to {percent(accuracy['max'])} %")
    interval = "needs two trials"
    if accuracy["ci95"] is not None:
        low, high = accuracy["ci95"]  # Student's t may exceed [0, 1]
        interval = f"{percent(max(0, low))} to {percent(min(1, high))} %, of the mean"
    table.add_row("95 % interval", interval)
    if result["reference"]:
        low, high, source = (result["reference"][key] for key in ("low", "high", "source"))
        compared = f"{percent(low)} to {percent(high)} % ({source}): {verdict(accuracy['mean'], low, high)}"
        table.add_row("published range", compared)
    table.add_row("images", ", ".join(f"{split} {images[split]:,}" for split in ("big", "small", "val", "test")))
    if images.get("ignored"):
        table.add_row("ignored files", ", ".join(f"{count:,} {reason}" for reason, count in images["ignored"].items()))
    table.add_row("parameters", ", ".join(f"{kind} {count:,}" for kind, count in parameters.items()))
    table.add_row("seconds", ", ".join(f"{part} {seconds:.1f}" for part, seconds in result["seconds"].items()))
    console = _console()
    console.print(table)
    console.print(f"written to {folder}", soft_wrap=True)


def show_curves(folder: Path, config: dict, output: Path) -> None:
    """Draw one job's learning curves, if it has a history.

    Args:
        folder: the job's.
        config: its plain configuration.
        output: the folder to draw into.
    """
    if (folder / HISTORY).exists():
        history = pandas.read_csv(folder / HISTORY)
        if len(set(history["epoch"])) > 1:  # a head that is fitted in closed form has no curve
            draw_curves(output / CURVES, history, title(config) if config else folder.name)


def show_sweep(folder: Path, baseline: str | None = None) -> dict[str, str]:
    """Report on a sweep, within its folder, as `show_jobs` does.

    Returns:
        The failed jobs' reasons by name.
    """
    return show_jobs([folder], folder, baseline)


def show_jobs(folders: Sequence[Path], output: Path, baseline: str | None = None) -> dict[str, str]:
    """Compare all jobs below some folders: print the report, and write it.

    Writes `leaderboard.csv`, `leaderboard.md` and `leaderboard.png`, and if there is something to draw
    `differences.png`, `effects.png`, `budget.png` and `curves.png`.

    Args:
        folders: searched at any depth.
        output: the folder to write into.
        baseline: what to compare the jobs with besides the best, as source:scratch; None: the baseline in their
            configurations, if all have the same.

    Returns:
        The failed jobs' reasons by name.

    Raises:
        GraftError: a folder is missing, has no results, or no job matches the baseline.
    """
    records, console = read_records(folders), _console()
    for name, reason in records.damaged.items():
        console.print(f"skipped {name}, which is damaged: {reason}", style="red", soft_wrap=True)
    if not records.finished and not records.failed:
        where = ", ".join(str(folder) for folder in folders)
        raise GraftError(f"there is no {'readable ' if records.damaged else ''}result.json below {where}; try outputs")
    board = rank_jobs(records.finished, baseline or _common_baseline(records.finished))
    for picture in PICTURES:
        (output / picture).unlink(missing_ok=True)  # an earlier report's, which may not be drawn again
    if board.records:
        _show_board(board, output, console)
    _print_unfinished(records, console)
    console.print(f"written to {output}", soft_wrap=True)
    return records.failed


def _console() -> Console:
    # No markup: a job's name may contain brackets, dataset.small=[cat,dog].
    return Console(width=None if sys.stdout.isatty() else 120, markup=False, highlight=False)


def _common_baseline(records: Sequence[Record]) -> str | None:
    """Return the baseline in the jobs' configurations, if all have the same."""
    baselines = {(record.config.get("report") or {}).get("baseline") for record in records}
    return baselines.pop() if len(baselines) == 1 else None


def _show_board(board: Leaderboard, output: Path, console: Console) -> None:
    """Print, draw and write the comparison of finished jobs."""
    ranked = board.records if board.comparison is not None else []
    accuracies = [record.accuracies(board.metric) for record in ranked]
    effects = sweep_effects([record.setting for record in ranked], accuracies)
    sentences = _sentences(board, effects)
    _print_table(board, console)
    _draw(board, effects, output)
    for sentence in sentences:
        console.print(sentence, soft_wrap=True)
    _write(board, effects, sentences, output)


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
    sentences = [answer({record.label: record.accuracies(board.metric) for record in board.records}, board.comparison)]
    if board.baseline:
        sentences.append(baseline_answer(board.baseline, board.versus_baseline))
    if len(effects.main):
        sentences.append(effects_answer(effects.main))
    if effects.budget:
        sentences += budget_answers(effects.budget, effects.curves)
    if len(board.records) > 1:
        pairs = f"all pairs of {len(board.records)} configurations"
        sentences += [MARKS, describe_method(board.comparison.num_tested, pairs)]
    if board.versus_baseline:
        tested = sum(difference.p is not None for difference in board.versus_baseline.values())
        count = "1 comparison" if tested == 1 else f"{tested} comparisons"
        sentences.append(f"Comparisons with the baseline: the same tests, corrected for {count}.")
    return [*sentences, "Intervals of means: Student's t, 95 % each."]


def _draw(board: Leaderboard, effects: Effects, output: Path) -> None:
    """Draw all pictures that the jobs allow."""
    draw_ranges(output / "leaderboard.png", _compared_accuracies(board), board.order, board.metric_name)
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


def _compared_accuracies(board: Leaderboard) -> pandas.DataFrame:
    """Return the table with the accuracies that were compared, on validation or test images, in the same columns."""
    if board.metric == "accuracy":
        return board.table
    columns = {f"val_{name}": name for name in ("accuracy", "low", "high")}
    return board.table.drop(columns=list(columns.values())).rename(columns=columns)


def _draw_curves(board: Leaderboard, output: Path) -> None:
    """Draw the learning curves of one job or of the best; none of jobs that answer different questions."""
    if len(board.records) == 1:
        (record,) = board.records
        show_curves(record.folder, record.config, output)
    elif board.comparison is not None:
        split = "val" if board.metric == "val_accuracy" else "test"
        best = [record for record in board.records[: len(LINES)] if (record.folder / HISTORY).exists()]
        histories = {record.label: pandas.read_csv(record.folder / HISTORY) for record in best}
        if any(history.query(f"split == '{split}'")["epoch"].nunique() > 1 for history in histories.values()):
            draw_best_curves(output / CURVES, histories, split)


def _write(board: Leaderboard, effects: Effects, sentences: Sequence[str], output: Path) -> None:
    """Write the leaderboard as data (CSV), and as a page of tables and sentences (Markdown)."""
    write_text(output / "leaderboard.csv", board.table.drop(columns="label").to_csv(index=False))
    lines = [cells(row) for row in table_rows(board.table)]
    table = markdown(list(lines[0]), [list(line.values()) for line in lines])
    parts = [f"Accuracies in percent, {board.order}.", table, *sentences]
    if len(effects.main):
        parts.append(effects_table(effects.main))
    write_text(output / "leaderboard.md", "\n\n".join(parts) + "\n")
