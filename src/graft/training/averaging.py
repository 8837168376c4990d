"""Weight averaging: a fit evaluates and keeps an exponential moving average of its weights."""

from typing import Any

import pytorch_lightning as pl
import torch


class AverageWeights(pl.Callback):
    """Keeps an exponential moving average of the trials' weights, for every evaluation and at the end for good.

    The decay begins low, (1 + step) / (10 + step), so that the first weights are soon forgotten.

    Args:
        decay: share of the average that a step leaves, in (0, 1).
    """

    def __init__(self, decay: float):
        self.decay, self.steps = decay, 0
        self.average: list[torch.Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "average": self.average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.steps, self.average = state_dict["steps"], state_dict["average"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        state = pl_module.get_submodule("stack").state_dict(keep_vars=True).values()
        self.weights = [value.detach() for value in state if value.is_floating_point()]
        if not self.steps:  # else the fit goes on from a checkpoint
            self.average = [value.clone() for value in self.weights]
        self.average = [value.to(like.device) for value, like in zip(self.average, self.weights, strict=True)]

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object, **__: object) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for weights, average in zip(self.weights, self.average, strict=True):
            average.lerp_(weights, 1 - decay)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._swap(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._swap(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for weights, average in zip(self.weights, self.average, strict=True):
            weights.copy_(average)

    def _swap(self, trainer: pl.Trainer) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        for weights, average in zip(self.weights, self.average, strict=True):
            kept = weights.clone()
            weights.copy_(average)
            average.copy_(kept)
