"""The Lightning module: the frozen stages that all trials share, and the stack of networks that each trial trains."""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from graft.data.loader import Batch
from graft.model.dropout import Masks
from graft.training.logger import band
from graft.training.loss_scale import LossScale
from graft.training.metrics import EpochMetrics, Outcomes
from graft.training.regularize import Objective, weight_decay_groups
from graft.training.trials import TrialStack
from graft.training.tune import Phase, freeze

Optimizer = Callable[[Iterable[nn.Parameter] | Iterable[dict[str, Any]]], torch.optim.Optimizer]


class TransferModule(pl.LightningModule):
    """Backbone and heads of several trials, trained side by side in one phase.

    Args:
        frozen: preprocessing and frozen stages; images (batch, channels, height, width) to activations.
        networks: for each trial the stages that train and the head; activations to logits.
        phase: the phase's optimizer, learning rate, schedule and layer-wise learning-rate decay.
        objective: the loss of training steps; None: the plain cross-entropy.
        first_epoch: number of epochs in the phases before this one; this phase's are counted from there.
        memory_format: memory format of the stack's inputs and kernels.
        masks: each trial's dropout masks in this phase; None: those of the seeds 0, 1, 2 and so on.

    Attributes:
        stack: the networks.
        history: the trials' values, (trials,), of each (split, metric, epoch); epochs count from 1.
        correct: number of images that each trial classified correctly, (trials,), of each (split, epoch).
        images: number of images that the pass saw, of each (split, epoch).
        outcomes: what the trials said of each image of the final test, by split.
        keeps_all_classes: whether `outcomes` have each class's probability, rather than the true class's only.
        loss_scale: each trial's factor of its loss if the precision is 16-mixed.
        resumed: whether some of the epochs were trained by an earlier run.

    Example:
        Two trials of one output layer on features of four numbers; a batch holds both trials' images.

        >>> _ = torch.manual_seed(0)
        >>> phase = Phase(frozen_stages=0, lr=0.1, optimizer=torch.optim.SGD)
        >>> module = TransferModule(nn.Identity(), [nn.Linear(4, 3), nn.Linear(4, 3)], phase)
        >>> batch = Batch(torch.rand(2, 8, 4), torch.zeros(2, 8, dtype=torch.long), stored=True)
        >>> tuple(module(batch).shape)  # (trials, batch, classes)
        (2, 8, 3)
        >>> module.training_step(batch, 0).requires_grad  # the sum over trials of their mean losses
        True
    """

    def __init__(
        self,
        frozen: nn.Module,
        networks: Sequence[nn.Module],
        phase: Phase,
        objective: Objective | None = None,
        first_epoch: int = 0,
        memory_format: torch.memory_format = torch.channels_last,
        masks: Masks | None = None,
    ):
        super().__init__()
        self.frozen = frozen
        self.stack = TrialStack(networks, memory_format, masks)
        self.phase, self.objective, self.first_epoch = phase, objective, first_epoch
        self.history: dict[tuple[str, str, int], torch.Tensor] = {}
        self.correct: dict[tuple[str, int], torch.Tensor] = {}
        self.images: dict[tuple[str, int], int] = {}
        self.outcomes: dict[str, Outcomes] = {}
        self.keeps_all_classes = True
        self.loss_scale: LossScale | None = None
        self._loaded_scale: dict[str, torch.Tensor] | None = None
        self.resumed = False
        self._passes: dict[str, EpochMetrics] = {}  # by split, of passes that have not ended

    def forward(self, batch: Batch) -> torch.Tensor:
        """Map a batch's inputs, (trials, batch, ...), to logits, (trials, batch, classes)."""
        inputs = batch.inputs
        if not batch.stored:
            with torch.no_grad():
                inputs = self.frozen(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
        return self.stack(inputs, batch.first)

    def train(self, mode: bool = True) -> "TransferModule":
        super().train(mode)
        freeze(self.frozen)
        return self

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        scale = None if self.loss_scale is None else self.loss_scale.state_dict()
        checkpoint["passes"] = {"correct": self.correct, "images": self.images, "loss_scale": scale}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.resumed = True
        passes = checkpoint["passes"]
        self.correct, self.images, self._loaded_scale = passes["correct"], passes["images"], passes["loss_scale"]

    def on_fit_start(self) -> None:
        plugin: Any = self.trainer.precision_plugin
        if getattr(plugin, "scaler", None) is None:
            return
        # GradScaler would leave out all trials' step where one trial's gradient overflows, and an optimizer with
        # fused=true would divide the gradients by its factor only after they are clipped.
        plugin.scaler, self.loss_scale = None, LossScale(self.stack.num_trials)
        if self._loaded_scale is not None:
            self.loss_scale.load_state_dict(self._loaded_scale)

    def configure_optimizers(self) -> Any:
        make: Any = self.phase.optimizer
        if self.phase.lr is not None:
            make = functools.partial(make, lr=self.phase.lr)
        optimizer = make(self.stack.parameters())
        if optimizer.defaults.get("weight_decay") or self.phase.lr_decay != 1:
            optimizer = make(self._parameter_groups(optimizer.defaults["lr"]))
        steps = int(self.trainer.estimated_stepping_batches)
        epoch_steps = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        scheduler = self.phase.schedule and self.phase.schedule(optimizer, steps, epoch_steps)
        if scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return the parameters by stage, each stage with its learning rate, and without weight decay where it harms.

        A stage's rate is `lr * lr_decay ** d`, where d is its distance to the last stage; the head has the rate `lr`.
        """
        stages: dict[str, dict[str, nn.Parameter]] = {}
        for name, parameter in self.stack.named().items():
            decayed = self.phase.lr_decay != 1 and name.startswith("stages.")
            stages.setdefault(name.split(".")[1] if decayed else "head", {})[name] = parameter
        numbers = {stage: int(stage.removeprefix("stage")) for stage in stages if stage != "head"}
        groups = []
        for stage, parameters in stages.items():
            distance = max(numbers.values()) - numbers[stage] if stage in numbers else 0
            for group in weight_decay_groups(parameters, self.stack.num_trials > 1):
                groups.append({**group, "lr": lr * self.phase.lr_decay**distance})
        return [group for group in groups if group["params"]]

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: Any, **__: Any) -> None:
        if self.loss_scale is not None:
            self.loss_scale.unscale([value.grad for value in self.stack.named().values() if value.grad is not None])
        if self.objective is not None:
            self.objective.adjust_gradients(self.stack)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        if self.objective is None:
            losses = self.evaluate(batch)
        else:
            inputs, pairing = self.objective.mix(batch.inputs)
            logits = self(batch._replace(inputs=inputs))
            losses = self.objective.losses(logits, batch.labels, pairing)
            self._record_batch(batch, losses, logits, batch.labels)
        if self.loss_scale is not None:
            self.loss_scale.scale(losses)
        # No trial's loss depends on another trial's weights: the sum's gradients are those of each trial alone.
        return losses.mean(1).sum() * batch.weight

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.evaluate(batch)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.evaluate(batch, keep=True)

    def evaluate(self, batch: Batch, keep: bool = False) -> torch.Tensor:
        """Record a batch's losses and predictions, `keep` its outcomes; return each image's loss, (trials, batch)."""
        logits, labels = self(batch), batch.labels
        if logits.shape[1] > labels.shape[1]:  # test-time augmentation: average the views' probabilities
            # (trials, views * batch, classes) to (trials, batch, classes). The 1/views factor is omitted: it cancels
            # in the cross-entropy's softmax.
            logits = logits.unflatten(1, (-1, labels.shape[1])).log_softmax(-1).logsumexp(1)
        labels = labels.expand(len(logits), -1)
        losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
        self._record_batch(batch, losses, logits, labels, keep)
        return losses

    def _record_batch(
        self, batch: Batch, losses: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor, keep: bool = False
    ) -> None:
        counted = slice(batch.num_counted)  # each image is counted by one rank
        found = self._passes.setdefault(batch.split, EpochMetrics())
        found.add(losses[:, counted].detach(), logits[:, counted].detach(), labels[:, counted])
        if keep and batch.rows is not None:
            found.keep(batch.rows[:, counted], logits[:, counted], self.keeps_all_classes)

    def on_train_epoch_end(self) -> None:
        self._finish_passes()

    def on_validation_epoch_end(self) -> None:
        if self.trainer.sanity_checking:  # the networks are untrained
            self._passes.clear()
            return
        # Lightning validates inside a training epoch, whose own metrics are complete only at its end.
        self._finish_passes(leave_out="train")

    def on_test_epoch_end(self) -> None:
        self._finish_passes(leave_out="train")

    @property
    def epoch(self) -> int:
        """The current epoch or, after the fit, the last one; counted from 1, over all phases of the job."""
        return self.first_epoch + self.current_epoch + (self.trainer.state.fn == "fit")

    def _finish_passes(self, leave_out: str | None = None) -> None:
        """Compute the finished splits' metrics, add them to the history and log them."""
        epoch = self.epoch
        for split in [split for split in self._passes if split != leave_out]:
            points: dict[str, float] = {}
            found = self._passes.pop(split).compute(by_class=split != "train")
            self.correct[split, epoch], self.images[split, epoch] = found.correct, found.images
            if found.outcomes is not None:
                self.outcomes[split] = found.outcomes
            for metric, values in found.metrics.items():
                before = self.history.get((split, metric, epoch))
                if before is None or not torch.equal(before.to(values.device), values):
                    self.history[split, metric, epoch] = values  # the last validation of an epoch, or the final test
                    points |= band(f"{metric}/{split}", values)
            if split == "train" and not found.metrics["loss"].isfinite().any():
                self.trainer.should_stop = True  # every trial has failed
            if self.logger is not None and points:
                self.logger.log_metrics(points, step=epoch)

    def unseen(self, epochs: int, images: int) -> str:
        """Return in words what training lacks; empty if it is complete, or ended because every trial failed.

        Args:
            epochs: number of epochs that were planned.
            images: number of each trial's training images.
        """
        seen = {epoch: count for (split, epoch), count in self.images.items() if split == "train"}
        total, planned = sum(seen.values()), epochs * images
        if total >= planned or (seen and not self.history["train", "loss", max(seen)].isfinite().any()):
            return ""
        of_epochs = f" ({images:,} in each of {epochs} epochs)" if epochs > 1 else ""
        return f"saw {total:,} of {planned:,} images{of_epochs}"
