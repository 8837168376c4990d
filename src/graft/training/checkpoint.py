"""Checkpoints: a fit that was killed continues from its last one, and ends with the numbers of an undisturbed fit."""

import logging
import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning import callbacks

from graft.data.datamodule import TrialDataModule
from graft.ranks import all_gather_object, broadcast_object, rank
from graft.training.transfer import TransferModule

log = logging.getLogger("graft")

CHECKPOINT_SECONDS = 30.0  # of training between two checkpoints; a shorter fit is cheaper to repeat than to save


class Checkpoint(callbacks.Checkpoint):
    """Writes Lightning's checkpoint of a fit at the end of an epoch, if enough time has passed since the last.

    It adds state that Lightning leaves out: the history, the trials' orders of batches and the random state of layers
    that draw from it, such as stochastic depth; dropout needs its step only, which the stack keeps. It leaves out the
    frozen part, which exists before the fit starts.

    Args:
        path: the file; its name must distinguish this fit from all others.
        last: whether to write one at the end of the fit, too, because more fits follow before there is a result.
    """

    def __init__(self, path: Path, last: bool = False):
        self.path, self.last = path, last
        self._datamodule: TrialDataModule | None = None
        self._loaded: dict[str, Any] | None = None

    def fit(self, trainer: pl.Trainer, transfer: TransferModule, datamodule: TrialDataModule) -> None:
        """Fit, from the checkpoint if there is one of this Lightning module."""
        self._datamodule = datamodule
        kind = trainer.strategy.root_device.type
        usable = rank() == 0 and self.path.exists() and self._is_of(transfer, kind)
        path = self.path if broadcast_object(usable) else None
        trainer.fit(transfer, datamodule=datamodule, ckpt_path=path, weights_only=True)

    def _is_of(self, transfer: TransferModule, kind: str) -> bool:
        """Return whether the checkpoint has this module's weights, and random states of this kind of device.

        Another version of Graft may name weights otherwise, and non-strict loading would ignore other names silently.
        """
        stored = torch.load(self.path, map_location="cpu", weights_only=True, mmap=True)
        written = stored.get("graft", {}).get("device")
        if written not in (None, kind):
            log.warning("the fit was interrupted on %s, and begins again on %s: random streams differ", written, kind)
        names = {name for name in transfer.state_dict() if not name.startswith("frozen.")}
        return written == kind and set(stored["state_dict"]) == names

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        pl_module.strict_loading = False  # the frozen part is not in the checkpoint

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._written = time.monotonic()
        if self._loaded is None:
            return
        rank_state = self._loaded["ranks"][rank() % len(self._loaded["ranks"])]
        for generator, state in zip(self._generators(), rank_state["generators"], strict=True):
            generator.set_state(state)
        objective = getattr(pl_module, "objective", None)
        if objective is not None:
            objective.load_state_dict({**self._loaded["objective"], "mix": rank_state["mix"]})
        torch.set_rng_state(rank_state["random"])
        if rank_state["random_gpu"] is not None:
            torch.cuda.set_rng_state(rank_state["random_gpu"])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        elapsed = time.monotonic() - self._written
        if broadcast_object(elapsed >= CHECKPOINT_SECONDS):  # all ranks write together, or none
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
        rank_state = {  # differs between ranks: each draws for its own images
            "generators": [generator.get_state() for generator in self._generators()],
            "mix": state.get("mix"),
            "random": torch.get_rng_state(),
            # Of this rank's GPU only: the fit may go on where there are fewer.
            "random_gpu": torch.cuda.get_rng_state() if pl_module.device.type == "cuda" else None,
        }
        checkpoint["graft"] = {
            "device": pl_module.device.type,
            "history": pl_module.history,
            "objective": state,
            "ranks": all_gather_object(rank_state),
        }

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict) -> None:
        self._loaded = checkpoint["graft"]
        assert isinstance(pl_module, TransferModule)
        pl_module.record.history = checkpoint["graft"]["history"]
        log.info("resuming after epoch %d of %s", checkpoint["epoch"] + 1, trainer.max_epochs)

    def remove(self) -> None:
        """Remove the checkpoint, once the result of its fit is stored."""
        self.path.unlink(missing_ok=True)

    def _generators(self) -> list[torch.Generator]:
        assert self._datamodule is not None
        return self._datamodule.train_dataloader().generators
