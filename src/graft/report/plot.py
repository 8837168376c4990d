"""Pictures of a job and of a sweep, readable in black and white, too."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from graft.report.canvas import num_lines, plain_text, save, within_percent, wrapped
from graft.report.effects import Curve, is_ordered
from graft.report.sentences import count_trials
from graft.statistics.comparison import Difference

SPLITS = {  # name, color and line of each split; the colors differ in lightness, too
    "train": ("training", "#9a9a9a", "-"),
    "val": ("validation", "#d95f02", "--"),
    "test": ("test", "#1b3a6b", "-."),
}

LINES = [  # color, line and marker of each curve in a picture
    ("#000000", "-", "o"),
    ("#d95f02", "--", "s"),
    ("#3a6bb0", "-.", "^"),
    ("#7a7a7a", ":", "D"),
]


@dataclass(frozen=True)
class _Line:
    """One line of a picture of learning curves, from the history's rows of one split."""

    label: str
    history: pandas.DataFrame
    color: str
    style: str
    solved: bool = False  # without epochs


def draw_curves(path: Path, history: pandas.DataFrame, title: str) -> None:
    """Draw one job's accuracy and loss over the epochs: the trials' mean, and a band from lowest to highest.

    Args:
        path: the PNG file.
        history: a row for each trial, epoch, split and metric, as in `history.csv`.
        title: describes the job.
    """
    curves = [
        _Line(name, history.query(f"split == '{split}'"), color, line) for split, (name, color, line) in SPLITS.items()
    ]
    _draw_curves(path, curves, f"{title}: mean and range of {count_trials(len(set(history['trial'])))}")


def draw_best_curves(
    path: Path, histories: Mapping[str, pandas.DataFrame], split: str, solved: Collection[str] = ()
) -> None:
    """Draw several jobs' mean accuracy and loss over the epochs, on the images of one split.

    Args:
        path: the PNG file.
        histories: as in `draw_curves`, by label, the best first; those beyond the number of line styles are left out.
        split: `val` or `test`.
        solved: labels of jobs without epochs, which are horizontal lines.
    """
    shown = zip(histories.items(), LINES, strict=False)
    curves = [
        _Line(label, history.query(f"split == '{split}'"), color, line, label in solved)
        for (label, history), (color, line, _) in shown
    ]
    title = f"The best of the sweep on {SPLITS[split][0]} images: means of the trials"
    _draw_curves(path, curves, title, bands=False)  # bands of several jobs would hide each other


@plain_text
def _draw_curves(path: Path, curves: Sequence[_Line], title: str, bands: bool = True) -> None:
    figure = Figure(figsize=(10, 4.3), layout="constrained")
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
    within_percent(panels[0], panels[0].yaxis)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    save(figure, path)


def _draw_line(axes: Axes, curve: _Line, rows: pandas.DataFrame, bands: bool) -> None:
    """Draw one curve: the trials' mean, lowest and highest by epoch; a horizontal line if it has no epochs."""
    # A trial that early stopping has held keeps its last value; one that has failed has none.
    by_trial = rows.fillna({"value": np.inf}).groupby(["epoch", "trial"])["value"].last().unstack().ffill()
    band = by_trial.replace(np.inf, np.nan).dropna(how="all").agg(["mean", "min", "max"], axis=1)
    look: dict[str, Any] = {"color": curve.color, "linestyle": curve.style, "markersize": 4}
    if curve.solved:
        axes.axhline(band.iloc[-1]["mean"], label=wrapped(f"{curve.label} (no epochs)", 26), **look)
        return
    marker = "o" if len(band) <= 20 else None
    axes.plot(band.index, band["mean"], label=wrapped(curve.label, 26), marker=marker, **look)
    if bands:
        axes.fill_between(band.index, band["min"], band["max"], color=curve.color, alpha=0.2, linewidth=0)


@plain_text
def draw_ranges(path: Path, table: pandas.DataFrame, order: str, measure: str = "test accuracy") -> None:
    """Draw each job's mean as a dot with its interval, over a line of its trials, and its published range as a box.

    Args:
        path: the PNG file.
        table: a row for each job, the first at the top, as in `Leaderboard.table`.
        order: how the jobs are ordered, in words.
        measure: name of the accuracies.
    """
    labels = [wrapped(label) for label in table["label"]]
    height = (0.42 if "reference_low" in table else 0.32) * max(map(num_lines, labels)) ** 0.5
    figure = Figure(figsize=(9, 1.6 + height * len(table)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(table))
    trials = sorted(set(table["trials"]))
    ranges = f"range of {count_trials(trials[0]) if len(trials) == 1 else 'the trials'}"
    axes.hlines(places, 100 * table["low"], 100 * table["high"], color="#b9b9b9", linewidth=7, label=ranges)
    mean = 100 * table["accuracy"].to_numpy(float)
    ends = 100 * table[["ci95_low", "ci95_high"]].to_numpy(float).T
    bars = np.maximum(np.nan_to_num([mean - ends[0], ends[1] - mean]), 0)
    axes.errorbar(mean, places, xerr=bars, fmt="o", color="black", capsize=4, label="mean and 95 % interval")
    if "reference_low" in table:
        first, last = 100 * table["reference_low"], 100 * table["reference_high"]
        box = {"height": 0.7, "color": "#c8d8ec", "edgecolor": "#5f7fa8", "hatch": "////", "linewidth": 0.6}
        axes.barh(places, last - first, left=first, label="published range", zorder=0, **box)
    axes.set_yticks(places, labels)
    axes.margins(y=0.08)
    axes.invert_yaxis()
    axes.set(xlabel=f"{measure}, %", title=order)
    within_percent(axes, axes.xaxis)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    save(figure, path)


@plain_text
def draw_differences(path: Path, best: str, differences: Mapping[str, Difference], measure: str) -> None:
    """Draw each trial's difference to the same trial of the best configuration, with mean and interval.

    Args:
        path: the PNG file.
        best: the best configuration's label.
        differences: of the others to it, the first at the top.
        measure: name of the accuracies.
    """
    labels = [wrapped(label) for label in differences]
    height = 0.36 * max(map(num_lines, labels), default=1) ** 0.5
    figure = Figure(figsize=(9, 1.9 + height * len(differences)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="black", linewidth=0.8)
    for place, difference in enumerate(differences.values()):
        points = 100 * difference.per_trial
        dots = {"color": "#8a8a8a", "markersize": 3.5, "label": "one trial" if place == 0 else None}
        axes.plot(points, [place + 0.22] * len(points), "o", **dots)  # below the mean, which would hide them
        if difference.mean is not None and difference.p is not None:
            low, high = difference.interval or (difference.mean, difference.mean)
            ends = np.maximum([[100 * (difference.mean - low)], [100 * (high - difference.mean)]], 0)
            fill = "black" if difference.significant else "white"
            marks = {"fmt": "D", "color": "black", "markerfacecolor": fill, "markersize": 6, "capsize": 4}
            axes.errorbar([100 * difference.mean], [place - 0.12], xerr=ends, **marks)
    if any(difference.p is not None for difference in differences.values()):
        significant = "mean, significant; simultaneous 95 % intervals"
        axes.errorbar([], [], xerr=[], fmt="D", color="black", capsize=4, label=significant)
        axes.plot([], [], "D", color="black", markerfacecolor="white", label="mean, not significant")
    axes.set_yticks(range(len(differences)), labels)
    axes.set_ylim(len(differences) - 0.5, -0.5)
    axes.set(
        xlabel=f"{measure}: difference to the same trial of the best, points",
        title=wrapped(f"Difference to the best: {best}", 90),
    )
    within_percent(axes, axes.xaxis, least=-100)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    save(figure, path)


@plain_text
def draw_effects(path: Path, effects: pandas.DataFrame, measure: str) -> None:
    """Draw the mean accuracy of each key's values, a panel for each key on one scale.

    Bars are the intervals of the paired differences; intervals of the means would include the variation that all
    values of a trial share. Lines join numbers; options, such as heads, have no order.

    Args:
        path: the PNG file.
        effects: as `main_effects` returns them.
        measure: name of the accuracies.
    """
    keys = list(effects.groupby("key", sort=False))
    widths = [max(3.2, 0.5 * len(rows)) for _, rows in keys]
    figure = Figure(figsize=(max(7.5, sum(widths)), 3.8), layout="constrained")
    bar = "; bar: 95 % interval of the difference to the best" if any(effects["difference_low"].notna()) else ""
    figure.suptitle(f"Main effects: means over the other keys{bar}", fontsize="medium")
    panels = figure.subplots(1, len(keys), sharey=True, squeeze=False, width_ratios=widths)[0]
    for axes, (key, rows) in zip(panels, keys, strict=True):
        mean, places = 100 * rows["mean"].to_numpy(), range(len(rows))
        ends = 100 * (
            rows[["difference_low", "difference_high"]].to_numpy(float) - rows[["difference"]].to_numpy(float)
        )
        ends = np.minimum(np.abs(ends).T, [mean, 100 - mean])  # an accuracy ends at 0 and 100 %
        line = "o-" if is_ordered(rows["value"]) else "o"
        axes.errorbar(places, mean, yerr=np.maximum(ends, 0), fmt=line, color="black", capsize=4)
        labels = [wrapped(value, 16) for value in rows["value"]]
        axes.set_xticks(places, labels, rotation=30 if len(rows) > 4 or max(map(len, labels)) > 10 else 0)
        axes.set(xlabel=wrapped(str(key), 30))
        axes.margins(x=0.2)
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel(f"{measure}, %")
    within_percent(panels[0], panels[0].yaxis)
    save(figure, path)


@plain_text
def draw_budget(path: Path, curves: Sequence[Curve], unit: str, measure: str) -> None:
    """Draw learning curves: accuracy by the number of training images, a line and a band for each configuration.

    Args:
        path: the PNG file.
        curves: the best first; line styles repeat if there are more curves.
        unit: of their numbers of images: images per class.
        measure: name of the accuracies.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for index, curve in enumerate(curves):
        color, line, marker = LINES[index % len(LINES)]
        low, mean, high = ([100 * value for value in values] for values in (curve.low, curve.mean, curve.high))
        axes.plot(curve.images, mean, line, marker=marker, color=color, label=wrapped(curve.label))
        axes.fill_between(curve.images, low, high, color=color, alpha=0.18, linewidth=0)
    ticks = sorted({count for curve in curves for count in curve.images})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(count) for count in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlabel=unit, ylabel=f"{measure}, %", title="Mean of the trials, band: its 95 % interval")
    within_percent(axes, axes.yaxis)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    save(figure, path)
