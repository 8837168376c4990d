"""Precision, recall and F1 of each class, each with a 95 % interval that counts trials and images as the job's does.

The recall of a class is an accuracy, that of its images. Precision, TP / (TP + FP), and F1, 2 TP / (2 TP + FP + FN),
are ratios: their intervals are the jackknife's (module jackknife), over the images that are of the class or that some
trial takes for it; all others count in neither sum. With folds a ratio is that of a whole repeat.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas

from graft.analysis.predictions import Predictions, once
from graft.nouns import counted
from graft.statistics.intervals import estimate_interval
from graft.statistics.jackknife import pseudo_values
from graft.statistics.pairs import estimated

METRICS = ("precision", "recall", "f1")


@dataclass(frozen=True)
class _Value:
    """A metric of one class; None where it is undefined, and its interval where too little is known.

    Attributes:
        undefined: number of runs in which it is.
    """

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    undefined: int = 0


@once
def per_class(found: Predictions) -> pandas.DataFrame:
    """Return a row for each class.

    The columns are class, images (number of its test images), predicted (number of images that were taken for it, a
    mean over the trials), for each of `METRICS` the mean over trials or repeats and its interval, and note: why one is
    undefined.
    """
    return pandas.DataFrame([_row(found, place, name) for place, name in enumerate(found.classes)])


def _row(found: Predictions, place: int, name: str) -> dict[str, object]:
    own, said = found.labels == place, found.said == place
    images = int(own.sum())
    columns = np.flatnonzero(own | said.any(0))  # of a thousand classes few images concern one
    own, said, tested = own[columns], said[:, columns], found.tested[:, columns]
    values = (
        _ratio(found, columns, said & own, said, 1),
        _recall(found, columns[own]),
        _ratio(found, columns, 2 * (said & own), said.astype(int) + (own & tested), 2),
    )
    row: dict[str, object] = {"class": name, "images": images}
    row["predicted"] = float((said.sum(0) / found.tests[columns]).sum().round(12))
    for metric, value in zip(METRICS, values, strict=True):
        row |= {metric: value.mean, f"{metric}_low": value.low, f"{metric}_high": value.high}
    return row | {"note": _note(found, values, images)}


def _note(found: Predictions, values: tuple[_Value, _Value, _Value], images: int) -> str:
    """Return why metrics of a class are undefined, or have no interval."""
    precision, _, f1 = values
    runs = int(found.runs.max()) + 1
    what = found.run_noun
    parts = [] if images else ["no test images, so that it has no recall"]
    if precision.undefined == runs:
        parts.append(f"no {what} predicts it, so that it has no precision")
    elif precision.undefined:
        parts.append(
            f"{precision.undefined} of {counted(runs, what)} never predict it, and do not count in its precision"
        )
    bare = [name for name, value in (("precision", precision), ("F1", f1)) if value.mean is not None is value.low]
    if bare:
        parts.append(f"too few images for an interval of {' and '.join(bare)}")
    return "; ".join(parts)


def _recall(found: Predictions, columns: np.ndarray) -> _Value:
    """Return the accuracy on some of the images, (number of them,)."""
    if not len(columns):
        return _Value()
    estimate = estimated(found.outcomes.select(found.outcomes.seeds, columns))
    return _Value(min(max(estimate.mean, 0.0), 1.0), *estimate_interval(estimate))


def _ratio(found: Predictions, columns: np.ndarray, above: np.ndarray, below: np.ndarray, weight: int) -> _Value:
    """Return the ratio of two sums over images, the mean over runs.

    Args:
        found: the predictions.
        columns: the images that one class concerns, (images,).
        above: what each image of each trial adds above, (trials, images).
        below: likewise below.
        weight: what an image adds below on which the two are equal.
    """
    counts = below.any(0)
    columns, above, below = columns[counts], above[:, counts], below[:, counts]
    runs, tested, outcomes = found.runs, found.tested[:, columns], found.outcomes
    names, unit = np.unique(
        np.arange(len(columns)) if outcomes.groups is None else outcomes.groups[columns], False, True
    )
    top, bottom, seen = (_by_unit(each, unit, len(names)) for each in (above, below, tested))
    of_run = [np.array([each[runs == run].sum(0) for run in range(runs.max() + 1)]) for each in (top, bottom, seen)]
    totals = [each.sum(1) for each in of_run[:2]]
    used = np.flatnonzero(totals[1])
    undefined = len(totals[1]) - len(used)
    if not len(used):
        return _Value(undefined=undefined)
    whole = totals[0][used] / totals[1][used]
    mean, values = float(whole.mean()), np.full(top.shape, np.nan)
    try:
        for run, own in zip(used, whole, strict=True):
            (tested_units,) = np.nonzero(of_run[2][run])
            left = [total[run] - each[run, tested_units] for total, each in zip(totals, of_run[:2], strict=True)]
            without = np.divide(left[0], left[1], out=np.full(len(tested_units), np.nan), where=left[1] > 0)
            pseudo = np.full(len(names), np.nan)
            pseudo[tested_units] = pseudo_values(np.array([own]), without[None])[0]
            values[runs == run] = np.where(seen[runs == run] > 0, pseudo, np.nan)
    except ValueError:  # without one image there is none to compute it from
        return _Value(mean, undefined=undefined)
    rows = np.flatnonzero(np.isin(runs, used))
    seeds = tuple(outcomes.seeds[row] for row in rows)
    moved = replace(outcomes, seeds=seeds, images=names.astype(str), values=values[rows], labels=None, groups=None)
    estimate = estimated(moved)
    worth = min(1.0, float(totals[1][used].mean()) / weight / len(columns))  # of an image that some trials do not count
    return _Value(mean, *estimate_interval(replace(estimate, mean=mean, units=estimate.units * worth)), undefined)


def _by_unit(values: np.ndarray, unit: np.ndarray, units: int) -> np.ndarray:
    """Return the sums over the images of each unit, (trials, units)."""
    return np.array([np.bincount(unit, row, units) for row in values])
