"""The Lightning module: a frozen front that all trials share, and what each trial trains."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from graft.data.datamodule import TrialLoader
from graft.training.logger import band
from graft.training.metrics import EpochMetrics
from graft.training.regularize import Objective, weight_decay_groups
from graft.training.schedule import Schedule
from graft.training.trials import TrialStack
from graft.training.tune import freeze

Optimizer = Callable[[Iterable[nn.Parameter] | Iterable[dict[str, Any]]], torch.optim.Optimizer]


class TransferModule(pl.LightningModule):
    """Backbone and heads of several trials, trained side by side.

    Args:
        frozen: preprocessing and frozen stages; images (batch, channels, height, width) to activations.
        networks: for each trial the thawed stages and the head; activations to logits.
        optimizer: makes the optimiser from the trials' parameters.
        stored: whether batches are what `frozen` makes of the images, rather than images.
        varied: whether training batches are images even so, because they vary from step to step.
        schedule: makes the learning rates' scheduler, stepped after each step; None: they stay.
        objective: what the training steps minimise; None: the plain cross-entropy.
        lr_decay: learning rate of each stage, as a share of the next one's; the last stage's is the head's.
        first_epoch: epochs of the fits before this one, from which its own are counted on.
        memory_format: in which maps run.

    Attributes:
        history: the trials' values, (trials,), of each (split, metric, epoch); epochs count from 1.
    """

    def __init__(
        self,
        frozen: nn.Module,
        networks: Sequence[nn.Module],
        optimizer: Optimizer,
        stored: bool,
        varied: bool = False,
        schedule: Schedule | None = None,
        objective: Objective | None = None,
        lr_decay: float = 1.0,
        first_epoch: int = 0,
        memory_format: torch.memory_format = torch.channels_last,
    ):
        super().__init__()
        self.frozen = frozen
        self.stack = TrialStack(networks, memory_format)
        self.optimizer = optimizer
        self.stored, self.varied, self.schedule, self.objective = stored, varied, schedule, objective
        self.lr_decay, self.first_epoch = lr_decay, first_epoch
        self.history: dict[tuple[str, str, int], torch.Tensor] = {}
        self.resumed = False  # whether an earlier run had trained some of its epochs
        self._tallies: dict[str, EpochMetrics] = {}

    def forward(self, inputs: torch.Tensor, stored: bool) -> torch.Tensor:
        """Map images, or what is stored of them, (trials, batch, ...), to logits, (trials, batch, classes)."""
        if not stored:
            with torch.no_grad():
                inputs = self.frozen(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
        return self.stack(inputs)

    def train(self, mode: bool = True) -> "TransferModule":
        super().train(mode)
        freeze(self.frozen)
        return self

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.resumed = True

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer(self.stack.parameters())
        if optimizer.defaults.get("weight_decay") or self.lr_decay != 1:
            optimizer = self.optimizer(self._groups(optimizer.defaults["lr"]))
        steps = int(self.trainer.estimated_stepping_batches)
        epoch_steps = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        scheduler = self.schedule and self.schedule(optimizer, steps, epoch_steps)
        if scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _groups(self, lr: float) -> list[dict[str, Any]]:
        """Return the parameters by stage, each with its rate, and apart those that weight decay spares."""
        stages: dict[str, dict[str, nn.Parameter]] = {}
        for name, parameter in self.stack.named().items():
            own = self.lr_decay != 1 and name.startswith("stages.")
            stages.setdefault(name.split(".")[1] if own else "head", {})[name] = parameter
        numbers = [int(stage.removeprefix("stage")) for stage in stages if stage != "head"]
        groups = []
        for stage, parameters in stages.items():
            distance = 0 if stage == "head" else max(numbers) - int(stage.removeprefix("stage"))
            for group in weight_decay_groups(parameters, self.stack.num_trials > 1):
                groups.append({**group, "lr": lr * self.lr_decay**distance})
        return [group for group in groups if group["params"]]

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: Any, **__: Any) -> None:
        if self.objective is not None:
            self.objective.adjust_gradients(self.stack)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        # No trial's loss depends on another trial's weights, so the sum's gradients are those of each alone.
        loader: Any = self.trainer.train_dataloader
        if self.objective is None:
            losses = self._losses(loader, batch, batch_idx)
        else:
            inputs, labels = batch
            inputs, pairing = self.objective.mix(inputs)
            logits = self(inputs, self.stored and not self.varied)
            losses = self.objective.losses(logits, labels, pairing)
            self._note(loader, batch_idx, losses, logits, labels)
        return losses.mean(1).sum() * loader.weights[batch_idx]

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int, dataloader_idx: int = 0):
        self._losses(self._loader(self.trainer.val_dataloaders, dataloader_idx), batch, batch_idx)

    def test_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int, dataloader_idx: int = 0):
        self._losses(self._loader(self.trainer.test_dataloaders, dataloader_idx), batch, batch_idx)

    @staticmethod
    def _loader(loaders: Any, index: int) -> TrialLoader:
        return loaders[index]

    def _losses(self, loader: TrialLoader, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Return each image's loss, (trials, batch), and note it with the prediction."""
        inputs, labels = batch
        logits = self(inputs, self.stored and not (self.varied and loader.split == "train"))
        if logits.shape[1] > labels.shape[1]:  # several views of each image, whose probabilities are averaged
            # Not divided by their number, which the loss's own softmax takes out.
            logits = logits.unflatten(1, (-1, labels.shape[1])).log_softmax(-1).logsumexp(1)
        labels = labels.expand(len(logits), -1)
        losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
        self._note(loader, batch_idx, losses, logits, labels)
        return losses

    def _note(
        self, loader: TrialLoader, index: int, losses: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor
    ) -> None:
        own = loader.counts[index]  # each image is counted by one rank
        self._tallies.setdefault(loader.split, EpochMetrics()).add(
            losses[:, :own].detach(), logits[:, :own].detach(), labels[:, :own]
        )

    def on_train_epoch_end(self) -> None:
        self._record()

    def on_validation_epoch_end(self) -> None:
        # Lightning validates inside a training epoch; that epoch's own numbers wait for its end.
        self._record(but="train")

    def on_test_epoch_end(self) -> None:
        self._record(but="train")

    @property
    def epoch(self) -> int:
        """The epoch that runs or, after the fit, that has ended; counted from 1, over all fits of the job."""
        return self.first_epoch + self.current_epoch + (self.trainer.state.fn == "fit")

    def _record(self, but: str | None = None) -> None:
        """Close the passes that ended: note them in the history and draw them."""
        epoch = self.epoch
        for split in [split for split in self._tallies if split != but]:
            curves: dict[str, float] = {}
            for metric, values in self._tallies.pop(split).compute(by_class=split != "train").items():
                if (split, metric, epoch) not in self.history:  # the final test may repeat the last epoch's
                    self.history[split, metric, epoch] = values
                    curves |= band(f"{metric}/{split}", values)
                    if (split, metric) == ("train", "loss") and not values.isfinite().any():
                        self.trainer.should_stop = True  # nothing left to learn from
            if self.logger is not None and curves:
                self.logger.log_metrics(curves, step=epoch)


class OneTrial(pl.LightningModule):
    """One trial's model, for Lightning's model summary: what is frozen, and what trains."""

    def __init__(self, frozen: nn.Module, network: nn.Module):
        super().__init__()
        self.frozen = frozen
        self.network = network
        freeze(self.frozen)


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """Count a model's parameters: total, trainable and frozen."""
    total = sum(parameter.numel() for parameter in model.parameters())
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return {"total": total, "trainable": trainable, "frozen": total - trainable}
