"""Pruning: a search's hopeless jobs end between two validations, or between two chunks of trials."""

import json
import logging
import warnings
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import pytorch_lightning as pl
from omegaconf import DictConfig

from graft.errors import Pruned
from graft.files import write_text
from graft.job_folder import PRUNED, SEARCH
from graft.ranks import broadcast_object, rank
from graft.training.transfer import TransferModule

if TYPE_CHECKING:
    import optuna

log = logging.getLogger("graft")

PRUNERS = {
    "median": "MedianPruner",
    "halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
    "none": "NopPruner",
}


def pruner(name: str) -> "optuna.pruners.BasePruner":
    """Return the pruner that `sweep.pruner` names."""
    import optuna  # an extra

    return getattr(optuna.pruners, PRUNERS[name])()


def pruning(cfg: DictConfig, folder: Path, epochs: int) -> list[pl.Callback]:
    """Return the callback that prunes a search's job; none for any other job."""
    path = folder / SEARCH
    if cfg.sweep is None or cfg.sweep.pruner == "none" or not path.exists():
        return []
    import optuna

    note = json.loads(path.read_text())
    study = optuna.load_study(study_name=note["study"], storage=note["storage"], pruner=pruner(cfg.sweep.pruner))
    trial = optuna.trial.Trial(study, study.get_trials(deepcopy=False)[note["number"]]._trial_id)
    return [Pruning(trial, folder, epochs, cfg.trials)]


class Pruning(pl.Callback):
    """Reports mean validation accuracy, and raises `Pruned` if the pruner says so.

    A step is an epoch of the first chunk of trials, and epochs + n once n trials have ended: steps that jobs of
    the same chunks share. What has ended whole is never pruned.

    Args:
        trial: Optuna's, which is Graft's job.
        folder: the job's folder, where a pruned job is noted.
        epochs: how many each trial trains for.
        trials: how many the job has.
    """

    def __init__(self, trial: "optuna.Trial", folder: Path, epochs: int, trials: int):
        self.trial, self.folder, self.epochs, self.trials = trial, folder, epochs, trials
        self.ended: list[float] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TransferModule)
        epoch = pl_module.epoch
        if not self.ended and epoch < self.epochs:
            self._report(_accuracies(pl_module, epoch), epoch, epoch)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TransferModule)
        self.ended += _accuracies(pl_module, pl_module.epoch)
        if len(self.ended) < self.trials:
            self._report(self.ended, self.epochs + len(self.ended), pl_module.epoch)

    def _report(self, accuracies: list[float], step: int, epoch: int) -> None:
        hopeless = False
        if rank() == 0:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a job that was interrupted reports its first steps again
                self.trial.report(fmean(accuracies), step)
            hopeless = self.trial.should_prune()
        if broadcast_object(hopeless):
            if rank() == 0:
                note = {"epoch": epoch, "trials": len(accuracies), "val_accuracy": fmean(accuracies)}
                write_text(self.folder / PRUNED, json.dumps(note) + "\n")
            raise Pruned(f"pruned at epoch {epoch}")


def _accuracies(module: TransferModule, epoch: int) -> list[float]:
    return module.history["val", "accuracy", epoch].tolist()
