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
from graft.figures.canvas import plain_text, wrapped
from graft.nouns import counted
from graft.results.outcomes import StoredOutcomes

MOST_CLASSES = 25  # of a matrix that can be read
WORST = 8  # mistakes that are shown


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


@plain_text
def _matrix(found: Predictions) -> np.ndarray:
    """Draw how many test images of each class are taken for each class, the mean over the trials."""
    table, names, size = confusion_table(found), list(found.classes), len(found.classes)
    images, share = np.zeros((size, size)), np.zeros((size, size))
    cells = [names.index(name) for name in table["class"]], [names.index(name) for name in table["prediction"]]
    images[*cells], share[*cells] = table["images"], table["share"]
    side = 1.8 + 0.45 * size
    figure = Figure((side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), number in np.ndenumerate(images):
        color = "white" if share[row, column] > 0.5 else "black"
        text = "" if number == 0 else f"{number:.0f}" if number == round(number) else f"{number:.1f}"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=7)
    labels = [wrapped(name, 16) for name in found.classes]
    axes.set_xticks(range(size), labels, rotation=0 if max(map(len, labels)) < 4 else 90)
    axes.set_yticks(range(size), labels)
    trials = counted(len(found.outcomes.seeds), "trial")
    axes.set(xlabel="taken for", ylabel="class", title=f"test images, mean of {trials}")
    axes.title.set_fontsize(9)
    return _drawn(figure)


@plain_text
def _worst(found: Predictions, images: Images) -> np.ndarray:
    """Draw the test images that most trials got wrong, of these the most certain mistakes."""
    rows = mistakes(found).head(WORST).to_dict("records")
    pixels = next(iter(images.batches([torch.tensor([row["number"] for row in rows])])))
    figure = Figure((1.2 * WORST, 1.75))
    for place, (row, picture) in enumerate(zip(rows, pixels, strict=True)):
        axes = figure.add_axes(((place + 0.04) / WORST, 0.36, 0.92 / WORST, 0.62))
        axes.imshow(picture.expand(3, -1, -1).permute(1, 2, 0).numpy(), interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        wrong = f"by {round(row['wrong'] * row['trials'])} of {counted(row['trials'], 'trial')}"
        text = [wrapped(str(row["class"]), 18), wrapped(f"taken for {row['prediction']}", 18), wrong]
        axes.text(0, -0.06, "\n".join(text), va="top", fontsize=7, transform=axes.transAxes)
    return _drawn(figure)
