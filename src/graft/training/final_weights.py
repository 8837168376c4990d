"""The weights that a fit ends with: a moving average of all steps', each trial's best epoch's, or those of its stop."""

from typing import Any

import pytorch_lightning as pl
import torch

from graft.training.transfer import TransferModule

DECIMALS = 6  # of the validation losses that are compared: those of history.csv, which thereby explains each stop


class AverageWeights(pl.Callback):
    """Keeps an exponential moving average of the stack's weights, evaluates it and ends the fit with it.

    The decay is min(decay, (1 + n) / (10 + n)) after the optimizer's step n, which soon forgets the initial weights.
    Batch norm's running statistics are averaged, too; integer buffers are not.

    Lightning's `EMAWeightAveraging` averages a copy of the whole module. With VGG-16 frozen a step of one head takes
    57 ms with it, 0.9 ms with this (1 core, 2026-11-26), and it cannot resume from a checkpoint without frozen weights.

    Args:
        decay: share of the average that is kept at each step of the optimizer, in (0, 1).
    """

    def __init__(self, decay: float):
        self.decay, self.num_steps = decay, 0
        self.average: list[torch.Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.num_steps, "average": self.average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.num_steps, self.average = state_dict["steps"], state_dict["average"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.weights = _averaged(pl_module)
        if not self.num_steps:  # otherwise the average comes from a checkpoint
            self.average = [value.clone() for value in self.weights]
        self.average = [average.to(weights.device) for average, weights in zip(self.average, self.weights, strict=True)]
        self._last_step = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object, **__: object) -> None:
        if trainer.global_step == self._last_step:
            return  # gradients of several batches are accumulated for one step
        self._last_step = trainer.global_step
        self.num_steps += 1
        decay = min(self.decay, (1 + self.num_steps) / (10 + self.num_steps))
        for weights, average in zip(self.weights, self.average, strict=True):
            average.lerp_(weights, 1 - decay)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._swap(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._swap(trainer)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Not in `on_train_end`, which a fit that resumes after its last epoch leaves out.
        for weights, average in zip(_averaged(pl_module), self.average, strict=True):
            weights.copy_(average)

    def _swap(self, trainer: pl.Trainer) -> None:
        """Exchange the stack's weights and their average, before and after a validation during a fit."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        for weights, average in zip(self.weights, self.average, strict=True):
            current = weights.clone()
            weights.copy_(average)
            average.copy_(current)


def _averaged(module: pl.LightningModule) -> list[torch.Tensor]:
    """Return the values of the stack that are averaged; they share its memory."""
    state = module.get_submodule("stack").state_dict(keep_vars=True).values()
    return [value.detach() for value in state if value.is_floating_point()]


class TrialEnds(pl.Callback):
    """Ends each trial at an epoch of its own, by its loss on the validation images: early stopping, best weights.

    A trial that is held ends with the weights of that epoch, or of its best one. Its place in the stack trains on,
    because the trials' steps are one; nothing of that is recorded, and the fit replaces these weights as it ends. The
    fit ends as soon as all trials are held. Every epoch has to be validated. Of equal losses the earliest is the best.

    Stands before `AverageWeights` in the list of callbacks: the weights that were validated are the average.

    Args:
        patience: epochs without a lower loss after which a trial is held, at least 1; None: none is.
        min_delta: by how much the loss has to fall below the last such one to count as lower, at least 0.
        best: whether each trial ends with the weights of its lowest loss.
    """

    def __init__(self, patience: int | None = None, min_delta: float = 0.0, best: bool = False):
        self.patience, self.min_delta, self.best = patience, min_delta, best
        self.losses: list[float] = []  # each trial's lowest
        self.best_epochs: list[int] = []  # when it was; 0: none was finite
        self.bars: list[float] = []  # the loss from which the patience counts
        self.bar_epochs: list[int] = []
        self.held: list[int] = []  # epoch after which a trial was held; 0: it goes on
        self.weights: dict[str, torch.Tensor] = {}  # with which trials end, by name, (trials, ...)

    def state_dict(self) -> dict[str, Any]:
        names = ("losses", "best_epochs", "bars", "bar_epochs", "held", "weights")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TransferModule)
        number = pl_module.stack.num_trials
        if not self.held:  # otherwise they come from a checkpoint
            self.losses, self.bars = [float("inf")] * number, [float("inf")] * number
            self.best_epochs, self.held = [0] * number, [0] * number
            self.bar_epochs = [pl_module.first_epoch] * number
        pl_module.record.held = torch.tensor(self.held)
        trainer.should_stop = all(self.held)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TransferModule)
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        epoch, ended = pl_module.epoch, []
        losses = pl_module.history["val", "loss", epoch].tolist()
        for trial in [trial for trial, held in enumerate(self.held) if not held]:
            loss = round(losses[trial], DECIMALS)
            if loss < self.losses[trial]:
                self.losses[trial], self.best_epochs[trial] = loss, epoch
                ended += [trial] if self.best else []
            if loss < self.bars[trial] - self.min_delta:
                self.bars[trial], self.bar_epochs[trial] = loss, epoch
            elif self.patience is not None and epoch - self.bar_epochs[trial] >= self.patience:
                self.held[trial] = epoch
                ended += [] if self.best_epochs[trial] and self.best else [trial]
        pl_module.record.held = torch.tensor(self.held)
        self._keep(pl_module, ended)

    def _keep(self, module: TransferModule, trials: list[int]) -> None:
        """Copy these trials' weights: they end with them, unless a better epoch follows."""
        current = {name: value.detach() for name, value in module.stack.weights().items()}
        if not self.weights:
            self.weights = {name: torch.zeros_like(value) for name, value in current.items()}
        for name, kept in self.weights.items():
            kept[trials] = current[name][trials].to(kept.device)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop |= all(self.held)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, TransferModule)
        if stage != "fit":
            return
        # After `AverageWeights.on_fit_end`, which sets the weights of all trials.
        current = pl_module.stack.weights()
        for trial, (held, best) in enumerate(zip(self.held, self.best_epochs, strict=True)):
            ended = best if self.best and best else held
            if ended:
                pl_module.record.ended[trial] = ended
                for name, kept in self.weights.items():
                    current[name][trial].detach().copy_(kept[trial])
