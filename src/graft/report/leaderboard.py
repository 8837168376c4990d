"""The table of many jobs: ranked, each beside the best and a baseline, or each beside its published range."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas

from graft.report.records import Record
from graft.report.sentences import percent, span
from graft.report.settings import keys_of, matches, unknown_baseline
from graft.report.statistics import MIN_TRIALS, Comparison, Difference, compare_all, differences, ranking, spread

DIFFERENT = "tested on different images: neither ranked nor compared, in the order of their names"
COMPARED = "beside published ranges, in the order of their names"
OPTIMISTIC = "ranked by test accuracy, so the winner's number is optimistic"
VALIDATED = "ranked by validation accuracy"
STANDINGS = "Marked *: not distinguishable from the best; marked ?: too few trials to tell."


@dataclass
class Leaderboard:
    """Finished jobs in their order, and how they compare."""

    table: pandas.DataFrame
    how: str  # by what they are ordered
    metric: str  # a trial's key: accuracy, or val_accuracy
    records: list[Record]
    comparison: Comparison | None = None  # None where jobs are compared with published ranges, or there are none
    beside: dict[str, Difference] = field(default_factory=dict)  # to the baseline, by label
    baseline: str = ""  # in words

    @property
    def measure(self) -> str:
        return "validation accuracy" if self.metric == "val_accuracy" else "test accuracy"


def rank(records: Sequence[Record], baseline: str | None = None) -> Leaderboard:
    """Rank jobs by validation accuracy where every job has it, else by test accuracy.

    Jobs with different published ranges answer different questions: they are compared with these and not ranked. No
    more are jobs that were tested on different images, whose trials are no pairs.

    Args:
        records: the finished jobs.
        baseline: what the jobs are compared with besides the best, as source:scratch.

    Raises:
        GraftError: no job is the baseline.
    """
    validated = bool(records) and all(
        (record.result.get("images") or {}).get("val") and record.accuracies("val_accuracy") for record in records
    )
    metric, how = ("val_accuracy", VALIDATED) if validated else ("accuracy", OPTIMISTIC)
    differ = len({_tested_on(record) for record in records}) > 1
    if differ or len({str(record.result.get("reference")) for record in records}) > 1:
        table = pandas.DataFrame([_row(record, metric) | _costs(record) for record in records])
        return Leaderboard(table, DIFFERENT if differ else COMPARED, metric, list(records))
    if not records:
        return Leaderboard(pandas.DataFrame(), how, metric, [])
    by_label = {record.label: record for record in records}
    ranked = [by_label[name] for name in ranking({record.label: record.accuracies(metric) for record in records})]
    comparison = compare_all({record.label: record.accuracies(metric) for record in ranked})
    beside, words = _beside(ranked, metric, baseline) if baseline else ({}, "")
    rows = []
    for place, record in enumerate(ranked, start=1):
        row = _row(record, metric)
        row = {"rank": place, **row, **_difference("", comparison.differences.get(record.label))}
        row["standing"] = _standing(comparison.differences.get(record.label))
        if baseline:
            row |= _difference("baseline_", beside.get(record.label))
        rows.append(row | _costs(record))
    return Leaderboard(pandas.DataFrame(rows), how, metric, ranked, comparison, beside, words)


def _tested_on(record: Record) -> str:
    """Return what a job's test images were chosen by, and how many there are; a data set's place is left out."""
    dataset = record.config.get("dataset") or {}
    count = (record.result.get("images") or {}).get("test")
    return str([count, *(dataset.get(key) for key in ("_target_", "small", "test_per_class"))])


def _row(record: Record, metric: str) -> dict[str, object]:
    row: dict[str, object] = {"job": record.name, "label": record.label}
    if metric != "accuracy":
        row |= _spread(record, metric, "val_")
    row |= _spread(record, "accuracy", "")
    reference = record.result.get("reference")
    if reference:
        low, high = reference["low"], reference["high"]
        said = verdict(spread(record.accuracies()).mean, low, high)
        row |= {"reference_low": low, "reference_high": high, "verdict": said}
    return row


def _spread(record: Record, metric: str, prefix: str) -> dict[str, object]:
    own = spread(record.accuracies(metric))
    low, high = own.interval or (None, None)
    names = ("accuracy", "low", "high", "std", "ci95_low", "ci95_high")
    return dict(zip((prefix + name for name in names), (own.mean, own.low, own.high, own.std, low, high), strict=True))


def _costs(record: Record) -> dict[str, object]:
    parameters = record.result.get("parameters") or {}
    return {
        "trials": len(record.accuracies()),
        "parameters": parameters.get("total"),
        "trainable": parameters.get("trainable"),
        "seconds": (record.result.get("seconds") or {}).get("total"),
    }


def _difference(prefix: str, difference: Difference | None) -> dict[str, object]:
    low, high = (difference and difference.interval) or (None, None)
    values = (difference and difference.mean, low, high, difference and difference.p)
    names = ("difference", "difference_low", "difference_high", "p")
    return dict(zip((prefix + name for name in names), values, strict=True))


def _standing(difference: Difference | None) -> str:
    if difference is None:
        return "best"
    if difference.p is None:
        return f"fewer than {MIN_TRIALS} common trials"
    return "worse" if difference.told else "not distinguishable"


def _beside(records: Sequence[Record], metric: str, baseline: str) -> tuple[dict[str, Difference], str]:
    """Compare with the baseline: the one job that it names, or else the one that differs in nothing but its keys.

    Raises:
        GraftError: no job is the baseline.
    """
    bases = [record for record in records if matches(baseline, record.choices, record.config)]
    if not bases:
        raise unknown_baseline(baseline, [record.setting for record in records])
    pairs = []
    for record in records:
        base = bases[0] if len(bases) == 1 else _counterpart(record, bases, keys_of(baseline))
        if base is not None and record not in bases:
            pairs.append((record, base))
    tested = differences([(record.accuracies(metric), base.accuracies(metric)) for record, base in pairs])
    words = bases[0].label if len(bases) == 1 else f"{baseline}, all else equal"
    return {record.label: difference for (record, _), difference in zip(pairs, tested, strict=True)}, words


def _counterpart(record: Record, bases: Sequence[Record], keys: set[str]) -> Record | None:
    rest = {key: value for key, value in record.setting.items() if key not in keys}
    same = [base for base in bases if {k: v for k, v in base.setting.items() if k not in keys} == rest]
    return same[0] if same else None


def verdict(mean: float, low: float, high: float) -> str:
    """Compare a mean with a published range at one decimal of a percentage, which is what is published."""
    points, lowest, highest = (round(1000 * value) for value in (mean, low, high))
    if lowest <= points <= highest:
        return "within"
    return f"below by {(lowest - points) / 10}" if points < lowest else f"above by {(points - highest) / 10}"


def cells(row: Mapping, short: bool = False) -> dict[str, str]:
    """Return a job's line of the table, under its headers; only what the jobs have makes a column.

    Args:
        row: a row of `Leaderboard.table`.
        short: whether it is for the terminal, without what the answer does not need.
    """
    own = "val_" if "val_accuracy" in row else ""
    line = {"job": str(row["job"]).replace("experiment=", "")}
    if "rank" in row:
        mark = {"worse": "", "best": "", "not distinguishable": " *"}.get(row["standing"], " ?")
        line = {"rank": f"{row['rank']}{mark}", **line}
    line |= {"validation": percent(row["val_accuracy"])} if own else {}
    line |= {} if own else {"test": percent(row["accuracy"])}
    line |= {"lowest-highest": span(row[f"{own}low"], row[f"{own}high"])}
    if "rank" in row:
        line |= {} if short else {"std": _cell(row[f"{own}std"])}
        line |= {} if short else {"95 %": _interval(row[f"{own}ci95_low"], row[f"{own}ci95_high"])}
    line |= {"test": percent(row["accuracy"])} if own else {}  # behind the spread, which is not its own
    if "verdict" in row:
        has_reference = not _missing(row["reference_low"])
        line |= {"published": span(row["reference_low"], row["reference_high"]) if has_reference else ""}
        line |= {"verdict": row["verdict"] if has_reference else ""}
    for prefix, header in (("", "to the best"), ("baseline_", "to the baseline")):
        if f"{prefix}difference" in row:
            line |= {header: signed(row, prefix), "p" if not prefix else "p ": p_value(row[f"{prefix}p"])}
    if "rank" in row and short:
        return line
    line |= {} if short or "rank" not in row else {"trials": str(row["trials"])}
    line |= {"parameters": _count(row.get("parameters"))}
    line |= {"trainable": _count(row.get("trainable"))} if "rank" in row else {}
    return line | {"seconds": "" if _missing(row["seconds"]) else f"{row['seconds']:.1f}"}


def _cell(fraction: float | None) -> str:
    return "" if _missing(fraction) else percent(float(fraction or 0))


def _interval(low: float | None, high: float | None) -> str:
    if _missing(low) or _missing(high):
        return ""
    return span(max(0.0, float(low or 0)), min(1.0, float(high or 0)))


def _missing(value: object) -> bool:
    return value is None or value != value  # None, or a column's NaN


def _count(number: float | None) -> str:
    return "" if _missing(number) else f"{int(number or 0):,}"


def signed(row: Mapping, prefix: str = "") -> str:
    """Return a row's difference in points with its interval: -2.4 (-2.6 to -2.2)."""
    mean, low, high = (row[f"{prefix}difference{end}"] for end in ("", "_low", "_high"))
    if _missing(mean):
        return ""
    points = f"{100 * mean:+.1f}".replace("-0.0", "0.0").replace("+0.0", "0.0")
    return points if _missing(low) else f"{points} ({span(low, high)})"


def p_value(p: float | None) -> str:
    """Return a p-value with three decimals."""
    if _missing(p):
        return ""
    return "<0.001" if float(p or 0) < 0.001 else f"{float(p or 0):.3f}"


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [list(headers), ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
