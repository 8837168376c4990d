"""Pruning: `pruning` makes the callback that ends a search's job early if Optuna's pruner says so."""

import json
import warnings
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import pytorch_lightning as pl

from graft.errors import Pruned
from graft.files import write_text
from graft.job_folder import PRUNED, SEARCH
from graft.ranks import broadcast_object, rank
from graft.training.transfer import TransferModule

if TYPE_CHECKING:
    import optuna

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


def pruning(name: str, folder: Path, num_trials: int, num_epochs: int) -> list[pl.Callback]:
    """Return the callback that prunes a job; none if no search runs it.

    Args:
        name: `sweep.pruner`: median, halving, hyperband or none.
        folder: the job's folder, with the note of a search that runs it.
        num_trials: number of the job's trials.
        num_epochs: number of epochs that each trial trains for.
    """
    path = folder / SEARCH
    if name == "none" or not path.exists():
        return []
    import optuna

    note = json.loads(path.read_text("utf-8"))
    study = optuna.load_study(study_name=note["study"], storage=note["storage"], pruner=pruner(name))
    return [Pruning(attach(study, note["number"]), folder, num_trials, num_epochs)]


def attach(study: "optuna.Study", trial_number: int) -> "optuna.Trial":
    """Return a running trial that another process has asked for, to report to it.

    Optuna 4.4 to 5.0 have no public way: `Study.ask` makes new trials only, and `Trial` takes the storage's own number
    of a trial, which `FrozenTrial` keeps in `_trial_id`. test_prune.py shows whether a later version still does.
    """
    import optuna

    return optuna.trial.Trial(study, study.get_trials(deepcopy=False)[trial_number]._trial_id)


class Pruning(pl.Callback):
    """Reports mean validation accuracy, and raises `Pruned` if the pruner says so.

    Reported steps are the epochs of the first chunk of trials, then `num_epochs + n` after n finished trials, so jobs
    with equal chunks share steps. A completed job is never pruned.

    Args:
        trial: Optuna's trial, which is one job of Graft.
        folder: the job's folder; a pruned job leaves a note there.
        num_trials: number of the job's trials.
        num_epochs: number of epochs that each trial trains for.
    """

    def __init__(self, trial: "optuna.Trial", folder: Path, num_trials: int, num_epochs: int):
        self.trial, self.folder, self.num_trials, self.num_epochs = trial, folder, num_trials, num_epochs
        self.finished: list[float] = []  # accuracies of the chunks of trials that have finished

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TransferModule)
        if trainer.sanity_checking:
            return
        epoch = pl_module.epoch
        if not self.finished and epoch < self.num_epochs:
            self._report(self._so_far(pl_module, epoch), epoch, epoch)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TransferModule)
        self.finished += pl_module.record.final(pl_module.epoch, "val", "accuracy").tolist()
        if len(self.finished) < self.num_trials:
            self._report(self.finished, self.num_epochs + len(self.finished), pl_module.epoch)

    def _so_far(self, module: TransferModule, epoch: int) -> list[float]:
        """Return each trial's validation accuracy after an epoch; of a trial that was held before, its last one."""
        held = module.record.held.tolist()
        epochs = [min(last or epoch, epoch) for last in held]
        return [module.history["val", "accuracy", last][trial].item() for trial, last in enumerate(epochs)]

    def _report(self, accuracies: list[float], step: int, epoch: int) -> None:
        prune = False
        if rank() == 0:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a resumed job reports its first steps again
                self.trial.report(fmean(accuracies), step)
            prune = self.trial.should_prune()
        if broadcast_object(prune):
            if rank() == 0:
                note = {"epoch": epoch, "trials": len(accuracies), "val_accuracy": fmean(accuracies)}
                write_text(self.folder / PRUNED, json.dumps(note) + "\n")
            raise Pruned(f"pruned at epoch {epoch}")
