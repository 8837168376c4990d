"""What jobs' results say: one job's summary, and the table of many jobs."""

import json
import sys
from pathlib import Path

import pandas
from rich.console import Console
from rich.table import Table

from graft.files import write_text
from graft.plot import draw_ranges, words
from graft.search import PRUNED
from graft.sweep import FAILURE

COMPARED = "beside published ranges, in the order of their names"
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


def _console() -> Console:
    # No markup: a job's name may hold brackets, dataset.small=[cat,dog].
    return Console(width=None if sys.stdout.isatty() else 120, markup=False, highlight=False)


def verdict(mean: float, low: float, high: float) -> str:
    """Compare a mean with a published range at one decimal of a percentage, which is what is published."""
    points, lowest, highest = (round(1000 * value) for value in (mean, low, high))
    if lowest <= points <= highest:
        return "within"
    return f"below by {(lowest - points) / 10}" if points < lowest else f"above by {(points - highest) / 10}"


def leaderboard(folder: Path) -> tuple[pandas.DataFrame, dict[str, str], str]:
    """Tabulate all jobs under a folder.

    Jobs with different published ranges answer different questions: they are compared with these and not ranked.

    Returns:
        The finished jobs, best first; the failed jobs' reasons by name; by what they were ordered.
    """
    results = {path.parent: json.loads(path.read_text()) for path in sorted(folder.rglob("result.json"))}
    failures = {path.parent: json.loads(path.read_text())["error"] for path in sorted(folder.rglob(FAILURE))}
    finished = {path: result for path, result in results.items() if path not in failures}
    reasons = {str(path.relative_to(folder)): reason for path, reason in failures.items()}
    validated = bool(finished) and all(result["images"]["val"] for result in finished.values())
    table = pandas.DataFrame(
        [_row(str(path.relative_to(folder)), result, validated) for path, result in finished.items()]
    )
    if len({str(result.get("reference")) for result in finished.values()}) > 1:
        return table, reasons, COMPARED
    if len(table):
        table = table.sort_values("val_accuracy" if validated else "accuracy", ascending=False, kind="stable")
        table.insert(0, "rank", range(1, len(table) + 1))
    return table, reasons, VALIDATED if validated else OPTIMISTIC


def _row(name: str, result: dict, validated: bool) -> dict[str, object]:
    accuracy, reference = result["accuracy"], result.get("reference")
    row: dict[str, object] = {"job": name, "label": words(name, result.get("config", ()))}
    if validated:
        row["val_accuracy"] = sum(trial["val_accuracy"] for trial in result["trials"]) / len(result["trials"])
    row |= {"accuracy": accuracy["mean"], "low": accuracy["min"], "high": accuracy["max"]}
    if reference:
        low, high = reference["low"], reference["high"]
        row |= {"reference_low": low, "reference_high": high, "verdict": verdict(accuracy["mean"], low, high)}
    return row | {
        "trials": len(result["trials"]),
        "parameters": result["parameters"]["total"],
        "trainable": result["parameters"]["trainable"],
        "seconds": result["seconds"]["total"],
    }


def show_sweep(folder: Path) -> dict[str, str]:
    """Print a sweep's table, and write it as `leaderboard.csv` and `.md` with a picture, `leaderboard.png`.

    Returns:
        The failed jobs' reasons by name.
    """
    table, failures, how = leaderboard(folder)
    console = _console()
    if len(table):
        write_text(folder / "leaderboard.csv", table.drop(columns="label").to_csv(index=False))
        cells = [_cells(row) for row in table.to_dict("records")]
        headers, rows = list(cells[0]), [list(row.values()) for row in cells]
        write_text(folder / "leaderboard.md", f"Accuracies in percent, {how}.\n\n{_markdown(headers, rows)}\n")
        draw_ranges(folder / "leaderboard.png", table, how)
        console.print(f"Accuracies in percent, {how}", soft_wrap=True)
        shown = Table()
        for header in headers:
            shown.add_column(header, justify="left" if header in ("job", "verdict") else "right", overflow="fold")
        for row in rows:
            shown.add_row(*row)
        console.print(shown)
    for name, reason in failures.items():
        console.print(f"failed {name}: {reason}", style="red", soft_wrap=True)
    for path in sorted(folder.rglob(PRUNED)):
        if not path.with_name("result.json").exists():
            console.print(f"pruned {path.parent.relative_to(folder)} {_pruned(path)}", soft_wrap=True)
    console.print(f"written to {folder}", soft_wrap=True)
    return failures


def _pruned(path: Path) -> str:
    note = json.loads(path.read_text())
    return f"at epoch {note['epoch']}, validation accuracy {percent(note['val_accuracy'])} %"


def _cells(row: dict) -> dict[str, str]:
    """Return a job's line of the table; only what the jobs have makes a column."""
    compared = "verdict" in row
    has_reference = compared and not pandas.isna(row["reference_low"])
    return {
        **({"rank": str(row["rank"])} if "rank" in row else {}),
        "job": str(row["job"]).replace("experiment=", ""),
        **({"validation": percent(row["val_accuracy"])} if "val_accuracy" in row else {}),
        "test": percent(row["accuracy"]),
        "lowest-highest": _range(row["low"], row["high"]),
        **(
            {"published": _range(row["reference_low"], row["reference_high"]) if has_reference else ""}
            if compared
            else {}
        ),
        **({"verdict": row["verdict"] if has_reference else ""} if compared else {}),
        "parameters": f"{row['parameters']:,}",
        **({} if compared else {"trainable": f"{row['trainable']:,}"}),
        "seconds": f"{row['seconds']:.1f}",
    }


def _range(low: float, high: float) -> str:
    return f"{percent(low)} to {percent(high)}"


def _markdown(headers: list[str], rows: list[list[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _trials(result: dict) -> str:
    count = len(result["trials"])
    return f"{count} trials" if count > 1 else "1 trial"
