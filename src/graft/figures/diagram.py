"""The reliability diagram: how often predictions of a confidence are right."""

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
    bins = 100 * found.bins[["confidence", "accuracy"]]
    low = max(0.0, float(bins.to_numpy().min()) - 5)
    axes.plot([low, 100], [low, 100], color="#909090", linewidth=0.8)
    axes.vlines(bins["confidence"], bins["confidence"], bins["accuracy"], color="#d95f02", linewidth=3, alpha=0.5)
    axes.plot(bins["confidence"], bins["accuracy"], "o", color="black")
    axes.set(xlim=(low, 101), ylim=(low, 101), aspect="equal", xlabel="confidence, %", ylabel="accuracy, %")
    axes.grid(alpha=0.3)
    middle = (low + 100) / 2
    label = {"rotation": 45, "rotation_mode": "anchor", "fontsize": SMALL, "color": "#606060", "ha": "center"}
    axes.text(middle, middle + 0.03 * (100 - low), "calibrated", **label)
    axes.set_title(wrapped(f"{job}: {_words(found)}", 52))
    return figure


def _words(found: Reliability) -> str:
    """Return the calibration error and the bins in words."""
    images = found.bins["images"].to_numpy(float)
    alike = images.max() - images.min() < 2  # bins of one confidence are larger
    sizes = f"{images.mean():.0f}" if alike else f"{images.min():,.0f} to {images.max():,.0f}"
    return f"{found.words}, {counted(len(images), 'bin')} of {sizes} images"
