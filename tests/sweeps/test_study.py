"""Searches whose jobs are stand-ins, against Optuna called directly."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.plugins.launcher import Launcher
from omegaconf import OmegaConf

from graft.config.build import to_plain
from graft.errors import GraftError, OtherResult
from graft.job_folder import ROUND, SEARCH
from graft.results.validation import val_accuracy
from graft.sweeps.space import Range
from graft.sweeps.study import Study, search

Job = Callable[[Path], None]
SPACE = {"lr": Range(1e-4, 1e-1, log=True), "dropout": Range(0, 0.8, step=0.1)}


def study(folder: Path, compared: dict[str, Any] | None = None, **settings: Any) -> Study:
    defaults = {"jobs": 12, "at_once": 1, "seed": 5, "storage": None, "sampler": "tpe", "pruner": "median"}
    return Study(OmegaConf.create({**defaults, **settings}), SPACE, folder, compared or {"epochs": 3})


def accuracy(lr: float, dropout: float) -> float:
    return round(0.9 - abs(dropout - 0.5) / 2 - abs(lr - 0.01), 6)


def go_on(asked: Study, until: int | None = None) -> list[tuple[float, float]]:
    """Run stand-ins, whose values are returned; the job numbered `until` is killed."""
    seen = []
    while batch := asked.batch():
        ((number, values),) = batch.items()
        if number == until:
            break
        seen.append((float(values["lr"]), float(values["dropout"])))
        asked.tell(number, accuracy(*seen[-1]))
    return seen


def states(asked: Study) -> list[str]:
    return [trial.state.name for trial in asked.study.get_trials()]


@pytest.mark.slow
@pytest.mark.parametrize(("option", "sampler"), [("tpe", "TPESampler"), ("random", "RandomSampler")])
def test_a_search_asks_what_optuna_itself_would_ask(tmp_path: Path, option: str, sampler: str):
    asked = go_on(study(tmp_path, sampler=option))
    direct = optuna.create_study(direction="maximize")
    for number, (lr, dropout) in enumerate(asked):
        direct.sampler = getattr(optuna.samplers, sampler)(seed=5 + number)
        trial = direct.ask()
        assert lr == pytest.approx(trial.suggest_float("lr", 1e-4, 1e-1, log=True), rel=1e-3)
        assert dropout == pytest.approx(trial.suggest_float("dropout", 0, 0.8, step=0.1))
        direct.tell(trial, accuracy(lr, dropout))
    assert len(set(asked)) > 9


def test_an_interrupted_search_resumes_as_if_it_had_not_stopped(tmp_path: Path):
    (tmp_path / "whole").mkdir()
    whole = go_on(study(tmp_path / "whole"))
    first = go_on(study(tmp_path), until=10)
    assert states(study(tmp_path))[-1] == "RUNNING"
    assert first + go_on(study(tmp_path)) == whole
    assert go_on(study(tmp_path)) == []
    assert len(go_on(study(tmp_path, jobs=14))) == 2


def test_the_same_command_tries_a_failed_job_once_more(tmp_path: Path):
    asked = study(tmp_path, jobs=2)
    ((_, failed),) = asked.batch().items()
    asked.tell(0, None)
    asked.batch()
    asked.tell(1, 0.5)
    assert states(asked) == ["FAIL", "COMPLETE"]
    again = study(tmp_path, jobs=2)
    assert again.batch() == {2: failed}
    again.tell(2, 0.5)
    assert study(tmp_path, jobs=2).batch() == {}


def test_another_search_or_storage_is_refused(tmp_path: Path):
    study(tmp_path)
    with pytest.raises(GraftError, match=r"with other settings \(epochs differ\); try another name="):
        study(tmp_path, {"epochs": 4})
    with pytest.raises(GraftError, match=r"sweep.storage=foo://x cannot be opened.*try sweep.storage=null"):
        study(tmp_path, storage="foo://x")


@pytest.fixture
def hydra() -> Iterator[None]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield


class StandIn(Launcher):
    """Runs no job, but writes a job's files into its folder, and records what it was asked for."""

    def __init__(self, folder: Path, job: Job):
        self.folder, self.job = folder, job
        self.batches: list[list[str]] = []

    def setup(self, **_: Any) -> None: ...

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list:
        self.batches.append([" ".join(words[:2]) for words in job_overrides])
        notes = {note.parent for name in (SEARCH, ROUND) for note in self.folder.glob(f"*/{name}")}
        for folder in sorted(notes):
            self.job(folder)
        return [SimpleNamespace()] * len(job_overrides)


SHARED = ("sweep=optuna", "epochs=3", "~sweep.space", "+sweep.space={dropout: [0.1, 0.5]}")


def run(folder: Path, *overrides: str, job: Job, shared: Sequence[str] = SHARED) -> tuple[list[list[str]], list[str]]:
    """Return the batches that the launcher got, and the states that Optuna was told."""
    folder.mkdir(exist_ok=True)
    launcher = StandIn(folder, job)
    words = [*shared, f"hydra.sweep.dir={folder}", *overrides]
    search(compose("train", words, return_hydra_config=True), launcher)
    trials = optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder}/study.db").get_trials()
    return launcher.batches, [trial.state.name for trial in trials]


def test_trials_with_equal_values_run_once_and_have_the_outcome_of_their_folder(hydra: None, tmp_path: Path):
    def job(folder: Path) -> None:
        rate = folder.name[len("dropout=") :].partition("_")[0]
        config = to_plain(compose("train", [*SHARED, f"dropout={rate}"]))
        trials = [{"val_accuracy": 0.25}, {"val_accuracy": 0.75}]
        (folder / "result.json").write_text(json.dumps({"config": config, "trials": trials}))

    batches, told = run(tmp_path / "s", "sweep.jobs=5", "sweep.at_once=2", job=job)
    assert told == ["COMPLETE"] * 5
    assert sorted(words for batch in batches for words in batch) == [f"dropout={x} sweep=optuna" for x in (0.1, 0.5)]
    assert [val_accuracy(path.parent) for path in (tmp_path / "s").glob("*/result.json")] == [0.5, 0.5]
    assert not list((tmp_path / "s").glob(f"*/{SEARCH}"))


@pytest.mark.slow
def test_a_configuration_runs_once_however_it_is_written(hydra: None, tmp_path: Path):
    def job(folder: Path) -> None:
        config = to_plain(compose("train", [*SHARED, "dropout=0.5"]))
        (folder / "result.json").write_text(json.dumps({"config": config, "trials": [{"val_accuracy": 0.5}]}))

    space = "++sweep.space={dropout: ['0.5', '0.50', '5e-1', '.5']}"
    batches, told = run(tmp_path / "s", space, "sweep.jobs=3", "sweep.at_once=3", job=job)
    assert (len(batches), told) == (1, ["COMPLETE"] * 3)
    batches, told = run(tmp_path / "s", space, "sweep.jobs=6", job=job)  # another process
    assert (batches, told) == ([], ["COMPLETE"] * 6)
    assert len(list((tmp_path / "s").glob("*/result.json"))) == 1


@pytest.mark.slow
def test_with_trials_auto_a_job_goes_on_only_while_it_is_not_worse_than_the_best(hydra: None, tmp_path: Path):
    def job(folder: Path) -> None:
        rate = folder.name.partition("_")[0][-3:]
        words = ["sweep=random", "epochs=3", "trials=auto", "dataset.val_per_class=10", f"dropout={rate}"]
        count = json.loads((folder / ROUND).read_text())["trials"]
        draws = np.random.default_rng(round(1000 * float(rate))).normal(
            {"0.1": 0.8, "0.2": 0.799, "0.5": 0.4}[rate], 0.005, 60
        )[:count]
        trials = [
            {"seed": seed, "accuracy": 0.5, "val_accuracy": value, "loss": 1.0} for seed, value in enumerate(draws)
        ]
        content = {"config": to_plain(compose("train", words)), "trials": trials, "images": {"val": 50}}
        (folder / "result.json").write_text(json.dumps(content))

    space = "+sweep.space={dropout: [0.1, 0.2, 0.5]}"
    words = ("~sweep.space", space, "trials=auto", "sweep.jobs=6", "dataset.val_per_class=10")
    batches, told = run(tmp_path / "s", *words, job=job, shared=("sweep=random", "epochs=3"))
    assert told == ["COMPLETE"] * 6
    results = {path.parent.name.partition("_")[0][-3:]: path for path in (tmp_path / "s").glob("*/result.json")}
    numbers = {rate: len(json.loads(path.read_text())["trials"]) for rate, path in results.items()}
    assert numbers.pop("0.5") == 6
    assert min(numbers.values()) > 6
    assert sum(word.startswith("dropout=0.5 ") for batch in batches for word in batch) == 1


def test_optuna_learns_which_jobs_were_pruned_or_failed(hydra: None, tmp_path: Path):
    batches, told = run(
        tmp_path / "s", "sweep.jobs=2", "sweep.at_once=2", job=lambda folder: (folder / "pruned.json").touch()
    )
    assert told == ["PRUNED", "PRUNED"]
    assert all(len(batch) <= 2 for batch in batches)
    assert run(tmp_path / "f", "sweep.jobs=1", job=lambda folder: None)[1] == ["FAIL"]


@pytest.mark.slow
def test_another_result_is_refused(hydra: None, tmp_path: Path):
    def other(folder: Path) -> None:
        (folder / "result.json").write_text('{"config": {"epochs": 4}, "trials": [{"val_accuracy": 1}]}')

    run(tmp_path / "s", "sweep.jobs=1", job=other)
    (tmp_path / "s" / "study.db").unlink()
    with pytest.raises(OtherResult, match="has the result of another configuration"):
        run(tmp_path / "s", "sweep.jobs=1", job=other)
