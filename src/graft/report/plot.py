"""Pictures of a job and of a sweep, readable in black and white, too."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from graft.files import write_bytes
from graft.report.effects import Curve
from graft.report.sentences import count_trials
from graft.report.statistics import Difference

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


def draw_curves(path: Path, history: pandas.DataFrame, title: str) -> None:
    """Draw one job's accuracy and loss over the epochs: the trials' mean, and a band from lowest to highest.

    Args:
        path: the PNG file.
        history: a row for each trial, epoch, split and metric, as in `history.csv`.
        title: describes the job.
    """
    curves = [(name, history.query(f"split == '{split}'"), look) for split, (name, *look) in SPLITS.items()]
    _draw_curves(path, curves, f"{title}: mean and range of {count_trials(len(set(history['trial'])))}")


def draw_best_curves(path: Path, histories: Mapping[str, pandas.DataFrame], split: str) -> None:
    """Draw several jobs' mean accuracy and loss over the epochs, on the images of one split.

    Args:
        path: the PNG file.
        histories: as in `draw_curves`, by label, the best first; those beyond the number of line styles are left out.
        split: `val` or `test`.
    """
    shown = zip(histories.items(), LINES, strict=False)
    curves = [(label, history.query(f"split == '{split}'"), look[:2]) for (label, history), look in shown]
    title = f"The best of the sweep on {SPLITS[split][0]} images: means of the trials"
    _draw_curves(path, curves, title, bands=False)  # bands of several jobs would hide each other


def _draw_curves(
    path: Path, curves: Sequence[tuple[str, pandas.DataFrame, Sequence[str]]], title: str, bands: bool = True
) -> None:
    figure = Figure(figsize=(10, 4))
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.13, top=0.9, wspace=0.18)
    figure.suptitle(title)
    panels = figure.subplots(1, 2)
    scales = (("accuracy", "accuracy, %", 100), ("loss", "loss (cross-entropy)", 1))
    for axes, (metric, label, factor) in zip(panels, scales, strict=True):
        for name, history, (color, line) in curves:
            rows = history.query(f"metric == '{metric}'")
            if rows.empty:
                continue
            band = factor * rows.groupby("epoch")["value"].agg(["mean", "min", "max"])
            marker = "o" if len(band) <= 20 else None
            axes.plot(band.index, band["mean"], line, color=color, label=name, marker=marker, markersize=4)
            if bands:
                axes.fill_between(band.index, band["min"], band["max"], color=color, alpha=0.2, linewidth=0)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    panels[0].legend(loc="lower right")
    _save(figure, path)


def draw_ranges(path: Path, table: pandas.DataFrame, order: str, measure: str = "test accuracy") -> None:
    """Draw each job's mean as a dot on a bar from lowest to highest, and its published range as a hatched box.

    Args:
        path: the PNG file.
        table: a row for each job, the first at the top, as in `Leaderboard.table`.
        order: how the jobs are ordered, in words.
        measure: name of the accuracies.
    """
    height = 0.42 if "reference_low" in table else 0.32
    figure = Figure(figsize=(9, 1.6 + height * len(table)), layout="constrained")
    axes = figure.subplots()
    places = range(len(table))
    low, mean, high = (100 * table[column] for column in ("low", "accuracy", "high"))
    trials = sorted(set(table["trials"]))
    bar = f"mean and range of {count_trials(trials[0]) if len(trials) == 1 else 'the trials'}"
    axes.errorbar(mean, places, xerr=[mean - low, high - mean], fmt="o", color="black", capsize=4, label=bar)
    if "reference_low" in table:
        first, last = 100 * table["reference_low"], 100 * table["reference_high"]
        box = {"height": 0.7, "color": "#c8d8ec", "edgecolor": "#5f7fa8", "hatch": "////", "linewidth": 0.6}
        axes.barh(places, last - first, left=first, label="published range", zorder=0, **box)
    axes.set_yticks(places, [_wrapped(label) for label in table["label"]])
    axes.margins(y=0.08)
    axes.invert_yaxis()
    axes.set(xlabel=f"{measure}, %", title=order)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    _save(figure, path)


def draw_differences(path: Path, best: str, differences: Mapping[str, Difference], measure: str) -> None:
    """Draw each trial's difference to the same trial of the best configuration, with mean and interval.

    Args:
        path: the PNG file.
        best: the best configuration's label.
        differences: of the others to it, the first at the top.
        measure: name of the accuracies.
    """
    figure = Figure(figsize=(9, 1.9 + 0.36 * len(differences)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="black", linewidth=0.8)
    for place, difference in enumerate(differences.values()):
        points = 100 * difference.per_trial
        dots = {"color": "#8a8a8a", "markersize": 3.5, "label": "one trial" if place == 0 else None}
        axes.plot(points, [place + 0.22] * len(points), "o", **dots)  # below the mean, which would hide them
        if difference.mean is not None and difference.interval is not None:
            low, high = (100 * (end - difference.mean) for end in difference.interval)
            fill = "black" if difference.significant else "white"
            marks = {"fmt": "D", "color": "black", "markerfacecolor": fill, "markersize": 6, "capsize": 4}
            axes.errorbar([100 * difference.mean], [place - 0.12], xerr=[[-low], [high]], **marks)
    if any(difference.interval is not None for difference in differences.values()):
        significant = "mean, significant; simultaneous 95 % intervals"
        axes.errorbar([], [], xerr=[], fmt="D", color="black", capsize=4, label=significant)
        axes.plot([], [], "D", color="black", markerfacecolor="white", label="mean, not significant")
    axes.set_yticks(range(len(differences)), [_wrapped(label) for label in differences])
    axes.set_ylim(len(differences) - 0.5, -0.5)
    axes.set(
        xlabel=f"{measure}: difference to the same trial of the best, points",
        title=_wrapped(f"Difference to the best: {best}", 90),
    )
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    _save(figure, path)


def draw_effects(path: Path, effects: pandas.DataFrame, measure: str) -> None:
    """Draw the mean accuracy of each key's values, a panel for each key on one scale.

    Bars are the intervals of the paired differences. Intervals of the means would be wider, because they include the
    variation that all values of a trial share.

    Args:
        path: the PNG file.
        effects: as `main_effects` returns them.
        measure: name of the accuracies.
    """
    keys = list(effects.groupby("key", sort=False))
    figure = Figure(figsize=(max(7.5, 3.2 * len(keys)), 3.8), layout="constrained")
    bar = "; bar: 95 % interval of the difference to the best" if any(effects["difference_low"].notna()) else ""
    figure.suptitle(f"Main effects: means over the other keys{bar}", fontsize="medium")
    panels = figure.subplots(1, len(keys), sharey=True, squeeze=False)[0]
    for axes, (key, rows) in zip(panels, keys, strict=True):
        mean = 100 * rows["mean"]
        ends = rows[["difference_low", "difference_high"]].to_numpy(float) - rows[["difference"]].to_numpy(float)
        axes.errorbar(rows["value"], mean, yerr=100 * np.abs(ends).T, fmt="o-", color="black", capsize=4)
        axes.tick_params(axis="x", labelrotation=30 if len(rows) > 4 else 0)
        axes.set(xlabel=key)
        axes.margins(x=0.2)
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel(f"{measure}, %")
    _save(figure, path)


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
        axes.plot(curve.images, mean, line, marker=marker, color=color, label=curve.label)
        axes.fill_between(curve.images, low, high, color=color, alpha=0.18, linewidth=0)
    ticks = sorted({count for curve in curves for count in curve.images})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(count) for count in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlabel=unit, ylabel=f"{measure}, %", title="Mean of the trials, band: its 95 % interval")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    _save(figure, path)


def title(config: dict) -> str:
    """Return a job's configuration in words: VGG16 (ImageNet) with a Dense head on MNIST."""
    names = {group: config[group]["_target_"].split(".")[-1] for group in ("backbone", "source", "head", "dataset")}
    return "{backbone} ({source}) with a {head} head on {dataset}".format(**names)


def _wrapped(label: str, width: int = 44) -> str:
    return textwrap.fill(label, width)


def _save(figure: Figure, path: Path) -> None:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    write_bytes(path, content.getvalue())
