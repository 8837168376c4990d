"""Pictures: a job's curves, and a sweep's ranges beside published ones; both readable in black and white."""

import io
import re
from collections.abc import Iterable
from pathlib import Path

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from graft.files import write_bytes

SPLITS = {  # name, colour and line of each split; the colours differ in lightness, too
    "train": ("training", "#9a9a9a", "-"),
    "val": ("validation", "#d95f02", "--"),
    "test": ("test", "#1b3a6b", "-."),
}

NAMED = ("experiment", "dataset", "backbone", "source", "head", "optimizer", "activation")  # their values say enough


def draw_curves(path: Path, history: pandas.DataFrame, title: str) -> None:
    """Draw accuracy and loss over the epochs, the trials' mean inside the band from lowest to highest.

    Args:
        path: the PNG file.
        history: a row for each trial, epoch, split and metric, as in `history.csv`.
        title: what the job is.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(f"{title}: mean and range of {_trials(len(set(history['trial'])))}")
    accuracy, loss = figure.subplots(1, 2)
    _curve(accuracy, history.query("metric == 'accuracy'"), "accuracy, %", 100)
    _curve(loss, history.query("metric == 'loss'"), "loss (cross-entropy)", 1)
    accuracy.legend(loc="lower right")
    _save(figure, path)


def _curve(axes: Axes, history: pandas.DataFrame, label: str, factor: int) -> None:
    for split, (name, colour, line) in SPLITS.items():
        rows = history[history["split"] == split]
        if rows.empty:
            continue
        band = factor * rows.groupby("epoch")["value"].agg(["mean", "min", "max"])
        marker = "o" if len(band) <= 20 else None
        axes.plot(band.index, band["mean"], line, color=colour, label=name, marker=marker, markersize=4)
        axes.fill_between(band.index, band["min"], band["max"], color=colour, alpha=0.2, linewidth=0)
    axes.set(xlabel="epoch", ylabel=label)
    axes.grid(alpha=0.3)


def draw_ranges(path: Path, table: pandas.DataFrame, how: str) -> None:
    """Draw each job's mean as a dot on a bar from lowest to highest, and its published range as a hatched box.

    Args:
        path: the PNG file.
        table: the finished jobs, first at the top, as `report.leaderboard` returns them.
        how: what the header says about the order.
    """
    height = 0.42 if "reference_low" in table else 0.32
    figure = Figure(figsize=(9, 1.6 + height * len(table)), layout="constrained")
    axes = figure.subplots()
    places = range(len(table))
    low, mean, high = (100 * table[column] for column in ("low", "accuracy", "high"))
    trials = sorted(set(table["trials"]))
    bar = f"mean and range of {_trials(trials[0]) if len(trials) == 1 else 'the trials'}"
    axes.errorbar(mean, places, xerr=[mean - low, high - mean], fmt="o", color="black", capsize=4, label=bar)
    if "reference_low" in table:
        first, last = 100 * table["reference_low"], 100 * table["reference_high"]
        box = {"height": 0.7, "color": "#c8d8ec", "edgecolor": "#5f7fa8", "hatch": "////", "linewidth": 0.6}
        axes.barh(places, last - first, left=first, label="published range", zorder=0, **box)
    axes.set_yticks(places, table["label"])
    axes.invert_yaxis()
    axes.set(xlabel="test accuracy, %", title=how)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    _save(figure, path)


def words(job: str, keys: Iterable[str]) -> str:
    """Return a job's name for people: `head=dense512_dataset.small_per_class=5` is dense512, small per class 5.

    Args:
        job: the name of its folder.
        keys: the configuration's top-level keys, which tell where an override begins.
    """
    said = []
    for part in re.split(rf"_(?=[+~]?(?:{'|'.join([*keys, 'experiment'])})(?:\.[\w.]+)?=)", job):
        key, _, value = part.rpartition("=")
        if not key:
            said.append(part)
            continue
        name = "" if key in NAMED else f"{key.split('.')[-1].replace('_', ' ')} "
        said.append(name + (value.replace("_", " ") if key in NAMED else value))
    return ", ".join(said)


def title(config: dict) -> str:
    """Return what a job's configuration is, in words: VGG16 (ImageNet) with a Dense head on MNIST."""
    names = {group: config[group]["_target_"].split(".")[-1] for group in ("backbone", "source", "head", "dataset")}
    return "{backbone} ({source}) with a {head} head on {dataset}".format(**names)


def _trials(count: int) -> str:
    return "1 trial" if count == 1 else f"{count} trials"


def _save(figure: Figure, path: Path) -> None:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    write_bytes(path, content.getvalue())
