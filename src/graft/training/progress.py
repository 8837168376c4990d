"""The progress bar of one fit."""

import time

import pytorch_lightning as pl

from graft.bars import Bar, duration


class Progress(pl.Callback):
    """One bar for all steps of a fit, with the mean training accuracy of the trials in the last epoch.

    Lightning's own bar restarts in each epoch, too often to be read if an epoch has 25 steps.

    Where trials train one after another it shows the time left for all of them, too.

    Args:
        label: name of the fit.
        later: number of trials that train after it in the same phase, by the number of its own.
    """

    def __init__(self, label: str, later: float = 0.0):
        self.label, self.later = label, later

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        steps = int(trainer.estimated_stepping_batches)
        self.bar = Bar(steps, self.label, "step", stays=True)
        self.started = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object, **__: object) -> None:
        if self.later and not self.bar.hidden:
            self.bar.note(all_trials=f"{duration(self._left())} left")
        self.bar.update()

    def _left(self) -> float:
        """Return the seconds that this fit and the later ones of its phase still take."""
        done, total = self.bar.done + 1, self.bar.total or 1
        return (time.monotonic() - self.started) / done * (total * (1 + self.later) - done)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._show_accuracy(pl_module, trainer.current_epoch)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._show_accuracy(pl_module, trainer.current_epoch)
        self.bar.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if hasattr(self, "bar"):
            self.bar.close()

    def _show_accuracy(self, pl_module: pl.LightningModule, epoch: int) -> None:
        """Show the training accuracy of a finished epoch, counted from 1."""
        values = getattr(pl_module, "history", {}).get(("train", "accuracy", epoch))
        if values is not None and not self.bar.hidden:
            self.bar.note(epoch=str(epoch), train_accuracy=f"{100 * values.mean():.1f} %")
