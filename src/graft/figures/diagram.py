"""The reliability diagram: how often predictions of a confidence are right."""

from itertools import pairwise

import numpy as np
import pandas
from matplotlib.figure import Figure

from graft.analysis.reliability import Reliability
from graft.figures.canvas import COLUMN, SMALL, styled, wrapped
from graft.nouns import counted


@styled
def draw_reliability(found: Reliability, job: str) -> Figure:
    """Draw the accuracy of bins of predictions over their mean confidence; calibrated ones are on the diagonal.

    Args:
        found: of a job's trials together, each image counted once.
        job: what it is of.
    """
    figure = Figure(figsize=(COLUMN, COLUMN), layout="constrained")
    axes = figure.subplots()
    bins = 100 * found.bins.loc[:, ["confidence", "accuracy"]]
    low = max(0.0, float(bins.to_numpy().min()) - 5)
    axes.plot([low, 100], [low, 100], color="#909090", linewidth=0.8)
    axes.vlines(bins["confidence"], bins["confidence"], bins["accuracy"], color="#d95f02", linewidth=3, alpha=0.5)
    axes.plot(bins["confidence"], bins["accuracy"], "o", color="black")
    axes.set(xlim=(low, 101), ylim=(low, 101), aspect="equal", xlabel="confidence, %", ylabel="accuracy, %")
    axes.set(xticks=_shares(axes.get_xticks(), low), yticks=_shares(axes.get_yticks(), low))
    axes.grid(alpha=0.3)
    place, distance = _free(bins, low)
    label = {"rotation": 45, "rotation_mode": "anchor", "fontsize": SMALL, "color": "#606060", "ha": "center"}
    axes.text(place, place + distance, "calibrated", va="baseline" if distance > 0 else "top", **label)
    axes.set_title(f"{wrapped(f'{job}:', 52)}\n{wrapped(_words(found), 52)}")
    return figure


def _shares(ticks: np.ndarray, low: float) -> list[float]:
    """Return the ticks that can be reached: the axes end above 100 %, so that marks there are whole."""
    return [tick for tick in ticks if low <= tick <= 100]


def _free(bins: pandas.DataFrame, low: float) -> tuple[float, float]:
    """Return where along the diagonal a label meets no bin, in the middle of the widest gap, and how far above it."""
    span = 100 - low
    near = 0.04 * span  # a mark so near to the diagonal is in the way on both sides
    above = bins["accuracy"] - bins["confidence"]
    found = []
    for side, own in ((True, above > -near), (False, above < near)):
        edges = [low, *sorted(bins.loc[own, "confidence"]), 100.0]
        found += [(end - start, side, (start + end) / 2) for start, end in pairwise(edges)]
    gap, side, place = max(found)
    if gap < 0.2 * span:  # too narrow: beyond the marks
        return min(max(place, low + 0.2 * span), 100 - 0.2 * span), 0.08 * span if side else -0.08 * span
    return place, 0.03 * span if side else -0.03 * span


def _words(found: Reliability) -> str:
    """Return the calibration error and the bins in words."""
    images = found.bins["images"].to_numpy(float)
    if len(images) == 1:
        return found.words  # of one bin they say it
    alike = images.max() - images.min() < 2  # bins of one confidence are larger
    sizes = f"{images.mean():.0f}" if alike else f"{images.min():,.0f} to {images.max():,.0f}"
    return f"{found.words}, {counted(len(images), 'bin')} of {sizes} images"
