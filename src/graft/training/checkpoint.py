"""Checkpoints: what lets a long fit go on where it was killed, with the numbers of an undisturbed one."""

import logging
import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning import callbacks

from graft.data.datamodule import TrialLoader
from graft.ranks import all_gather_object, broadcast_object, rank

log = logging.getLogger("graft")

EVERY = 30.0  # seconds of training between two checkpoints; shorter fits are faster made again than written down


class Checkpoint(callbacks.Checkpoint):
    """Writes Lightning's checkpoint of a fit at the end of an epoch, whenever some time has passed since the last.

    It holds what Lightning leaves out, too: the curves so far, the trials' orders of batches and the random state
    from which dropout is drawn. The frozen part is left out, since it is there before the fit begins.

    Args:
        path: the file; its name must tell this fit from all others.
        last: whether the end of the fit is kept, too, because more fits follow before there is a result.
    """

    def __init__(self, path: Path, last: bool = False):
        self.path, self.last = path, last
        self._found: dict[str, Any] | None = None

    def fit(self, trainer: pl.Trainer, module: pl.LightningModule, data: pl.LightningDataModule) -> None:
        """Fit from the checkpoint if there is one."""
        found = self.path if broadcast_object(self.path.exists()) else None
        trainer.fit(module, datamodule=data, ckpt_path=found, weights_only=True)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        pl_module.strict_loading = False  # the frozen part is not in the checkpoint

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._written = time.monotonic()
        if self._found is not None:
            own = self._found["ranks"][rank() % len(self._found["ranks"])]
            for random, state in zip(_generators(trainer), own["generators"], strict=True):
                random.set_state(state)
            objective = getattr(pl_module, "objective", None)
            if objective is not None:
                objective.load_state_dict({**self._found["objective"], "mix": own["mix"]})
            torch.set_rng_state(own["random"])
            if torch.cuda.is_available() and own["random_cuda"]:
                torch.cuda.set_rng_state_all(own["random_cuda"])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if broadcast_object(time.monotonic() - self._written >= EVERY):  # all ranks write together, or none
            self._write(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.last:
            self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".partial")  # a fit has one writer: the process that holds its lock
        trainer.save_checkpoint(temporary, weights_only=False)
        if trainer.is_global_zero:
            os.replace(temporary, self.path)
        self._written = time.monotonic()

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict) -> None:
        weights, objective = checkpoint["state_dict"], getattr(pl_module, "objective", None)
        checkpoint["state_dict"] = {name: weights[name] for name in weights if not name.startswith("frozen.")}
        state = objective.state_dict() if objective is not None else {}
        own = {  # differs between ranks: each draws for its own images
            "generators": [random.get_state() for random in _generators(trainer)],
            "mix": state.get("mix"),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all(),
        }
        checkpoint["graft"] = {
            "history": pl_module.history,
            "objective": state,
            "ranks": all_gather_object(own),
        }

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict) -> None:
        self._found = checkpoint["graft"]
        pl_module.history = checkpoint["graft"]["history"]
        log.info("going on after epoch %d of %s", checkpoint["epoch"] + 1, trainer.max_epochs)

    def remove(self) -> None:
        """Remove the checkpoint, once what it led to is stored."""
        self.path.unlink(missing_ok=True)


def _generators(trainer: pl.Trainer) -> list[torch.Generator]:
    batches = trainer.train_dataloader
    assert isinstance(batches, TrialLoader)
    return [*(batches.generators or ()), *batches.augmenters]
