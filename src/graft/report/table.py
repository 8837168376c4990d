"""Tables of a report, as texts: the leaderboard's lines, and main effects."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas

from graft.report.sentences import percent, span


def table_rows(table: pandas.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows; missing values, which pandas stores as NaN, are None."""
    return [
        {str(key): None if pandas.isna(value) else value for key, value in row.items()}
        for row in table.to_dict("records")
    ]


def cells(row: Mapping[str, Any], short: bool = False, trials: bool = False) -> dict[str, str]:
    """Return a job's line of the printed table: texts by header.

    Args:
        row: of `Leaderboard.table`, as `table_rows` returns it.
        short: for the terminal; leaves out the range, standard deviation, p and costs of ranked jobs.
        trials: whether to show the number of trials even so, because jobs differ in it.
    """
    ranked, validated = "rank" in row, "val_accuracy" in row
    whole = not ranked or not short
    prefix = "val_" if validated else ""
    columns = [  # header, whether the column is shown, text
        ("rank", ranked, str(row.get("rank"))),
        ("job", True, str(row["job"]).replace("experiment=", "")),
        ("validation", validated, _percent(row.get("val_accuracy"))),
        ("test", not validated, _percent(row["accuracy"])),
        ("95 % interval", True, _interval(row[f"{prefix}ci95_low"], row[f"{prefix}ci95_high"])),
        ("lowest-highest", whole, span(row[f"{prefix}low"], row[f"{prefix}high"])),
        ("std", ranked and whole, _percent(row[f"{prefix}std"])),
        ("test", validated, _percent(row["accuracy"])),  # after the spread, which is of the validation accuracies
        ("published", "verdict" in row, _interval(row.get("reference_low"), row.get("reference_high"))),
        ("to the range", "verdict" in row, row.get("verdict") or ""),
        ("to the best", ranked, _difference(row, "")),
        ("p", ranked and whole, _p(row.get("p"))),
        ("verdict", ranked, row.get("standing") or ""),
        ("to the baseline", "baseline_difference" in row, _difference(row, "baseline_")),
        ("p ", "baseline_difference" in row and whole, _p(row.get("baseline_p"))),  # headers are keys: a second "p"
        ("trials", trials or not short, str(row["trials"])),
        ("parameters", whole, _count(row["parameters"])),
        ("trainable", ranked and whole, _count(row["trainable"])),
        ("seconds", whole, "" if row["seconds"] is None else f"{row['seconds']:.1f}"),
    ]
    return {header: text for header, shown, text in columns if shown}


def effects_table(effects: pandas.DataFrame) -> str:
    """Return main effects, as `main_effects` returns them, as a table in Markdown with its heading."""
    lines = [
        [row["key"], row["value"], percent(row["mean"]), _difference(row, ""), _p(row["p"])]
        for row in table_rows(effects)
    ]
    table = markdown(["key", "value", "mean", "to the key's best value", "p"], lines)
    return f"Main effects: means over all other keys, p corrected for each key's comparisons:\n\n{table}"


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; a bar within a text would begin a new cell, and a new line would end the table."""
    texts = [[" ".join(text.replace("|", r"\|").splitlines()) for text in row] for row in (headers, *rows)]
    lines = [texts[0], ["---"] * len(headers), *texts[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else percent(fraction)


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else span(low, high)


def _count(number: float | None) -> str:
    return "" if number is None else f"{int(number):,}"


def _difference(row: Mapping[str, Any], prefix: str) -> str:
    """Return a row's difference in points with its interval: -2.4 (-2.6 to -2.2)."""
    mean, low, high = (row.get(f"{prefix}difference{end}") for end in ("", "_low", "_high"))
    if mean is None:
        return ""
    points = f"{100 * mean:+.1f}".replace("-0.0", "0.0").replace("+0.0", "0.0")
    return points if low is None or high is None else f"{points} ({span(low, high)})"


def _p(value: float | None) -> str:
    """Return a p-value with three decimals."""
    if value is None:
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"
