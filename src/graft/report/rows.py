"""What a leaderboard's table says of each job: a metric over the trials, differences, published ranges, costs."""

from collections.abc import Mapping, Sequence
from typing import Any

from graft.results.metric import name_of
from graft.results.records import Record
from graft.results.settings import backbone_of
from graft.statistics.comparison import Difference

SPREAD = ("", "low", "high", "std", "ci95_low", "ci95_high")  # of a metric over the trials; "" is its mean


def column(metric: str, what: str) -> str:
    """Return the column of a metric's mean, or of a part of its spread: accuracy and low, val_macro_f1_low."""
    prefix = metric.removesuffix("accuracy") if name_of(metric) == "accuracy" else f"{metric}_"
    return f"{prefix}{what}" if what else metric


def results_row(record: Record, metric: str) -> dict[str, object]:
    """Return a job's name and accuracies, and how they compare with its published range."""
    row: dict[str, object] = {"job": record.name, "label": record.label}
    for each in dict.fromkeys((metric, name_of(metric), "accuracy")):
        row |= _spread(record, each)
    if uneven(record.result) and (balanced := balanced_mean(record.result)) is not None:
        row["balanced"] = balanced
    reference = record.result.get("reference")
    if reference:
        low, high = reference["low"], reference["high"]
        compared = versus_range(record.spread().mean, low, high)
        row |= {"reference_low": low, "reference_high": high, "verdict": compared}
    return row


def _spread(record: Record, metric: str) -> dict[str, object]:
    values = record.spread(metric)
    found = (values.mean, values.low, values.high, values.std, *(values.interval or (None, None)))
    return {column(metric, what): value for what, value in zip(SPREAD, found, strict=True)}


def difference_columns(prefix: str, difference: Difference | None) -> dict[str, object]:
    """Return a difference with its interval and p; empty without one."""
    low, high = (difference and difference.interval) or (None, None)
    return {
        f"{prefix}difference": difference and difference.mean,
        f"{prefix}difference_low": low,
        f"{prefix}difference_high": high,
        f"{prefix}p": difference and difference.p,
    }


def costs(record: Record) -> dict[str, object]:
    """Return how many trials, parameters and seconds a job took."""
    parameters = record.result.get("parameters") or {}
    return {
        "trials": len(record.accuracies()),
        "parameters": parameters.get("total"),
        "trainable": parameters.get("trainable"),
        "seconds": (record.result.get("seconds") or {}).get("total"),
    }


def backbone_costs(records: Sequence[Record], metric: str) -> list[dict[str, object]]:
    """Return for each of jobs with different networks its cost, and whether it is on the front; nothing for others.

    On the front is a job of which no other is at least as good and as fast, and better or faster. Jobs whose speed was
    not measured have no place.

    Args:
        records: ranked jobs.
        metric: the key of the metric that ranks them.
    """
    if len({backbone_of(record.config) for record in records}) < 2:  # they may differ in `keep`
        return [{} for _ in records]
    costs = [record.result.get("backbone") or {} for record in records]
    points = [
        (record.spread(metric).mean, cost.get("images_per_second")) for record, cost in zip(records, costs, strict=True)
    ]
    known = [(mean, speed) for mean, speed in points if speed]
    found = []
    for cost, (mean, speed) in zip(costs, points, strict=True):
        beaten = speed and any(a >= mean and b >= speed and (a, b) != (mean, speed) for a, b in known)
        front = bool(speed) and not beaten
        found.append({"gflops": cost.get("gflops"), "images_per_second": speed or None, "front": front})
    return found


def uneven(result: Mapping[str, Any]) -> bool:
    """Return whether a job's classes have different numbers of test images; else balanced accuracy is accuracy."""
    by_class = (result.get("images") or {}).get("by_class") or {}
    return len(set((by_class.get("test") or {}).values())) > 1


def balanced_mean(result: Mapping[str, Any]) -> float | None:
    """Return the balanced accuracy, mean over the finished trials; None where results do not have it."""
    found = [trial.get("balanced_accuracy") for trial in result["trials"] if trial.get("error") is None]
    return None if not found or None in found else sum(found) / len(found)


def versus_range(mean: float, low: float, high: float) -> str:
    """Compare a mean with a published range at one decimal of a percentage, the published precision."""
    points, lowest, highest = (round(1000 * value) for value in (mean, low, high))
    if lowest <= points <= highest:
        return "within"
    return f"below by {(lowest - points) / 10}" if points < lowest else f"above by {(points - highest) / 10}"
