"""Pictures of a sweep, readable in black and white, too."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas
from matplotlib.figure import Figure

from graft.figures.canvas import LINES, PAGE, num_lines, styled, within, wrapped
from graft.figures.end_labels import label_ends
from graft.nouns import counted
from graft.report.effect_sentences import ONLY
from graft.report.effects import Curve, is_ordered
from graft.report.unit import PERCENT, TEST_ACCURACY, Measure
from graft.statistics.comparison import Difference


@styled
def draw_ranges(table: pandas.DataFrame, order: str, measure: Measure = TEST_ACCURACY) -> Figure:
    """Draw each job's mean as a dot with its interval, over a line of its trials, and its published range as a box.

    Args:
        table: a row for each job, the first at the top, as in `Leaderboard.compared`.
        order: how the jobs are ordered, in words.
        measure: the metric.
    """
    labels = [wrapped(label) for label in table["label"]]
    height = (0.32 if "reference_low" in table else 0.24) * max(map(num_lines, labels)) ** 0.5
    figure = Figure(figsize=(PAGE, 0.9 + height * len(table)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(table))
    trials = sorted(set(table["trials"]))
    ranges = f"range of {counted(trials[0], 'trial') if len(trials) == 1 else 'the trials'}"
    unit = measure.unit
    axes.hlines(places, *unit.ends(table["low"], table["high"]), color="#b9b9b9", linewidth=5, label=ranges)
    mean, ends = unit.factor * table["accuracy"].to_numpy(float), unit.ends(table["ci95_low"], table["ci95_high"])
    bars = np.maximum(np.nan_to_num([mean - ends[0], ends[1] - mean]), 0)
    axes.errorbar(mean, places, xerr=bars, fmt="o", color="black", capsize=3, label="mean and 95 % interval")
    if "reference_low" in table:
        first, last = 100 * table["reference_low"], 100 * table["reference_high"]  # of accuracies
        box = {"height": 0.7, "color": "#c8d8ec", "edgecolor": "#5f7fa8", "hatch": "////", "linewidth": 0.6}
        axes.barh(places, last - first, left=first, label="published range", zorder=0, **box)
    axes.set_yticks(places, labels)
    axes.margins(y=0.08)
    axes.invert_yaxis()
    axes.set(xlabel=measure.axis)
    figure.suptitle(wrapped(order, 100))
    within(unit, axes, axes.xaxis)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@styled
def draw_differences(best: str, differences: Mapping[str, Difference], measure: Measure) -> Figure:
    """Draw each trial's difference to the same trial of the best configuration, with mean and interval.

    Args:
        best: the best configuration's label.
        differences: of the others to it, the first at the top.
        measure: the metric.
    """
    labels = [wrapped(label) for label in differences]
    height = 0.27 * max(map(num_lines, labels), default=1) ** 0.5
    figure = Figure(figsize=(PAGE, 1.0 + height * len(differences)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="black", linewidth=0.8)
    unit = measure.unit
    for place, difference in enumerate(differences.values()):
        points = unit.factor * difference.per_trial
        dots = {"color": "#8a8a8a", "markersize": 2.5, "label": "one trial" if place == 0 else None}
        axes.plot(points, [place + 0.22] * len(points), "o", **dots)  # below the mean, which would hide them
        if difference.mean is not None and difference.p is not None:
            mean = unit.factor * difference.mean
            low, high = unit.ends(*(difference.interval or (difference.mean, difference.mean)))
            ends = np.maximum([[mean - low], [high - mean]], 0)
            fill = "black" if difference.significant else "white"
            marks = {"fmt": "D", "color": "black", "markerfacecolor": fill, "markersize": 4, "capsize": 3}
            axes.errorbar([mean], [place - 0.12], xerr=ends, **marks)
    if any(difference.p is not None for difference in differences.values()):
        significant = "mean, significant; simultaneous 95 % intervals"
        axes.errorbar([], [], xerr=[], fmt="D", color="black", capsize=3, label=significant)
        axes.plot([], [], "D", color="black", markerfacecolor="white", label="mean, not significant")
    axes.set_yticks(range(len(differences)), labels)
    axes.set_ylim(len(differences) - 0.5, -0.5)
    axes.set(
        xlabel=f"{measure.words}: difference to the same trial of the best{unit.points and ', points'}",
    )
    figure.suptitle(wrapped(f"Difference to the best: {best}", 100))
    within(unit, axes, axes.xaxis, least=-100)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@styled
def draw_effects(effects: pandas.DataFrame, measure: Measure) -> Figure:
    """Draw the mean accuracy of each key's values, a panel for each key on one scale.

    Bars are the intervals of the paired differences; intervals of the means would include the variation that all
    values of a trial share. Lines join numbers; options, such as heads, have no order.

    Args:
        effects: as `main_effects` returns them.
        measure: the metric.
    """
    keys, unit = list(effects.groupby("key", sort=False)), measure.unit
    widths = [max(1.5, 0.35 * len(rows)) for _, rows in keys]
    figure = Figure(figsize=(max(PAGE, sum(widths)), 2.8), layout="constrained")
    bar = "; bar: 95 % interval of the difference to the best" if any(effects["difference_low"].notna()) else ""
    figure.suptitle(f"Main effects: means over the other keys{bar}")
    panels = figure.subplots(1, len(keys), sharey=True, squeeze=False, width_ratios=widths)[0]
    for axes, (key, rows) in zip(panels, keys, strict=True):
        mean, places = unit.factor * rows["mean"].to_numpy(float), range(len(rows))
        low, high = unit.ends(rows["difference_low"], rows["difference_high"])
        difference = unit.factor * rows["difference"].to_numpy(float)
        ends = np.array([difference - low, high - difference])
        ends = np.minimum(ends, [mean, 100 - mean]) if unit is PERCENT else ends  # an accuracy ends at 0 and 100 %
        line = "o-" if is_ordered(rows["value"]) else "o"
        axes.errorbar(places, mean, yerr=np.maximum(ends, 0), fmt=line, color="black", capsize=3)
        labels = [wrapped(value, 16) for value in rows["value"]]
        axes.set_xticks(places, labels, rotation=30 if len(rows) > 4 or max(map(len, labels)) > 10 else 0)
        axes.set(xlabel=wrapped(str(key), 30))
        axes.margins(x=0.2)
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel(measure.axis)
    within(unit, panels[0], panels[0].yaxis)
    return figure


@styled
def draw_budget(curves: Sequence[Curve], counted: str, measure: Measure) -> Figure:
    """Draw learning curves: accuracy by the number of training images, a line and a band for each configuration.

    Args:
        curves: the best first; line styles repeat if there are more curves.
        counted: what their numbers of images count: images per class.
        measure: the metric.
    """
    figure = Figure(figsize=(PAGE, 3.4), layout="constrained")
    axes = figure.subplots()
    names = [curve.label or (ONLY if len(curves) > 1 else "") for curve in curves]
    for index, (curve, name) in enumerate(zip(curves, names, strict=True)):
        color, line, marker = LINES[index % len(LINES)]
        low, high = measure.unit.ends(curve.low, curve.high)
        mean = measure.unit.factor * np.array(curve.mean)
        axes.plot(curve.images, mean, line, marker=marker, color=color, label=wrapped(name, 30))
        axes.fill_between(curve.images, low, high, color=color, alpha=0.18, linewidth=0)
    ticks = sorted({count for curve in curves for count in curve.images})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(count) for count in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlabel=counted, ylabel=measure.axis, title="Mean of the trials, band: its 95 % interval")
    within(measure.unit, axes, axes.yaxis)
    axes.grid(alpha=0.3)
    if any(names) and not label_ends([axes]):
        axes.legend()
    return figure
