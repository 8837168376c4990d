"""A search: Optuna says what to run, Hydra's launcher runs it, and the jobs' folders say what came of it."""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from graft.config.build import to_plain
from graft.config.identity import NOT_COMPARED
from graft.errors import GraftError
from graft.files import write_text
from graft.job_folder import FAILURE, PRUNED, RESULT, SEARCH
from graft.run.launcher import launching
from graft.run.space import Choice, Range, overrides, read
from graft.run.sweep import check_job, stop_on_error
from graft.training.prune import pruner

log = logging.getLogger("graft")

SAMPLERS = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}


def search(config: DictConfig, launcher: Launcher) -> list[JobReturn]:
    """Run a whole search; an interrupted one goes on where it was.

    Args:
        config: the sweep's configuration, with `hydra`.
        launcher: runs the jobs.

    Returns:
        What the launcher returned.
    """
    folder = Path(config.hydra.sweep.dir).absolute()
    with stop_on_error():
        space, fixed = read(config)
        study = Study(config.sweep, space, folder, _compared(config))
        OmegaConf.save(config, folder / "multirun.yaml")
        return _run(study, config, fixed, folder, launcher)


def _run(study: "Study", config: DictConfig, fixed: list[str], folder: Path, launcher: Launcher) -> list[JobReturn]:
    loader = GlobalHydra.instance().config_loader()
    returns: list[JobReturn] = []
    while batch := study.batch():
        waiting: dict[Path, list[str]] = {}
        folders: dict[int, Path] = {}
        for number, values in batch.items():
            words = overrides(values, fixed)
            job = loader.load_sweep_config(config, words)
            path = folders[number] = folder / job.hydra.sweep.subdir
            check_job(job, path)
            if path not in waiting and outcome(path) is None:
                (path / FAILURE).unlink(missing_ok=True)
                note = {"storage": study.url, "study": study.name, "number": number}
                write_text(path / SEARCH, json.dumps(note) + "\n")
                waiting[path] = words
        if waiting:
            with launching(config):
                returns += launcher.launch(list(waiting.values()), initial_job_idx=min(folders))
        for number, path in folders.items():
            study.tell(number, outcome(path))
            (path / SEARCH).unlink(missing_ok=True)
    return returns


def outcome(folder: Path) -> float | None:
    """Return what a job's folder says: its mean validation accuracy, NaN if it was pruned, None without either."""
    result = folder / RESULT
    if result.exists():
        return fmean(
            trial["val_accuracy"] for trial in json.loads(result.read_text())["trials"] if "error" not in trial
        )
    return math.nan if (folder / PRUNED).exists() else None


def _compared(config: DictConfig) -> dict[str, Any]:
    """Return what all jobs of a search share; another value of it makes another search."""
    cfg = OmegaConf.masked_copy(config, [str(key) for key in config if key not in ("hydra", *NOT_COMPARED)])
    return to_plain(cfg)


class Study:
    """Optuna's study of one sweep.

    Args:
        settings: `sweep` of the configuration.
        space: what is searched.
        folder: the sweep's folder.
        compared: what all jobs share.

    Raises:
        GraftError: the storage cannot be opened, or holds another search.
    """

    def __init__(
        self, settings: DictConfig, space: Mapping[str, Range | Choice], folder: Path, compared: dict[str, Any]
    ):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.settings, self.space = settings, space
        self.url = settings.storage or f"sqlite:///{folder / 'study.db'}"
        self.name = folder.name
        try:
            self.study = optuna.create_study(
                storage=self.url,
                study_name=self.name,
                direction="maximize",
                load_if_exists=True,
                pruner=pruner(settings.pruner),
            )
        except Exception as error:  # of any database's driver
            reason = str(error).splitlines()[0]
            raise GraftError(f"sweep.storage={self.url} cannot be opened: {reason}; try sweep.storage=null") from None
        self._same({**compared, "sweep.space": {key: repr(part) for key, part in space.items()}})
        self._resume()

    def _same(self, compared: dict[str, Any]) -> None:
        old = self.study.user_attrs.get("compared")
        if old is None:
            self.study.set_user_attr("compared", compared)
        elif old != compared:
            changed = [key for key in sorted(old.keys() | compared.keys()) if old.get(key) != compared.get(key)]
            raise GraftError(
                f"{self.url} holds a search called {self.name} with other settings ({', '.join(changed)} differ); "
                "try another name="
            )

    def _resume(self) -> None:
        """Take up what was interrupted, and what failed once more."""
        for trial in self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            if trial.params.keys() != self.space.keys():  # killed while its values were drawn
                self.study.tell(trial.number, state=TrialState.FAIL)
        trials = self.study.get_trials(deepcopy=False)
        self.interrupted = [trial.number for trial in trials if trial.state is TrialState.RUNNING]
        again = {trial.user_attrs.get("again") for trial in trials}
        for trial in trials:
            if trial.state is TrialState.FAIL and trial.number not in again:
                self.study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
        finished = sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
        self.left = max(0, self.settings.jobs - finished)
        if trials:
            log.info("%d jobs are finished already, %d are left", finished, self.left)

    def batch(self) -> dict[int, dict[str, str]]:
        """Return the values of the next jobs by number; none when enough have run."""
        batch = {}
        for _ in range(min(self.left, self.settings.at_once)):
            number, params = self._interrupted() if self.interrupted else self._ask()
            batch[number] = {key: _value(part, params[key]) for key, part in self.space.items()}
        self.left -= len(batch)
        return batch

    def _interrupted(self) -> tuple[int, dict[str, Any]]:
        number = self.interrupted.pop(0)
        return number, self.study.get_trials(deepcopy=False)[number].params

    def _ask(self) -> tuple[int, dict[str, Any]]:
        # A sampler of its own for each job: one resumed after ten jobs goes on as one that never stopped.
        seed = self.settings.seed + len(self.study.get_trials(deepcopy=False))
        arguments = {"constant_liar": True} if self.settings.sampler == "tpe" and self.settings.at_once > 1 else {}
        self.study.sampler = SAMPLERS[self.settings.sampler](seed=seed, **arguments)
        trial = self.study.ask({key: _distribution(part) for key, part in self.space.items()})
        return trial.number, trial.params

    def tell(self, number: int, value: float | None) -> None:
        """Say what came of a job: its value, NaN if it was pruned, None if it failed."""
        if value is None:
            self.study.tell(number, state=TrialState.FAIL)
        elif math.isnan(value):
            self.study.tell(number, state=TrialState.PRUNED)
        else:
            self.study.tell(number, value)


def _distribution(part: Range | Choice) -> BaseDistribution:
    if isinstance(part, Choice):
        return CategoricalDistribution(part.values)
    if part.int:
        return IntDistribution(round(part.low), round(part.high), part.log, round(part.step or 1))
    return FloatDistribution(part.low, part.high, part.log, part.step)


def _value(part: Range | Choice, value: Any) -> str:
    return value if isinstance(part, Choice) else part.value(value)
