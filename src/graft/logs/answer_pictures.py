"""Pictures of a finished job's answer: which classes its trials confuse, and their worst mistakes on test images."""

from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from graft.analysis.confusion_table import confusion_table
from graft.analysis.mistakes import mistakes
from graft.analysis.predictions import Predictions, predictions_of
from graft.data.images import Images
from graft.figures.canvas import styled, wrapped
from graft.logs.sample_images import grid
from graft.nouns import counted
from graft.results.outcomes import StoredOutcomes

MOST_CLASSES = 25  # of a matrix that can be read
WORST = 8  # mistakes that are shown
SIDE = 112  # pixels of one
CELL = 0.45  # inches of the matrix


def answer_pictures(content: dict[str, Any], outcomes: StoredOutcomes, images: Images) -> dict[str, np.ndarray]:
    """Return a job's pictures, bytes (height, width, 3), by tag.

    Args:
        content: of its `result.json`.
        outcomes: what its trials said of each image.
        images: of its data set.
    """
    try:
        found = predictions_of(content, outcomes)
    except ValueError:  # the trials have test images of their own, and no folds
        return {}
    pictures = {}
    if len(found.classes) <= MOST_CLASSES:
        pictures["confusion matrix"] = _matrix(found)
    if found.wrong.any():
        pictures["worst mistakes"] = _worst(found, images)
    return pictures


def _drawn(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@styled
def _matrix(found: Predictions) -> np.ndarray:
    """Draw how many test images of each class are taken for each class, the mean over the trials."""
    table, names, size = confusion_table(found), list(found.classes), len(found.classes)
    images, share = np.zeros((size, size)), np.zeros((size, size))
    cells = [names.index(name) for name in table["class"]], [names.index(name) for name in table["prediction"]]
    images[*cells], share[*cells] = table["images"], table["share"]
    labels = [wrapped(name, 16) for name in found.classes]
    edge = 0.6 + 0.07 * max(len(line) for label in labels for line in label.split("\n"))
    side = edge + CELL * size + 0.3
    figure = Figure((side, side), dpi=100)
    axes = figure.add_axes((edge / side, edge / side, CELL * size / side, CELL * size / side))
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    decimals = 0 if (images == images.round()).all() else 1
    for (row, column), number in np.ndenumerate(images):
        color = "white" if share[row, column] > 0.5 else "black"
        text = f"{number:.{decimals}f}" if number else ""
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=7)
    axes.set_xticks(range(size), labels, rotation=0 if max(map(len, labels)) < 4 else 90)
    axes.set_yticks(range(size), labels)
    trials = counted(len(found.outcomes.seeds), "trial")
    axes.set(xlabel="taken for", ylabel="class", title=f"test images, mean of {trials}")
    axes.title.set_fontsize(9)
    return _drawn(figure)


@styled
def _worst(found: Predictions, images: Images) -> np.ndarray:
    """Draw the test images that most trials got wrong, of these the most certain mistakes."""
    rows = mistakes(found).head(WORST).to_dict("records")
    pixels = next(iter(images.batches([torch.tensor([row["number"] for row in rows])])))
    row = grid(pixels, SIDE)
    figure = Figure((1.2 * len(rows), 1.2 * len(rows) * row.shape[0] / row.shape[1] + 0.55), dpi=100)
    top = 1 - 0.55 / figure.get_figheight()
    axes = figure.add_axes((0, 1 - top, 1, top))  # one for all, because making one takes as long as drawing it
    axes.imshow(row, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    for place, about in enumerate(rows):
        wrong = f"by {round(about['wrong'] * about['trials'])} of {counted(about['trials'], 'trial')}"
        text = [wrapped(str(about["class"]), 18), wrapped(f"taken for {about['prediction']}", 18), wrong]
        figure.text((place + 0.04) / len(rows), 0.98 - top, "\n".join(text), va="top", fontsize=7)
    return _drawn(figure)
