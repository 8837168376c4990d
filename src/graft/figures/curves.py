"""Pictures of learning curves: of one job, and of the best jobs of a sweep."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from graft.figures.canvas import LINES, PAGE, SMALL, styled, within, wrapped
from graft.figures.end_labels import label_ends
from graft.nouns import counted
from graft.report.unit import PERCENT

SOLVED = "solved"  # group of the lines without epochs
SPLITS = {  # name, color and line of each split; the colors differ in lightness, too
    "train": ("training", "#8a8a8a", "-"),
    "val": ("validation", "#d95f02", "--"),
    "test": ("test", "#1b3a6b", "-."),
}


@dataclass(frozen=True)
class _Line:
    """One line of a picture of learning curves, from the history's rows of one split."""

    label: str
    history: pandas.DataFrame
    color: str
    style: str
    marker: str = "o"
    solved: bool = False  # without epochs


def draw_curves(history: pandas.DataFrame, title: str) -> Figure:
    """Draw one job's accuracy and loss over the epochs: the trials' mean, and a band from lowest to highest.

    Args:
        history: a row for each trial, epoch, split and metric, as in `history.csv`.
        title: describes the job.
    """
    curves = [
        _Line(name, history.query(f"split == '{split}'"), color, line) for split, (name, color, line) in SPLITS.items()
    ]
    count = len(set(history["trial"]))
    return _draw_curves(curves, f"{title}: {'mean and range of ' if count > 1 else ''}{counted(count, 'trial')}")


def draw_best_curves(histories: Mapping[str, pandas.DataFrame], split: str, solved: Collection[str] = ()) -> Figure:
    """Draw several jobs' mean accuracy and loss over the epochs, on the images of one split.

    Args:
        histories: as in `draw_curves`, by label, the best first; those beyond the number of line styles are left out.
        split: `val`, `test` or `train`.
        solved: labels of jobs without epochs, which are horizontal lines.
    """
    shown = zip(histories.items(), LINES, strict=False)
    curves = [
        _Line(label, history.query(f"split == '{split}'"), *look, label in solved) for (label, history), look in shown
    ]
    title = f"The best of the sweep on {SPLITS[split][0]} images: means of the trials"
    return _draw_curves(curves, title, bands=False)  # bands of several jobs would hide each other


@styled
def _draw_curves(curves: Sequence[_Line], title: str, bands: bool = True) -> Figure:
    figure = Figure(figsize=(PAGE, 3.0), layout="constrained")
    figure.suptitle(wrapped(title, 100))
    panels, scales = figure.subplots(1, 2), (("accuracy", "accuracy, %", 100), ("loss", "loss (cross-entropy)", 1))
    for axes, (metric, label, factor) in zip(panels, scales, strict=True):
        for curve in curves:
            rows = curve.history.query(f"metric == '{metric}'")
            if rows.dropna(subset="value").size:
                _draw_line(axes, curve, rows.assign(value=factor * rows["value"]), bands)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    within(PERCENT, panels[0], panels[0].yaxis)
    _leave_room(panels[1])
    if not label_ends(panels):
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _leave_room(axes: Axes) -> None:
    """Scale a loss axis by the curves with epochs where a solved head's loss is far above them, and say its value.

    A solved head may be so sure of its mistakes that its loss would press all curves onto one line.
    """
    straight = [line for line in axes.lines if line.get_gid() == SOLVED]
    curved = [np.asarray(line.get_ydata(), float) for line in axes.lines if line.get_gid() != SOLVED]
    values = np.concatenate([*curved, [] if curved else [np.inf]])
    lowest, highest = np.nanmin(values), np.nanmax(values)
    above = [line for line in straight if np.max(line.get_ydata()) > 3 * highest]
    if above:
        room = 0.1 * (highest - lowest or highest)
        axes.set_ylim(lowest - room, highest + 3 * room)
        losses = " and ".join(f"{np.max(line.get_ydata()):.1f}" for line in above)
        look = {"ha": "right", "va": "top", "transform": axes.transAxes, "fontsize": SMALL}
        axes.text(0.98, 0.97, f"without epochs: {losses}, above this panel", **look)


def _draw_line(axes: Axes, curve: _Line, rows: pandas.DataFrame, bands: bool) -> None:
    """Draw one curve: the trials' mean, lowest and highest by epoch; a horizontal line if it has no epochs."""
    # A trial that early stopping has held keeps its last value; one that has failed has none.
    by_trial = rows.fillna({"value": np.inf}).groupby(["epoch", "trial"])["value"].last().unstack().ffill()
    band = by_trial.replace(np.inf, np.nan).dropna(how="all").agg(["mean", "min", "max"], axis=1)
    look: dict[str, Any] = {"color": curve.color, "linestyle": curve.style, "markersize": 3}
    if curve.solved:
        axes.axhline(band.iloc[-1]["mean"], label=wrapped(f"{curve.label} (no epochs)", 26), gid=SOLVED, **look)
        return
    marker = curve.marker if len(band) <= 20 else None
    axes.plot(band.index, band["mean"], label=wrapped(curve.label, 26), marker=marker, **look)
    if bands:
        axes.fill_between(band.index, band["min"], band["max"], color=curve.color, alpha=0.2, linewidth=0)
