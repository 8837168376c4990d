"""The progress bar of one fit."""

import pytorch_lightning as pl

from graft.bars import Bar


class Progress(pl.Callback):
    """One bar for all steps of a fit, with the mean training accuracy of the trials in the last epoch.

    Lightning's own bar restarts in each epoch, too often to be read if an epoch has 25
    steps.

    Args:
        label: name of the fit.
    """

    def __init__(self, label: str):
        self.label = label

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        steps = int(trainer.estimated_stepping_batches)
        self.bar = Bar(steps, self.label, "step", stays=True)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object, **__: object) -> None:
        self.bar.update()

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
