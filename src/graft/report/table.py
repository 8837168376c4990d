"""Tables of a report, as texts: the leaderboard's lines, and main effects."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas

from graft.report.rows import SPREAD, column
from graft.report.unit import PERCENT, Unit, unit_of
from graft.results.metric import METRICS, name_of, split_of


def table_rows(table: pandas.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows; missing values, which pandas stores as NaN, are None."""
    return [
        {str(key): None if pandas.isna(value) else value for key, value in row.items()}
        for row in table.to_dict("records")
    ]


def cells(
    row: Mapping[str, Any], metric: str = "accuracy", short: bool = False, trials: bool = False
) -> dict[str, str]:
    """Return a job's line of the printed table: texts by header, which are the same for all rows of a table.

    Args:
        row: of `Leaderboard.table`, as `table_rows` returns it.
        metric: the key of the metric by which jobs are compared.
        short: for the terminal; leaves out the range, standard deviation, p and costs of ranked jobs.
        trials: whether to show the number of trials even so, because jobs differ in it.
    """
    ranked, unit = "rank" in row, unit_of(metric)
    whole = not ranked or not short
    columns = [  # header, whether the column is shown, text
        ("rank", ranked, str(row.get("rank"))),
        ("job", True, _job(row)),
        *_metric_columns(row, metric, ranked, whole),
        ("published", "verdict" in row, _interval(row.get("reference_low"), row.get("reference_high"))),
        ("to the range", "verdict" in row, row.get("verdict") or ""),
        ("to the best", ranked, _difference(row, "", unit)),
        ("p", ranked and whole, p_words(row.get("p"))),
        ("verdict", ranked, row.get("standing") or ""),
        ("to the baseline", "baseline_difference" in row, _difference(row, "baseline_", unit)),
        ("p ", "baseline_difference" in row and whole, p_words(row.get("baseline_p"))),  # headers are keys: not "p"
        ("trials", trials or not short, str(row["trials"])),
        ("parameters", whole, _count(row["parameters"])),
        ("GFLOPs", "front" in row, _digits(row.get("gflops"))),
        ("images/s", "front" in row, _digits(row.get("images_per_second"))),
        ("front", "front" in row, "yes" if row.get("front") else ""),
        ("trainable", ranked and whole, _count(row["trainable"])),
        ("seconds", whole, "" if row["seconds"] is None else f"{row['seconds']:,.1f}"),
    ]
    return {header: text for header, shown, text in columns if shown}


def short_lines(table: pandas.DataFrame, metric: str) -> list[dict[str, str]]:
    """Return the lines of `Leaderboard.table` for the terminal and notebooks, with the number of trials if jobs differ.

    Args:
        table: a row for each job.
        metric: the key of the metric by which jobs are compared.
    """
    uneven = len(set(table["trials"])) > 1
    return [cells(row, metric, short=True, trials=uneven) for row in table_rows(table)]


def _job(row: Mapping[str, Any]) -> str:
    """Return a job's name; the folder `default` of one that was typed without a list does not say what it is."""
    name = str(row["job"])
    if name.rpartition("/")[2] == "default" and row.get("label", name) != name:
        return f"{name} ({row['label']})"
    texts = (("experiment=", ""), ("_baseline=self", " (baseline)"), ("_baseline=control", " (control)"))
    for text, shown in texts:
        name = name.replace(text, shown)
    return name


def _metric_columns(row: Mapping[str, Any], metric: str, ranked: bool, whole: bool) -> list[tuple[str, bool, str]]:
    """Return the columns of a job's metric, and those of its accuracies beside another metric."""
    validated, name, unit = split_of(metric) == "val", name_of(metric), unit_of(metric)
    mean, low, high, std, first, last = (row.get(column(metric, what)) for what in SPREAD)
    own = "" if name == "accuracy" else METRICS[name]
    test = f"test {own}".strip() if not own or whole or validated else own
    return [
        (f"validation {own}".strip(), validated, _number(mean, unit)),
        (test, not validated, _number(mean, unit)),
        ("95 % interval", True, _interval(first, last, unit)),
        ("lowest-highest", whole, _interval(low, high, unit)),
        ("std", ranked and whole, "" if std is None else unit.size(std)),
        (test, validated, _number(row.get(name), unit)),  # after the spread, which is of the validation's
        ("test accuracy", bool(own), _number(row["accuracy"])),
        ("balanced", "balanced" in row and name != "balanced_accuracy", _number(row.get("balanced"))),
    ]


def effects_table(effects: pandas.DataFrame, unit: Unit = PERCENT) -> str:
    """Return main effects, as `main_effects` returns them, as a table in Markdown with its heading."""
    lines = [
        [row["key"], row["value"], unit.number(row["mean"]), _difference(row, "", unit), p_words(row["p"])]
        for row in table_rows(effects)
    ]
    table = markdown(["key", "value", "mean", "to the key's best value", "p"], lines)
    return f"Main effects: means over all other keys, p corrected for each key's comparisons:\n\n{table}"


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; a bar within a text would begin a new cell, and a new line would end the table."""
    texts = [[" ".join(text.replace("|", r"\|").splitlines()) for text in row] for row in (headers, *rows)]
    lines = [texts[0], ["---"] * len(headers), *texts[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float | None, unit: Unit = PERCENT) -> str:
    return "" if value is None else unit.number(value)


def _interval(low: float | None, high: float | None, unit: Unit = PERCENT) -> str:
    return "" if low is None or high is None else unit.span(low, high)


def _count(number: float | None) -> str:
    return "" if number is None else f"{int(number):,}"


def _digits(number: float | None) -> str:
    """Return a number with three digits: 0.0123, 4.56, 1,230."""
    return "" if number is None else f"{float(f'{number:.3g}'):,g}"


def _difference(row: Mapping[str, Any], prefix: str, unit: Unit) -> str:
    """Return a row's difference with its interval: -2.4 (-2.6 to -2.2)."""
    mean, low, high = (row.get(f"{prefix}difference{end}") for end in ("", "_low", "_high"))
    return unit.difference(mean, low, high)


def p_words(value: float | None) -> str:
    """Return a p-value with three decimals; empty without one."""
    return "" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"
