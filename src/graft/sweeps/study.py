"""A search: `search` runs the jobs that Optuna asks for; `Study` is Optuna's study of them, kept in a database.

The space is read in graft.sweeps.space; jobs are pruned by graft.training.prune.
"""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from graft.config.build import to_plain
from graft.config.identity import NOT_COMPARED, result_config, without_hydra
from graft.config.one_form import as_text
from graft.errors import GraftError
from graft.files import write_text
from graft.job_folder import FAILURE, RESULT, SEARCH, read_result
from graft.results.rounds import SweepRounds, add_rounds
from graft.results.validation import val_accuracy
from graft.sweeps.check_search import refuse_changed
from graft.sweeps.check_sweep import check_job
from graft.sweeps.grid import job_subfolder
from graft.sweeps.launcher import launching
from graft.sweeps.rounds import run_rounds, settings
from graft.sweeps.space import Choice, Range, job_overrides, read_space
from graft.sweeps.time_left import CountedLauncher
from graft.training.prune import pruner

log = logging.getLogger("graft")

BEST = "best"  # attribute of a study: the number of the best job that rounds have found
SAMPLERS = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}


def search(config: DictConfig, launcher: Launcher) -> list[JobReturn]:
    """Run a whole search, or the rest of an interrupted one; return the launcher's returns.

    Raises:
        GraftError: its space cannot be read, or a folder has another configuration's result.
    """
    folder = Path(config.hydra.sweep.dir).absolute()
    space, shared = read_space(config)
    study = Study(config.sweep, space, folder, _compared(config))
    refuse_changed(study.results, config.cache)
    OmegaConf.save(config, folder / "multirun.yaml")
    returns: list[JobReturn] = []
    launcher = CountedLauncher(launcher, config, job_subfolder, None if config.trials == "auto" else config.sweep.jobs)
    while batch := study.batch():
        launcher.number = config.sweep.jobs - study.left - len(batch)
        overrides = {trial_number: job_overrides(values, shared) for trial_number, values in batch.items()}
        best = study.best() if config.trials == "auto" else None
        best_overrides = None if best is None else job_overrides(best, shared)
        returns += _run_batch(study, config, overrides, launcher, best_overrides)
    return returns


def _run_batch(
    study: "Study", config: DictConfig, batch: dict[int, list[str]], launcher: Launcher, best: list[str] | None = None
) -> list[JobReturn]:
    """Run the jobs of a batch that have no outcome yet, and tell the study the outcomes of all.

    The batch has overrides by trial number. With trials=auto its jobs are compared with the best one so far.
    """
    loader = GlobalHydra.instance().config_loader()
    pending: dict[Path, list[str]] = {}  # two trials with equal values share a folder, and run once
    folders: dict[int, Path] = {}
    returns: list[JobReturn] = []
    for trial_number, overrides in batch.items():
        job = loader.load_sweep_config(config, overrides)
        folder: Path = study.folder / job.hydra.sweep.subdir
        content = as_text(result_config(to_plain(without_hydra(job))))
        equal = study.folders.get(content, folder)  # however it was typed: dropout=0 is dropout=0.0
        if equal != folder and (equal in pending or val_accuracy(equal) is not None):
            log.info("%s is the configuration of %s, whose outcome counts again", folder.name, equal.name)
            folder = equal
        study.folders[content] = folders[trial_number] = folder
        check_job(job, folder)
        if folder not in pending and val_accuracy(folder) is None:
            (folder / FAILURE).unlink(missing_ok=True)
            note = {"storage": study.url, "study": study.name, "number": trial_number}
            write_text(folder / SEARCH, json.dumps(note) + "\n")
            pending[folder] = overrides
    known = {folders[number].resolve(): overrides for number, overrides in batch.items()}
    known |= {(study.folder / job_subfolder(config, best)).resolve(): best} if best else {}

    def launch(chosen: Sequence[Path]) -> None:
        overrides = [known[folder.resolve()] for folder in chosen]
        returns.extend(launcher.launch(overrides, initial_job_idx=min(folders)))

    with launching(config):
        if config.trials == "auto":
            rounds = settings(config, pairs=max(1, config.sweep.jobs - 1))
            study.keep(run_rounds(rounds, list(known), launch, first=list(pending)), folders)
        elif pending:
            launch(list(pending))
    for trial_number, folder in folders.items():
        study.tell(trial_number, val_accuracy(folder))
        (folder / SEARCH).unlink(missing_ok=True)
    return returns


def _compared(config: DictConfig) -> dict[str, Any]:
    """Return the part of the configuration that all jobs share; a search resumes only if it is the same."""
    return to_plain(OmegaConf.masked_copy(config, [str(key) for key in config if key not in ("hydra", *NOT_COMPARED)]))


class Study:
    """Optuna's study of one sweep. A trial of the study is a job of Graft; its number is Optuna's.

    Args:
        settings: `sweep` of the configuration.
        space: what is searched.
        folder: the sweep's folder.
        compared: the configuration that all jobs share.

    Raises:
        GraftError: the storage cannot be opened, or contains another search.
    """

    def __init__(
        self, settings: DictConfig, space: Mapping[str, Range | Choice], folder: Path, compared: dict[str, Any]
    ):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.settings, self.space, self.folder = settings, space, folder
        self.url, self.name = settings.storage or f"sqlite:///{folder / 'study.db'}", folder.name
        found = {path.parent: read_result(path.parent) for path in sorted(folder.glob(f"*/{RESULT}"))}  # have run
        self.results = {job: result for job, result in found.items() if result and "config" in result}
        self.folders = {as_text(result_config(result["config"])): job for job, result in self.results.items()}
        try:
            self.study = optuna.create_study(
                storage=self.url,
                study_name=self.name,
                direction="maximize",
                load_if_exists=True,
                pruner=pruner(settings.pruner),
            )
        except Exception as error:  # each database's driver has its own exceptions
            reason = str(error).splitlines()[0]
            raise GraftError(f"sweep.storage={self.url} cannot be opened: {reason}; try sweep.storage=null") from None
        self._check_same_search({**compared, "sweep.space": {key: repr(part) for key, part in space.items()}})
        self._resume()

    def _check_same_search(self, compared: dict[str, Any]) -> None:
        """Store the configuration of a new study, and refuse to resume a study that has another one."""
        old = self.study.user_attrs.get("compared")
        if old is None:
            self.study.set_user_attr("compared", compared)
        elif old != compared:
            changed = [key for key in sorted(old.keys() | compared.keys()) if old.get(key) != compared.get(key)]
            raise GraftError(
                f"{self.url} has a search called {self.name} with other settings ({', '.join(changed)} differ); "
                "try another name="
            )

    def _resume(self) -> None:
        """Find interrupted trials, enqueue failed ones a second time, and count how many are left."""
        for trial in self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            if trial.params.keys() != self.space.keys():  # the process was killed before all values were drawn
                self.study.tell(trial.number, state=TrialState.FAIL)
        trials = self.study.get_trials(deepcopy=False)
        self.interrupted = [trial.number for trial in trials if trial.state is TrialState.RUNNING]
        repeated = {trial.user_attrs.get("again") for trial in trials}
        for trial in trials:
            if trial.state is TrialState.FAIL and trial.number not in repeated:
                self.study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
        finished = sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
        self.left = max(0, self.settings.jobs - finished)
        if trials:
            log.info("%d jobs are finished already, %d are left", finished, self.left)

    def batch(self) -> dict[int, dict[str, str]]:
        """Return the overrides' values of the next jobs by trial number; none if enough jobs have run."""
        batch = {}
        for _ in range(min(self.left, self.settings.at_once)):
            trial_number, params = self._next_interrupted() if self.interrupted else self._ask()
            batch[trial_number] = {key: _value(part, params[key]) for key, part in self.space.items()}
        self.left -= len(batch)
        return batch

    def best(self) -> dict[str, str] | None:
        """Return the overrides' values of the best job so far, as rounds have found it; None if no job has finished."""
        if not (finished := self.study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])):
            return None
        number = self.study.user_attrs.get(BEST)  # values are means of as many trials as there were
        params = max(finished, key=lambda trial: (trial.number == number, trial.value or 0.0)).params
        return {key: _value(part, params[key]) for key, part in self.space.items()}

    def keep(self, found: SweepRounds, folders: Mapping[int, Path]) -> None:
        """Keep what the rounds of a batch have found, whose jobs' folders are given by trial number."""
        add_rounds(self.folder, found)
        for number in [number for number, folder in folders.items() if folder.resolve() == found.best]:
            self.study.set_user_attr(BEST, number)

    def _next_interrupted(self) -> tuple[int, dict[str, Any]]:
        trial_number = self.interrupted.pop(0)
        return trial_number, self.study.get_trials(deepcopy=False)[trial_number].params

    def _ask(self) -> tuple[int, dict[str, Any]]:
        # A new sampler for each job, seeded by the job's number: a resumed search asks for the jobs that an
        # uninterrupted one asks for.
        seed = self.settings.seed + len(self.study.get_trials(deepcopy=False))
        arguments = {"constant_liar": True} if self.settings.sampler == "tpe" and self.settings.at_once > 1 else {}
        self.study.sampler = SAMPLERS[self.settings.sampler](seed=seed, **arguments)
        trial = self.study.ask({key: _distribution(part) for key, part in self.space.items()})
        return trial.number, trial.params

    def tell(self, trial_number: int, value: float | None) -> None:
        """Tell Optuna the outcome of a job: its value, NaN if it was pruned, None if it failed."""
        if value is None:
            self.study.tell(trial_number, state=TrialState.FAIL)
        elif math.isnan(value):
            self.study.tell(trial_number, state=TrialState.PRUNED)
        else:
            self.study.tell(trial_number, value)


def _distribution(part: Range | Choice) -> BaseDistribution:
    if isinstance(part, Choice):
        return CategoricalDistribution(part.values)
    if part.int:
        return IntDistribution(round(part.low), round(part.high), part.log, round(part.step or 1))
    return FloatDistribution(part.low, part.high, part.log, part.step)


def _value(part: Range | Choice, value: Any) -> str:
    return value if isinstance(part, Choice) else part.value(value)
