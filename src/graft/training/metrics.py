"""Metrics of one pass over a split, for each trial, and the record of all passes."""

import math
from typing import NamedTuple

import torch

from graft.data.folds import NO_IMAGE
from graft.nouns import counted
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
        images: number of images that the pass saw of each trial, (trials,).
        outcomes: what was kept of each image; None: nothing.
    """

    metrics: dict[str, torch.Tensor]
    correct: torch.Tensor
    images: torch.Tensor
    outcomes: Outcomes | None = None


class EpochMetrics:
    """Collects the losses and predictions of one pass over a split, and computes each trial's metrics.

    `add` only appends, because a small head's step is short; `compute` runs once per pass.
    """

    def __init__(self):
        self.steps: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self.kept: list[tuple[torch.Tensor, torch.Tensor]] = []  # rows and probabilities of each step

    def add(self, losses: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a step: losses (trials, batch), logits (trials, batch, classes), labels (trials, batch).

        Where a label is `NO_IMAGE`, the loss is 0.
        """
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
            probabilities = probabilities.gather(2, self.steps[-1][2].clamp(min=0)[..., None])
        self.kept.append((rows, probabilities.cpu()))

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
        return Pass(metrics, correct, images, self._outcomes(predictions))

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


class TrialRecord:
    """What the passes of one fit, and of its final test, found of each trial, and where each trial ended.

    A trial that is held has no passes after that epoch: its numbers of images are 0 there, and its metrics NaN.

    Args:
        num_trials: number of trials.

    Attributes:
        history: the trials' values, (trials,), of each (split, metric, epoch); epochs count from 1, over all phases.
        correct: number of images that each trial classified correctly, (trials,), of each (split, epoch).
        images: number of images that the pass saw of each trial, (trials,), of each (split, epoch).
        held: epoch after which early stopping held each trial, (trials,); 0: it did not.
        ended: epoch whose weights each trial ends with, (trials,); 0: the last one of the fit.
    """

    def __init__(self, num_trials: int):
        self.history: dict[tuple[str, str, int], torch.Tensor] = {}
        self.correct: dict[tuple[str, int], torch.Tensor] = {}
        self.images: dict[tuple[str, int], torch.Tensor] = {}
        self.held, self.ended = (torch.zeros(num_trials, dtype=torch.long) for _ in range(2))

    def trained(self, epoch: int) -> torch.Tensor:
        """Return whether each trial was trained in an epoch, rather than held before it, (trials,)."""
        return (self.held == 0) | (self.held >= epoch)

    def final_epochs(self, last: int) -> torch.Tensor:
        """Return the epoch whose weights each trial ends with, (trials,).

        Args:
            last: the fit's last epoch.
        """
        return torch.where(self.ended > 0, self.ended, last)

    def add(self, split: str, epoch: int, found: Pass, trials: torch.Tensor) -> dict[str, torch.Tensor]:
        """Add what a pass found of some trials; the last validation of an epoch, or the final test, replaces others.

        Args:
            split: the pass's.
            epoch: the epoch after which the trials have these numbers.
            found: what the pass found.
            trials: whether it counts for each trial, (trials,).

        Returns:
            The metrics that are new or have changed: values of all trials that have a pass over the split at the epoch.
        """
        trials = trials.to(found.images.device)
        for counts, new in ((self.correct, found.correct), (self.images, found.images)):
            before = counts.get((split, epoch), torch.zeros_like(new))
            counts[split, epoch] = new.where(trials, before.to(new.device))
        seen, changed = self.images[split, epoch] > 0, {}
        for metric, values in found.metrics.items():
            known = self.history.get((split, metric, epoch))
            before = torch.full_like(values, math.nan) if known is None else known.to(values.device)
            values = values.where(trials, before)
            if known is None or not torch.equal(before[seen], values[seen]):
                self.history[split, metric, epoch] = values
                changed[metric] = values[seen]
        return changed

    def final(self, last: int, split: str, metric: str | None = None) -> torch.Tensor:
        """Return each trial's value at the epoch whose weights it ends with, (trials,), on the CPU.

        Args:
            last: the fit's last epoch.
            split: of the pass.
            metric: the metric; None: the number of images, 0 where there was no such pass.
        """
        values = torch.zeros(len(self.ended))
        for trial, epoch in enumerate(self.final_epochs(last).tolist()):
            if (split, epoch) in self.images:
                found = self.images[split, epoch] if metric is None else self.history[split, metric, epoch]
                values[trial] = found[trial]
        return values

    def unseen(self, first_epoch: int, epochs: int, images: int) -> str:
        """Return in words what the training of one of the trials lacks; empty if it is complete, or the trial failed.

        Args:
            first_epoch: number of epochs in the phases before.
            epochs: number of epochs that were planned for trials that are not held.
            images: number of each trial's training images.
        """
        planned = images * torch.where(self.held > 0, self.held - first_epoch, epochs)
        seen, failed = torch.zeros_like(planned), torch.zeros_like(planned, dtype=torch.bool)
        for (split, epoch), counts in self.images.items():
            if split == "train":
                seen += counts.cpu()
                failed |= (counts > 0).cpu() & ~self.history[split, "loss", epoch].isfinite().cpu()
        missed = (planned - seen).masked_fill(failed, 0)
        most = int(missed.argmax())
        if missed[most] <= 0:
            return ""
        num_epochs = int(planned[most]) // images
        of_epochs = f" ({images:,} in each of {num_epochs} epochs)" if num_epochs > 1 else ""
        return f"saw {int(seen[most]):,} of {counted(int(planned[most]), 'image')}{of_epochs}"


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
