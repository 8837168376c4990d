"""Metrics of one pass over a split, for each trial."""

from typing import NamedTuple

import torch
from torchmetrics.functional.classification import multiclass_accuracy

from graft.ranks import all_gather


class Outcomes(NamedTuple):
    """What each trial said of each image of a pass, on the CPU; images are sorted by their rows.

    Attributes:
        rows: as `Batch` has them, (trials, images), or (1, images) if all trials share them.
        predictions: classes, (trials, images), as `Pass.correct` counts them.
        probabilities: of each class, (trials, images, classes), or of the true class, (trials, images, 1); float16.
    """

    rows: torch.Tensor
    predictions: torch.Tensor
    probabilities: torch.Tensor


class Pass(NamedTuple):
    """What one pass over a split found.

    Attributes:
        metrics: each trial's, (trials,), by name.
        correct: number of images that each trial classified correctly, (trials,).
        images: number of images that the pass saw, of each trial.
        outcomes: what was kept of each image; None: nothing.
    """

    metrics: dict[str, torch.Tensor]
    correct: torch.Tensor
    images: int
    outcomes: Outcomes | None = None


class EpochMetrics:
    """Collects the losses and predictions of one pass over a split, and computes each trial's metrics.

    `add` only appends, because a small head's step is short; `compute` runs once per pass.
    """

    def __init__(self):
        self.steps: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self.kept: list[tuple[torch.Tensor, torch.Tensor]] = []  # rows and probabilities of each step

    def add(self, losses: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a step: losses (trials, batch), logits (trials, batch, classes), labels (trials, batch)."""
        self.num_classes = logits.shape[-1]
        self.steps.append((losses, logits.argmax(-1), labels))

    def keep(self, rows: torch.Tensor, logits: torch.Tensor, all_classes: bool) -> None:
        """Keep what the trials said of the images of the step that was just added, in the CPU's memory.

        Args:
            rows: the images', (trials, batch) or (1, batch).
            logits: (trials, batch, classes).
            all_classes: whether to keep each class's probability, rather than the true class's only.
        """
        # For few classes this takes a fifth of the time of softmax(-1), on a CPU.
        exponentials = (logits.float() - logits.amax(-1, keepdim=True)).exp()
        probabilities = (exponentials / exponentials.sum(-1, keepdim=True)).half()
        if not all_classes:
            probabilities = probabilities.gather(2, self.steps[-1][2][..., None])
        self.kept.append((rows, probabilities.cpu()))

    def compute(self, by_class: bool) -> Pass:
        """Return each trial's mean loss and accuracy, in [0, 1], both (trials,), and counts, over all ranks' images.

        Args:
            by_class: whether to add the metrics in which all classes have equal weight.
        """
        losses, predictions, labels = (  # each (trials, images)
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
        metrics = {"loss": losses.mean(1), "accuracy": accuracy}
        if by_class:
            metrics |= class_balanced_metrics(predictions, labels, self.num_classes)
        return Pass(metrics, (predictions == labels).sum(1), labels.shape[1], self._outcomes(predictions))

    def _outcomes(self, predictions: torch.Tensor) -> Outcomes | None:
        """Return what was kept, of all ranks' images.

        Args:
            predictions: all ranks', (trials, images), in the order of ranks.
        """
        if not self.kept:
            return None
        device = predictions.device  # on which the ranks exchange values
        rows, probabilities = (
            all_gather(torch.cat(parts, 1).to(device), 1).cpu() for parts in zip(*self.kept, strict=True)
        )
        predictions, (rows, order) = predictions.cpu(), rows.sort(1)
        if len(rows) == 1:  # much faster than the gathering of each trial's own
            return Outcomes(rows, predictions[:, order[0]], probabilities[:, order[0]])
        places = order[..., None].expand(-1, -1, probabilities.shape[2])
        return Outcomes(rows, predictions.gather(1, order), probabilities.gather(1, places))


def class_balanced_metrics(
    predictions: torch.Tensor, labels: torch.Tensor, num_classes: int
) -> dict[str, torch.Tensor]:
    """Return each trial's balanced accuracy and macro-F1, in [0, 1], (trials,); classes have equal weight.

    Both come from one confusion matrix per trial; torchmetrics would make a one-hot table of all images and classes
    for each metric. Classes that a metric is undefined for are left out: balanced accuracy needs a label of the class,
    F1 a label or a prediction.

    Args:
        predictions: classes, (trials, images).
        labels: classes, (trials, images).
        num_classes: number of classes.
    """
    trials = torch.arange(len(labels), device=labels.device)[:, None]
    # The index of each image's cell in confusion matrices of shape (trials, labels, predictions).
    cells = ((trials * num_classes + labels) * num_classes + predictions).flatten()
    confusion = cells.bincount(minlength=len(labels) * num_classes**2).view(-1, num_classes, num_classes).float()
    # For each class, (trials, classes).
    correct, labeled, predicted = confusion.diagonal(dim1=1, dim2=2), confusion.sum(2), confusion.sum(1)
    recall = torch.where(labeled > 0, correct / labeled, torch.nan)
    f1 = torch.where(labeled + predicted > 0, 2 * correct / (labeled + predicted), torch.nan)
    return {"balanced_accuracy": recall.nanmean(1), "macro_f1": f1.nanmean(1)}
