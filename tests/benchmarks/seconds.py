"""A Lightning callback that times training epochs."""

from collections.abc import Callable

import pytorch_lightning as pl


class Seconds(pl.Callback):
    """Seconds of each training epoch, measured by a given clock."""

    def __init__(self, clock: Callable[[], float]):
        self.clock = clock
        self.each: list[float] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.start = self.clock()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.each.append(self.clock() - self.start)
