"""Pictures of a finished job's answer: which classes its trials confuse, and their worst mistakes on test images."""

from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from graft.analysis.confusion_table import confusion_table
from graft.analysis.mistakes import mistakes
from graft.analysis.predictions import Predictions, predictions_of
from graft.data.images import Images
from graft.figures.canvas import drawn, styled, wrapped
from graft.figures.confusion import MATRIX, draw_confusion
from graft.logs.sample_images import grid
from graft.nouns import counted
from graft.results.labels import title
from graft.results.outcomes import StoredOutcomes

WORST = 8  # mistakes that are shown
SIDE = 112  # pixels of one


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
    name = "confusion matrix" if len(found.classes) <= MATRIX else "worst confusions"
    job = title(content["config"]) or "all trials"
    pictures = {name: drawn(draw_confusion(confusion_table(found), found.classes, job))}
    if found.wrong.any():
        pictures["worst mistakes"] = _worst(found, images)
    return pictures


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
    return drawn(figure)
