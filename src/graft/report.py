"""What jobs' results say: one job's summary, and the ranked table of many jobs."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas
from rich.console import Console
from rich.table import Table

from graft.files import write_text
from graft.sweep import FAILURE

OPTIMISTIC = "ranked by test accuracy, so the winner's number is optimistic"
VALIDATED = "ranked by validation accuracy"


def percent(fraction: float) -> str:
    """Return a fraction of 1 as a percentage with one decimal."""
    return f"{100 * fraction:.1f}"


def show_job(result: dict, folder: Path) -> None:
    """Print one job's answer: accuracy over the trials, images, parameters and seconds by part."""
    accuracy, images, parameters = result["accuracy"], result["images"], result["parameters"]
    interval = accuracy["ci95"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("test accuracy", f"{percent(accuracy['mean'])} %, mean of {_trials(result)}", style="bold")
    table.add_row("lowest to highest", f"{percent(accuracy['min'])} to {percent(accuracy['max'])} %")
    table.add_row(
        "95 % interval",
        "needs two trials"
        if interval is None
        else f"{percent(max(0, interval[0]))} to {percent(min(1, interval[1]))} %, of the mean",
    )
    table.add_row("images", ", ".join(f"{split} {count:,}" for split, count in images.items()))
    table.add_row("parameters", ", ".join(f"{kind} {count:,}" for kind, count in parameters.items()))
    table.add_row("seconds", ", ".join(f"{part} {seconds:.1f}" for part, seconds in result["seconds"].items()))
    console = _console()
    console.print(table)
    console.print(f"written to {folder}", soft_wrap=True)


def _console() -> Console:
    # No markup: a job's name may hold brackets, dataset.small=[cat,dog].
    return Console(width=None if sys.stdout.isatty() else 120, markup=False, highlight=False)


def leaderboard(folder: Path) -> tuple[pandas.DataFrame, dict[str, str], str]:
    """Rank all jobs under a folder.

    Returns:
        The finished jobs, best first; the failed jobs' reasons by name; by what the ranking was made.
    """
    results = {path.parent: json.loads(path.read_text()) for path in sorted(folder.rglob("result.json"))}
    failures = {path.parent: json.loads(path.read_text())["error"] for path in sorted(folder.rglob(FAILURE))}
    finished = {path: result for path, result in results.items() if path not in failures}
    validated = bool(finished) and all(result["images"]["val"] for result in finished.values())
    rows = [_row(str(path.relative_to(folder)), result, validated) for path, result in finished.items()]
    table = pandas.DataFrame(rows)
    if rows:
        table = table.sort_values("val_accuracy" if validated else "accuracy", ascending=False, kind="stable")
        table.insert(0, "rank", range(1, len(table) + 1))
    reasons = {str(path.relative_to(folder)): reason for path, reason in failures.items()}
    return table, reasons, VALIDATED if validated else OPTIMISTIC


def _row(name: str, result: dict, validated: bool) -> dict[str, object]:
    accuracy = result["accuracy"]
    row: dict[str, object] = {"job": name}
    if validated:
        row["val_accuracy"] = sum(trial["val_accuracy"] for trial in result["trials"]) / len(result["trials"])
    return row | {
        "accuracy": accuracy["mean"],
        "low": accuracy["min"],
        "high": accuracy["max"],
        "trials": len(result["trials"]),
        "trainable": result["parameters"]["trainable"],
        "parameters": result["parameters"]["total"],
        "seconds": result["seconds"]["total"],
    }


def show_sweep(folder: Path) -> dict[str, str]:
    """Print a sweep's ranked table and write it as `leaderboard.csv` and `leaderboard.md`.

    Returns:
        The failed jobs' reasons by name.
    """
    table, failures, how = leaderboard(folder)
    console = _console()
    if len(table):
        write_text(folder / "leaderboard.csv", table.to_csv(index=False))
        headers, rows = ["rank", "job", *_columns(table)], list(_cells(table))
        write_text(folder / "leaderboard.md", f"Accuracies in percent, {how}.\n\n{_markdown(headers, rows)}\n")
        console.print(f"Accuracies in percent, {how}", soft_wrap=True)
        shown = Table()
        for header in headers:
            shown.add_column(header, justify="left" if header == "job" else "right", overflow="fold")
        for row in rows:
            shown.add_row(*row)
        console.print(shown)
    for name, reason in failures.items():
        console.print(f"failed {name}: {reason}", style="red", soft_wrap=True)
    console.print(f"written to {folder}", soft_wrap=True)
    return failures


def _columns(table: pandas.DataFrame) -> list[str]:
    validation = ["validation"] if "val_accuracy" in table else []
    return [*validation, "test", "lowest to highest", "parameters", "trainable", "seconds"]


def _cells(table: pandas.DataFrame) -> Iterable[list[str]]:
    for row in table.to_dict("records"):
        yield [
            str(row["rank"]),
            str(row["job"]),
            *([percent(row["val_accuracy"])] if "val_accuracy" in row else []),
            percent(row["accuracy"]),
            f"{percent(row['low'])} to {percent(row['high'])}",
            f"{row['parameters']:,}",
            f"{row['trainable']:,}",
            f"{row['seconds']:.1f}",
        ]


def _markdown(headers: list[str], rows: list[list[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _trials(result: dict) -> str:
    count = len(result["trials"])
    return f"{count} trials" if count > 1 else "1 trial"
