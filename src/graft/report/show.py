"""What jobs' results say: one job's summary, and the answer of many jobs in words, tables and pictures."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas
from rich.console import Console
from rich.table import Table

from graft.errors import GraftError
from graft.files import write_text
from graft.job_folder import HISTORY
from graft.report.effects import budget_curves, budget_key, budget_sentences, is_grid, main_effects
from graft.report.leaderboard import STANDINGS, Leaderboard, cells, markdown, p_value, rank, signed, verdict
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
from graft.report.records import read_records
from graft.report.sentences import answer, beside_baseline, percent, trials
from graft.report.settings import BUDGETS
from graft.report.statistics import LEVEL, method

CURVES = "curves.png"
PICTURES = ("leaderboard.png", "differences.png", "effects.png", "budget.png", CURVES)


def show_job(result: dict, folder: Path) -> None:
    """Print one job's answer: accuracy over the trials, images, parameters and seconds by part."""
    accuracy, images, parameters = result["accuracy"], result["images"], result["parameters"]
    interval = accuracy["ci95"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    mean = f"{percent(accuracy['mean'])} %, mean of {trials(len(result['trials']))}"
    table.add_row("test accuracy", mean, style="bold")
    table.add_row("lowest to highest", f"{percent(accuracy['min'])} to {percent(accuracy['max'])} %")
    table.add_row(
        "95 % interval",
        "needs two trials"
        if interval is None
        else f"{percent(max(0, interval[0]))} to {percent(min(1, interval[1]))} %, of the mean",
    )
    if result["reference"]:
        low, high, source = (result["reference"][key] for key in ("low", "high", "source"))
        said = f"{percent(low)} to {percent(high)} % ({source}): {verdict(accuracy['mean'], low, high)}"
        table.add_row("published range", said)
    table.add_row("images", ", ".join(f"{split} {count:,}" for split, count in images.items()))
    table.add_row("parameters", ", ".join(f"{kind} {count:,}" for kind, count in parameters.items()))
    table.add_row("seconds", ", ".join(f"{part} {seconds:.1f}" for part, seconds in result["seconds"].items()))
    console = _console()
    console.print(table)
    console.print(f"written to {folder}", soft_wrap=True)


def show_curves(folder: Path, config: dict, output: Path) -> None:
    """Draw one job's learning curves, if it has left its history.

    Args:
        folder: the job's.
        config: its plain configuration.
        output: the folder to draw into.
    """
    if (folder / HISTORY).exists():
        history = pandas.read_csv(folder / HISTORY)
        if len(set(history["epoch"])) > 1:  # a head that is solved has no curve
            draw_curves(output / CURVES, history, title(config) if config else folder.name)


def _console() -> Console:
    # No markup: a job's name may hold brackets, dataset.small=[cat,dog].
    return Console(width=None if sys.stdout.isatty() else 120, markup=False, highlight=False)


def show_sweep(folder: Path, baseline: str | None = None) -> dict[str, str]:
    """Print a sweep's answer, and write it into its folder.

    Returns:
        The failed jobs' reasons by name.
    """
    return show_jobs([folder], folder, baseline)


def show_jobs(folders: Sequence[Path], output: Path, baseline: str | None = None) -> dict[str, str]:
    """Print the answer of all jobs under some folders.

    It is written as `leaderboard.csv`, `.md` and `.png`, and as `differences.png`, `effects.png`, `budget.png` and
    `curves.png` where there is something to draw.

    Args:
        folders: where to look, at any depth.
        output: the folder to write into.
        baseline: what jobs are compared with besides the best, as source:scratch; None: what their configurations
            name, if all name the same.

    Returns:
        The failed jobs' reasons by name.

    Raises:
        GraftError: a folder is missing, has no results, or no job is the baseline.
    """
    records = read_records(folders)
    console = _console()
    for name, reason in records.damaged.items():
        console.print(f"skipped {name}, which is damaged: {reason}", style="red", soft_wrap=True)
    if not records.finished and not records.failed:
        where = ", ".join(str(folder) for folder in folders)
        raise GraftError(f"there is no {'readable ' if records.damaged else ''}result.json below {where}; try outputs")
    board = rank(records.finished, baseline or _named_baseline([record.config for record in records.finished]))
    for picture in PICTURES:
        (output / picture).unlink(missing_ok=True)  # one that is not drawn now would tell of other jobs
    if board.records:
        _show_table(board, console)
        _show_curves(board, output)
        said, tables = _say(board, output)
        for line in said:
            console.print(line, soft_wrap=True)
        _write(board, said, tables, output)
    for name, reason in records.failed.items():
        console.print(f"failed {name}: {reason}", style="red", soft_wrap=True)
    for name, note in records.pruned.items():
        console.print(f"pruned {name} {note}", soft_wrap=True)
    console.print(f"written to {output}", soft_wrap=True)
    return records.failed


def _named_baseline(configs: Sequence[dict]) -> str | None:
    named = {(config.get("report") or {}).get("baseline") for config in configs}
    return named.pop() if len(named) == 1 else None


def _show_table(board: Leaderboard, console: Console) -> None:
    console.print(f"Accuracies in percent, {board.how}", soft_wrap=True)
    lines = [cells(row, short=True) for row in board.table.to_dict("records")]
    shown = Table()
    for header in lines[0]:
        left = header in ("rank", "job", "verdict")
        shown.add_column(header, justify="left" if left else "right", overflow="fold", no_wrap=header != "job")
    for line in lines:
        shown.add_row(*line.values())
    console.print(shown)


def _show_curves(board: Leaderboard, output: Path) -> None:
    """Draw the learning curves of one job, or of the best ones; not of such as answer different questions."""
    if len(board.records) == 1:
        (record,) = board.records
        show_curves(record.folder, record.config, output)
    elif board.comparison is not None:
        split = "val" if board.metric == "val_accuracy" else "test"
        best = [record for record in board.records[: len(LINES)] if (record.folder / HISTORY).exists()]
        histories = {record.label: pandas.read_csv(record.folder / HISTORY) for record in best}
        if any(history.query(f"split == '{split}'")["epoch"].nunique() > 1 for history in histories.values()):
            draw_best_curves(output / CURVES, histories, split)


def _say(board: Leaderboard, output: Path) -> tuple[list[str], list[str]]:
    """Draw what the jobs allow to be drawn.

    Returns:
        The sentences, and further tables in Markdown.
    """
    columns = {f"val_{name}": name for name in ("accuracy", "low", "high")} if board.metric == "val_accuracy" else {}
    table = board.table.drop(columns=list(columns.values())).rename(columns=columns)
    draw_ranges(output / "leaderboard.png", table, board.how, board.measure)
    if board.comparison is None:
        return [], []
    beside = board.comparison.differences
    accuracies = [record.accuracies(board.metric) for record in board.records]
    settings = [record.setting for record in board.records]
    labels = [record.label for record in board.records]
    said = [answer(dict(zip(labels, accuracies, strict=True)), board.comparison)]
    if board.baseline:
        said.append(beside_baseline(board.baseline, board.beside))
    tables = []
    if any(len(difference.each) for difference in beside.values()):
        draw_differences(output / "differences.png", board.comparison.best, beside, board.measure)
    if is_grid(settings):
        effects = main_effects(settings, accuracies)
        if len(effects):
            draw_effects(output / "effects.png", effects, board.measure)
            said += _effect_sentences(effects)
            tables.append(_effect_table(effects))
    key = budget_key(settings)
    curves = budget_curves(key, settings, accuracies) if key else []
    if key and curves:
        draw_budget(output / "budget.png", curves, BUDGETS[key], board.measure)
        said += budget_sentences(key, curves)
    if len(labels) > 1:
        said.append(STANDINGS)
        said.append(method(board.comparison.pairs, f"all pairs of {len(labels)} configurations"))
    if board.baseline and board.beside:
        tested = sum(difference.p is not None for difference in board.beside.values())
        said.append(f"The same beside the baseline, for its own {tested}.")
    said.append("Intervals of means: Student's t, 95 % for each alone.")
    return said, tables


def _effect_sentences(effects: pandas.DataFrame) -> list[str]:
    parts = []
    for key, rows in effects.groupby("key", sort=False):
        values = ", ".join(f"{value} {percent(mean)}" for value, mean in zip(rows["value"], rows["mean"], strict=True))
        told = any(p < LEVEL for p in rows["p"].dropna())
        parts.append(f"{key}: {values}{'' if told else ' (no effect to be told)'}")
    return ["Main effects, over all else: " + "; ".join(parts) + "."]


def _effect_table(effects: pandas.DataFrame) -> str:
    lines = [
        [row["key"], row["value"], percent(row["mean"]), signed(row), p_value(row["p"])]
        for row in effects.to_dict("records")
    ]
    table = markdown(["key", "value", "mean", "to the key's best value", "p"], lines)
    return f"Main effects, each over all other keys, p corrected among the key's values:\n\n{table}"


def _write(board: Leaderboard, said: Sequence[str], tables: Sequence[str], output: Path) -> None:
    write_text(output / "leaderboard.csv", board.table.drop(columns="label").to_csv(index=False))
    lines = [cells(row) for row in board.table.to_dict("records")]
    table = markdown(list(lines[0]), [list(line.values()) for line in lines])
    parts = [f"Accuracies in percent, {board.how}.", table, *said, *tables]
    write_text(output / "leaderboard.md", "\n\n".join(parts) + "\n")
