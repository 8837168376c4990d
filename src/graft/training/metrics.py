"""Metrics of one pass over a split, for each trial."""

from typing import NamedTuple

import torch

from graft.data.folds import NO_IMAGE
from graft.ranks import all_gather


class Pass(NamedTuple):
    """What one pass over a split found.

    Attributes:
        metrics: each trial's, (trials,), by name.
        correct: number of images that each trial classified correctly, (trials,).
        images: number of images that the pass saw of each trial, (trials,).
    """

    metrics: dict[str, torch.Tensor]
    correct: torch.Tensor
    images: torch.Tensor


class EpochMetrics:
    """Collects the losses and predictions of one pass over a split, and computes each trial's metrics.

    `add` only appends, because a small head's step is short; `compute` runs once per pass.
    """

    def __init__(self):
        self.steps: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def add(self, losses: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a step: losses (trials, batch), logits (trials, batch, classes), labels (trials, batch).

        Where a label is `NO_IMAGE`, the loss is 0.
        """
        self.num_classes = logits.shape[-1]
        self.steps.append((losses, logits.argmax(-1), labels))

    def compute(self, by_class: bool) -> Pass:
        """Return each trial's mean loss and accuracy, in [0, 1], both (trials,), and counts, over all ranks' images.

        Args:
            by_class: whether to add the metrics in which all classes have equal weight.
        """
        losses, predictions, labels = (  # each (trials, images)
            all_gather(torch.cat(parts, dim=1), 1) for parts in zip(*self.steps, strict=True)
        )
        images, correct = (labels != NO_IMAGE).sum(1), (predictions == labels).sum(1)
        metrics = {"loss": losses.sum(1) / images, "accuracy": correct / images}
        if by_class:
            metrics |= class_balanced_metrics(predictions, labels, self.num_classes)
        return Pass(metrics, correct, images)


def class_balanced_metrics(
    predictions: torch.Tensor, labels: torch.Tensor, num_classes: int
) -> dict[str, torch.Tensor]:
    """Return each trial's balanced accuracy and macro-F1, in [0, 1], (trials,); classes have equal weight.

    Both come from one confusion matrix per trial; torchmetrics would make a one-hot table of all images and classes
    for each metric. Classes that a metric is undefined for are left out: balanced accuracy needs a label of the class,
    F1 a label or a prediction.

    Args:
        predictions: classes, (trials, images).
        labels: classes, (trials, images); `NO_IMAGE` counts nowhere.
        num_classes: number of classes.
    """
    trials = torch.arange(len(labels), device=labels.device)[:, None]
    # The index of each image's cell in confusion matrices of shape (trials, labels, predictions).
    cells = ((trials * num_classes + labels) * num_classes + predictions)[labels != NO_IMAGE]
    confusion = cells.bincount(minlength=len(labels) * num_classes**2).view(-1, num_classes, num_classes).float()
    # For each class, (trials, classes).
    correct, labeled, predicted = confusion.diagonal(dim1=1, dim2=2), confusion.sum(2), confusion.sum(1)
    recall = torch.where(labeled > 0, correct / labeled, torch.nan)
    f1 = torch.where(labeled + predicted > 0, 2 * correct / (labeled + predicted), torch.nan)
    return {"balanced_accuracy": recall.nanmean(1), "macro_f1": f1.nanmean(1)}
