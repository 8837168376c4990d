"""The progress bar of one fit."""

import pytorch_lightning as pl
from tqdm import tqdm

from graft.process import hidden_bars


class Progress(pl.Callback):
    """One bar over all steps of a fit, with the trials' mean accuracy in the last epoch; none without a terminal.

    Lightning's own bar starts again at each epoch, too often to be read where an epoch has 25 steps.

    Args:
        label: what is going on.
    """

    def __init__(self, label: str):
        self.label = label

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        steps = int(trainer.estimated_stepping_batches)
        self.bar = tqdm(total=steps, desc=self.label, unit="step", disable=hidden_bars())

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object, **__: object) -> None:
        self.bar.update()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._show(pl_module, trainer.current_epoch)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._show(pl_module, trainer.current_epoch)
        self.bar.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if hasattr(self, "bar"):
            self.bar.close()

    def _show(self, pl_module: pl.LightningModule, epoch: int) -> None:
        values = getattr(pl_module, "history", {}).get(("train", "accuracy", epoch))
        if values is not None and not self.bar.disable:
            self.bar.set_postfix(epoch=epoch, accuracy=f"{100 * values.mean():.1f} %", refresh=False)
