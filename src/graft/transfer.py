"""The Lightning module: a frozen front that all trials share, and what each trial trains."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from torch import nn
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import multiclass_accuracy

from graft.distributed import gather
from graft.split import Batches
from graft.trials import TrialStack
from graft.tune import hold

Optimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class Transfer(pl.LightningModule):
    """Backbone and heads of several trials, trained side by side.

    Args:
        frozen: preprocessing and frozen stages; images (batch, channels, height, width) to activations.
        networks: for each trial the thawed stages and the head; activations to logits.
        optimizer: makes the optimiser from the trials' parameters.
        stored: whether batches are what `frozen` makes of the images, rather than images.

    Attributes:
        history: the trials' values, (trials,), of each (split, metric, epoch); epochs count from 1.
    """

    def __init__(self, frozen: nn.Module, networks: Sequence[nn.Module], optimizer: Optimizer, stored: bool):
        super().__init__()
        self.frozen = frozen
        self.trials = TrialStack(networks)
        self.optimizer = optimizer
        self.stored = stored
        self.history: dict[tuple[str, str, int], torch.Tensor] = {}
        self._tallies: dict[str, Tally] = {}

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map a batch, (trials, batch, ...), to logits, (trials, batch, classes)."""
        if not self.stored:
            with torch.no_grad():
                inputs = self.frozen(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
        return self.trials(inputs)

    def train(self, mode: bool = True) -> "Transfer":
        super().train(mode)
        hold(self.frozen)
        return self

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.trials.parameters())

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        # No trial's loss depends on another trial's weights, so the sum's gradients are those of each alone.
        loader = self.trainer.train_dataloader
        return self._losses(loader, batch, batch_idx).mean(1).sum() * loader.weights[batch_idx]  # type: ignore[union-attr]

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int, dataloader_idx: int = 0):
        self._losses(self._loader(self.trainer.val_dataloaders, dataloader_idx), batch, batch_idx)

    def test_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int, dataloader_idx: int = 0):
        self._losses(self._loader(self.trainer.test_dataloaders, dataloader_idx), batch, batch_idx)

    @staticmethod
    def _loader(loaders: Any, index: int) -> Batches:
        return loaders[index]

    def _losses(self, loader: Any, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Return each image's loss, (trials, batch), and note it with the prediction."""
        inputs, labels = batch
        logits = self(inputs)
        labels = labels.expand(len(logits), -1)
        losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
        own = loader.counts[batch_idx]  # each image is counted by one rank
        self._tallies.setdefault(loader.split, Tally()).add(
            losses[:, :own].detach(), logits[:, :own].detach(), labels[:, :own]
        )
        return losses

    def on_train_epoch_end(self) -> None:
        self._record()

    def on_validation_epoch_end(self) -> None:
        # Lightning validates inside a training epoch; that epoch's own numbers wait for its end.
        self._record(but="train")

    def on_test_epoch_end(self) -> None:
        self._record(but="train")

    def _record(self, but: str | None = None) -> None:
        """Close the passes that ended: note them in the history and draw them."""
        epoch = self.current_epoch + (self.trainer.state.fn == "fit")
        for split in [split for split in self._tallies if split != but]:
            curves: dict[str, float] = {}
            for metric, values in self._tallies.pop(split).compute().items():
                if (split, metric, epoch) not in self.history:  # the final test may repeat the last epoch's
                    self.history[split, metric, epoch] = values
                    curves |= band(f"{metric}/{split}", values)
                    if (split, metric) == ("train", "loss") and not values.isfinite().any():
                        self.trainer.should_stop = True  # nothing left to learn from
            if self.logger is not None and curves:
                self.logger.log_metrics(curves, step=epoch)


class Tally:
    """One pass over a split: what is noted at each step, and what it comes to for each trial.

    Steps only append, since a small head's step is short; the measures are computed once a pass.
    """

    def __init__(self):
        self.steps: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def add(self, losses: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Note a step: losses (trials, batch), logits (trials, batch, classes), labels (trials, batch)."""
        self.num_classes = logits.shape[-1]
        self.steps.append((losses, logits.argmax(-1), labels))

    def compute(self) -> dict[str, torch.Tensor]:
        """Return loss and accuracy, a fraction of 1, of each trial, (trials,), over what all ranks noted."""
        losses, predictions, labels = (gather(torch.cat(parts, dim=1), 1) for parts in zip(*self.steps, strict=True))
        accuracy = multiclass_accuracy(
            predictions,
            labels,
            self.num_classes,
            average="micro",
            multidim_average="samplewise",
            validate_args=False,
        )
        return {"loss": losses.mean(1), "accuracy": accuracy}


def band(name: str, values: torch.Tensor) -> dict[str, float]:
    """Return a curve's point: the trials' mean, lowest and highest."""
    low, high = values.aminmax()
    mean, low, high = torch.stack([values.mean(), low, high]).tolist()
    return {f"{name}/mean": mean, f"{name}/low": low, f"{name}/high": high}


def curves(folder: Path, version: str, splits: Sequence[str]) -> TensorBoardLogger:
    """Return a logger whose Custom Scalars tab draws each split's mean inside its band."""
    logger = TensorBoardLogger(folder, name="", version=version)
    layout = {
        metric: {
            split: ["Margin", [f"{metric}/{split}/{line}" for line in ("mean", "low", "high")]] for split in splits
        }
        for metric in ("accuracy", "loss")
    }
    logger.experiment.add_custom_scalars(layout)
    return logger


class OneTrial(pl.LightningModule):
    """One trial's model, for Lightning's model summary: what is frozen, and what trains."""

    def __init__(self, frozen: nn.Module, network: nn.Module):
        super().__init__()
        self.frozen = frozen
        self.network = network
        hold(self.frozen)


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """Count a model's parameters: total, trainable and frozen."""
    total = sum(parameter.numel() for parameter in model.parameters())
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return {"total": total, "trainable": trainable, "frozen": total - trainable}
