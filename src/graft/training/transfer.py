"""The Lightning module: the frozen stages that all trials share, and the stack of networks that each trial trains."""

import functools
import math
from collections import ChainMap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from graft.data.folds import NO_IMAGE
from graft.data.loader import Batch
from graft.errors import GraftError
from graft.nouns import counted
from graft.stack.dropout import Masks
from graft.stack.trial_stack import TrialStack
from graft.training.logger import band
from graft.training.loss_scale import LossScale
from graft.training.metrics import EpochMetrics, Outcomes, TrialRecord
from graft.training.regularize import Objective, parameter_groups
from graft.training.tune import Phase, freeze

Optimizer = Callable[[Iterable[nn.Parameter] | Iterable[dict[str, Any]]], torch.optim.Optimizer]


class TransferModule(pl.LightningModule):
    """Backbone and heads of several trials, trained side by side in one phase.

    Args:
        frozen: preprocessing and frozen stages; images (batch, channels, height, width) to activations.
        networks: for each trial the stages that train and the head; activations to logits.
        phase: the phase's optimizer, learning rate, schedule, and the stages' learning rates.
        objective: the loss of training steps; None: the plain cross-entropy.
        first_epoch: number of epochs in the phases before this one; this phase's are counted from there.
        memory_format: memory format of the stack's inputs and kernels.
        masks: each trial's dropout masks in this phase; None: those of the seeds 0, 1, 2 and so on.

    Attributes:
        stack: the networks.
        record: the trials' metrics of each epoch, and the epochs at which they ended.
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
        self.record = TrialRecord(self.stack.num_trials)
        self.outcomes: dict[str, Outcomes] = {}
        self.keeps_all_classes = True
        self.loss_scale: LossScale | None = None
        self._loaded_scale: dict[str, torch.Tensor] | None = None
        self.resumed = False
        self._passes: dict[str, EpochMetrics] = {}  # by split, of passes that have not ended

    @property
    def history(self) -> dict[tuple[str, str, int], torch.Tensor]:
        """The trials' values, (trials,), of each (split, metric, epoch), as `TrialRecord` has them."""
        return self.record.history

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
        checkpoint["passes"] = {"correct": self.record.correct, "images": self.record.images, "loss_scale": scale}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.resumed = True
        passes = checkpoint["passes"]
        self.record.correct, self._loaded_scale = passes["correct"], passes["loss_scale"]
        # Version 0.2.0 stored one number for all trials.
        counts = {key: torch.as_tensor(count) for key, count in passes["images"].items()}
        self.record.images = {key: count.expand(self.stack.num_trials) for key, count in counts.items()}

    def setup(self, stage: str) -> None:
        # One seed's batches would be broadcast to all networks without a word: they would train on the same images, or,
        # with folds, be tested on those that they were trained on.
        seeds = getattr(getattr(self.trainer, "datamodule", None), "seeds", None)
        if seeds is not None and len(seeds) != self.stack.num_trials:
            raise GraftError(
                f"the data module has {counted(len(seeds), 'seed')} and the module "
                f"{counted(self.stack.num_trials, 'network')}; give both one for each trial"
            )

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
        decay, factor = self.phase.lr_decay, self.phase.lr_factor
        if optimizer.defaults.get("weight_decay") or (decay, factor) != (1, 1):
            optimizer = make(parameter_groups(self.stack, optimizer.defaults["lr"], decay, factor))
        steps = int(self.trainer.estimated_stepping_batches)
        epoch_steps = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        scheduler = self.phase.schedule and self.phase.schedule(optimizer, steps, epoch_steps)
        if scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

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
        losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none", ignore_index=NO_IMAGE)
        losses = losses.view_as(labels)
        self._record_batch(batch, losses, logits, labels, keep)
        return losses

    def _record_batch(
        self, batch: Batch, losses: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor, keep: bool = False
    ) -> None:
        own = slice(batch.num_counted)  # each image is counted by one rank
        found = self._passes.setdefault(batch.split, EpochMetrics())
        found.add(losses[:, own].detach(), logits[:, own].detach(), labels[:, own])
        if keep and batch.rows is not None:
            found.keep(batch.rows[:, own], logits[:, own], self.keeps_all_classes)

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
        state = self.trainer.state
        return self.first_epoch + self.current_epoch + (state.fn == "fit" and not state.finished)

    def _finish_passes(self, leave_out: str | None = None) -> None:
        """Compute the finished splits' metrics, add them to the record and log them.

        After the fit they are those of the epochs whose weights the trials end with.
        """
        record, epoch, fits = self.record, self.epoch, self.trainer.state.fn == "fit"
        ends = record.final_epochs(epoch)
        for split in [split for split in self._passes if split != leave_out]:
            found = self._passes.pop(split).compute(by_class=split != "train")
            if found.outcomes is not None:
                self.outcomes[split] = found.outcomes
            for each in [epoch] if fits else ends.unique().tolist():
                changed = record.add(split, each, found, record.trained(each) if fits else ends == each)
                if self.logger is not None and changed:
                    points = [band(f"{metric}/{split}", values) for metric, values in changed.items()]
                    self.logger.log_metrics(dict(ChainMap(*points)), step=each)
            if split == "train" and not self.history[split, "loss", epoch].isfinite().any():
                self.trainer.should_stop = True  # every trial that is not held has failed

    def unseen(self, epochs: int, images: int) -> str:
        """Return in words what training lacks; empty if each trial's is complete, or ended because it failed.

        Args:
            epochs: number of epochs that were planned.
            images: number of each trial's training images.
        """
        return self.record.unseen(self.first_epoch, epochs, images)
