"""Tuning: which of the kept stages train, in which phases, and the callback that freezes the others."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from graft.errors import ConfigError, Fault
from graft.model.batch_norm import freeze_batch_norm_stats
from graft.model.lora import Adapted
from graft.training.schedule import Schedule


@dataclass(frozen=True)
class Phase:
    """One of the fits that a job makes in sequence.

    Attributes:
        frozen_stages: number of leading stages that are frozen, from 0 to all kept stages.
        lr_decay: layer-wise learning-rate decay: each stage's rate is this factor times the next stage's.
        epochs: passes over the training images; None: the job's.
        lr: learning rate of the head; `auto`: a range test finds it; None: the job's.
        optimizer: makes the optimizer; None: the job's.
        schedule: makes the learning-rate scheduler; None: the job's.
        batch_norm: `train` or `frozen`, as in `Tune`.
        lora: rank and alpha of the updates of stages that are otherwise frozen; None: stages train as a whole.
        lr_factor: the rate of the last stage, or of LoRA's updates, is this factor times the head's.
    """

    frozen_stages: int
    lr_decay: float = 1.0
    epochs: int | None = None
    lr: float | str | None = None
    optimizer: Callable[..., Any] | None = None
    schedule: Schedule | None = None
    batch_norm: str = "train"
    lora: tuple[int, float] | None = None
    lr_factor: float = 1.0

    def trainable(self, stages: nn.Module) -> nn.Module:
        """Return what one trial trains of stages with their source's weights: a copy of them, or LoRA's updates."""
        if self.lora is not None:
            return Adapted(stages, *self.lora)
        # An earlier phase may have frozen these stages (the fit unfreezes them) and changed their memory format.
        unfrozen = copy.deepcopy(stages).train().to(memory_format=torch.contiguous_format)
        if self.batch_norm == "frozen":
            freeze_batch_norm_stats(unfrozen)
        return unfrozen


class Tune:
    """Trains the head and the last kept stages together, in one phase.

    Args:
        thaw: number of last stages that train; `all`; or `auto`: all without trained weights, none with them.
        lr_decay: layer-wise learning-rate decay, in (0, 1]: each stage's rate is this factor times the next stage's.
        batch_norm: batch norm of the stages that train. `train` computes its statistics from each batch; `frozen`
            keeps the source's, because small batches of few images estimate them poorly, and trains only scale and
            shift (Chollet, 8.3).
        lr_factor: the last stage's learning rate is this factor times the head's.
    """

    def __init__(self, thaw: int | str, lr_decay: float = 1.0, batch_norm: str = "train", lr_factor: float = 1.0):
        self.thaw, self.lr_decay, self.batch_norm, self.lr_factor = thaw, lr_decay, batch_norm, lr_factor

    def phases(self, num_kept: int, trained: bool) -> list[Phase]:
        """Return the phases of a job.

        Args:
            num_kept: number of stages that the backbone keeps.
            trained: whether a source gives them weights.

        Raises:
            ConfigError: fewer stages are kept than are to train, or random weights would be frozen.
        """
        if self.batch_norm == "frozen" and not trained:
            expected = "train with source=scratch, whose batch norm has no trained statistics"
            raise ConfigError([Fault("tune.batch_norm", "frozen", expected, "tune.batch_norm=train")])
        frozen_stages = _frozen_stages(self.thaw, num_kept, trained)
        return [Phase(frozen_stages, self.lr_decay, batch_norm=self.batch_norm, lr_factor=self.lr_factor)]


class Thaw(Tune):
    """Trains the head alone first, then together with the last stages: each phase is a fit.

    Chollet, Deep Learning with Python, 8.3; linear probing then fine-tuning (LP-FT), Kumar et al. 2022.

    Args:
        thaw: number of last stages that train in the second phase; a list adds one phase for each of its numbers.
        epochs: passes over the training images in each phase after the first.
        lr: learning rate in these phases; `auto`: a range test finds one for each.
        optimizer: makes the optimizer of these phases; None: the job's.
        schedule: makes the learning-rate scheduler of these phases; None: the job's.
        lr_decay: as in `Tune`.
        batch_norm: as in `Tune`.
    """

    def __init__(
        self,
        thaw: int | str | Sequence[int],
        epochs: int,
        lr: float | str,
        optimizer: Callable[..., Any] | None = None,
        schedule: Schedule | None = None,
        lr_decay: float = 1.0,
        batch_norm: str = "frozen",
    ):
        super().__init__("auto", lr_decay, batch_norm)
        self.num_unfrozen = [thaw] if isinstance(thaw, int | str) else list(thaw)
        self.epochs, self.lr, self.optimizer, self.schedule = epochs, lr, optimizer, schedule

    def phases(self, num_kept: int, trained: bool) -> list[Phase]:
        """Return the head's phase and those of the last stages; arguments as for `Tune`.

        Raises:
            ConfigError: fewer stages are kept than are to train, a phase unfreezes no stage, or random weights would be
                frozen.
        """
        frozen = [_frozen_stages(thaw, num_kept, trained) for thaw in self.num_unfrozen]
        if any(now >= before for before, now in zip([num_kept, *frozen], frozen, strict=False)):
            expected = "above 0, and each number of a list above the one before"
            raise ConfigError([Fault("tune.thaw", self.num_unfrozen, expected, "tune.thaw=1")])
        head = Phase(_frozen_stages(0, num_kept, trained))
        last = Phase(num_kept, self.lr_decay, self.epochs, self.lr, self.optimizer, self.schedule, self.batch_norm)
        return [head, *(replace(last, frozen_stages=frozen_stages) for frozen_stages in frozen)]


class Lora(Tune):
    """Trains the head and low-rank updates of the attention in the last kept stages (Hu et al. 2021), in one phase.

    Args:
        thaw: number of last stages that get updates, or `all`.
        rank: of the updates.
        alpha: their scale is alpha / rank.
        lr_factor: their learning rate is this factor times the head's.
    """

    def __init__(self, thaw: int | str, rank: int = 8, alpha: float = 16, lr_factor: float = 1.0):
        super().__init__(thaw, batch_norm="frozen", lr_factor=lr_factor)
        self.rank, self.alpha = rank, alpha

    def phases(self, num_kept: int, trained: bool) -> list[Phase]:
        """Return the phase; arguments and errors as for `Tune`.

        Raises:
            ConfigError: no stage would get updates, or random weights would be frozen.
        """
        if not trained:
            expected = "big, imagenet or file with tune=lora, which updates trained weights"
            raise ConfigError([Fault("source", "scratch", expected, "tune=full, or source=imagenet")])
        (phase,) = super().phases(num_kept, trained)
        if phase.frozen_stages == num_kept:
            raise ConfigError([Fault("tune.thaw", self.thaw, "above 0 or all with tune=lora", "tune.thaw=1")])
        return [replace(phase, lora=(self.rank, self.alpha))]


def _frozen_stages(thaw: int | str, num_kept: int, trained: bool) -> int:
    """Return how many leading stages stay frozen if the last `thaw` of the kept ones train."""
    num_unfrozen = {"all": num_kept, "auto": 0 if trained else num_kept}.get(str(thaw), thaw)
    if not isinstance(num_unfrozen, int) or not 0 <= num_unfrozen <= num_kept:
        expected = f"auto, all or from 0 to {num_kept}, the number of kept stages"
        raise ConfigError([Fault("tune.thaw", num_unfrozen, expected, "tune.thaw=all")])
    if num_unfrozen < num_kept and not trained:
        expected = "auto or all with source=scratch, because frozen stages would keep random weights"
        raise ConfigError([Fault("tune.thaw", num_unfrozen, expected, "tune=full, or source=big")])
    return num_kept - num_unfrozen


class Freeze(pl.Callback):
    """Freezes a part of a Lightning module for one fit.

    No gradients, and evaluation mode: batch norm keeps its statistics and dropout stays off, in each epoch again.
    Lightning's `BackboneFinetuning` leaves batch norm in training mode, so features drift.

    Args:
        part: name of the submodule.
    """

    def __init__(self, part: str = "frozen"):
        self.part = part

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        freeze(pl_module.get_submodule(self.part))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        freeze(pl_module.get_submodule(self.part))  # something may have called `train()`


class Unfreeze(pl.Callback):
    """Unfreezes a part of a Lightning module for one fit, in which all of it trains.

    A later phase that unfreezes more is another fit, with another optimizer: unfreezing within a fit would leave the
    ranks of several devices with different weights, and a checkpoint with an optimizer that lacks them.

    Args:
        part: name of the submodule.
    """

    def __init__(self, part: str = "stack"):
        self.part = part

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            pl_module.get_submodule(self.part).requires_grad_(True).train()


def freeze(frozen: nn.Module) -> None:
    """Freeze a module: no gradients, evaluation mode."""
    frozen.requires_grad_(False).eval()
