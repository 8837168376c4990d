"""Measures: what one pass over a split comes to, for each trial."""

import torch
from torchmetrics.functional.classification import multiclass_accuracy

from graft.ranks import all_gather


class EpochMetrics:
    """One pass over a split: what is noted at each step, and what it comes to for each trial.

    Steps only append, since a small head's step is short; the measures are computed once a pass.
    """

    def __init__(self):
        self.steps: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def add(self, losses: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Note a step: losses (trials, batch), logits (trials, batch, classes), labels (trials, batch)."""
        self.num_classes = logits.shape[-1]
        self.steps.append((losses, logits.argmax(-1), labels))

    def compute(self, by_class: bool) -> dict[str, torch.Tensor]:
        """Return each trial's loss and accuracy, a fraction of 1, (trials,), over what all ranks noted.

        Args:
            by_class: whether to return measures that let each class count alike, too.
        """
        losses, predictions, labels = (
            all_gather(torch.cat(parts, dim=1), 1) for parts in zip(*self.steps, strict=True)
        )
        accuracy = multiclass_accuracy(
            predictions,
            labels,
            self.num_classes,
            average="micro",
            multidim_average="samplewise",
            validate_args=False,
        )
        measures = {"loss": losses.mean(1), "accuracy": accuracy}
        return measures | class_balanced_metrics(predictions, labels, self.num_classes) if by_class else measures


def class_balanced_metrics(
    predictions: torch.Tensor, labels: torch.Tensor, num_classes: int
) -> dict[str, torch.Tensor]:
    """Return balanced accuracy and macro-F1, fractions of 1, of each trial, (trials,).

    They let each class count alike. One count of all pairs serves both: torchmetrics makes a one-hot table of all
    images and classes for each.

    Args:
        predictions: classes, (trials, images).
        labels: classes, (trials, images).
        num_classes: how many there are.
    """
    trials = torch.arange(len(labels), device=labels.device)[:, None]
    pairs = ((trials * num_classes + labels) * num_classes + predictions).flatten()
    # (trials, labels, predictions)
    counts = pairs.bincount(minlength=len(labels) * num_classes**2).view(-1, num_classes, num_classes).float()
    right, labelled, predicted = counts.diagonal(dim1=1, dim2=2), counts.sum(2), counts.sum(1)
    recall = torch.where(labelled > 0, right / labelled, torch.nan)
    f1 = torch.where(labelled + predicted > 0, 2 * right / (labelled + predicted), torch.nan)
    return {"balanced_accuracy": recall.nanmean(1), "macro_f1": f1.nanmean(1)}
