"""Loggers in whole jobs: a job is the same under each, and each gets all of it."""

import csv
import logging
import sys
from collections.abc import Callable
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pandas
import pytest
from conftest import ROOT
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import CSVLogger

from graft.config.build import builder, to_plain
from graft.config.check import check
from graft.config.identity import job_identity
from graft.errors import ConfigError
from graft.run.history import JobHistory
from graft.run.log_result import log_result

Run = Callable[..., dict]
SMALL = ("trials=3", "epochs=3", "source.epochs=1", "dataset.val_per_class=5", "val_every=1")


def points(path: Path) -> dict[tuple[int, str], float]:
    """Return the values of a table of Lightning's, by step and name."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {(int(row["step"]), name): float(value) for row in rows for name, value in row.items() if value}


@pytest.mark.parametrize("at_once", ["auto", "1"])
def test_a_table_has_the_band_of_all_trials_at_each_epoch_and_the_answer(run: Run, tmp_path: Path, at_once: str):
    result = run(*SMALL, "logger=[csv,tensorboard]", f"trials_at_once={at_once}")
    assert list((tmp_path / "job" / "tensorboard" / "job").glob("events*"))
    found = points(tmp_path / "job" / "csv" / "metrics.csv")
    history = pandas.read_csv(tmp_path / "job" / "history.csv")
    for key, values in history.groupby(["split", "metric", "epoch"])["value"]:
        split, metric, epoch = cast(tuple, key)
        lines = {"mean": values.mean(), "trials_highest": values.max(), "trials_lowest": values.min()}
        for line, value in lines.items():
            assert found.pop((epoch, f"{metric}/{split}/{line}")) == pytest.approx(value, abs=1e-6)
    accuracy = result["accuracy"]
    answer = dict(
        zip(("mean", "trials_highest", "trials_lowest"), map(accuracy.get, ("mean", "max", "min")), strict=True)
    )
    answer |= dict(zip(("interval_low", "interval_high"), accuracy["ci95"], strict=True))
    assert {name: found.pop((3, f"test_accuracy/{name}")) for name in answer} == pytest.approx(answer)
    assert {name for _, name in found} == {"step"}  # nothing else


def test_a_job_stays_finished_under_another_logger(
    run: Run, configure: Callable[..., DictConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    run(*SMALL, "logger=none")
    assert not (tmp_path / "job" / "tensorboard").exists()
    caplog.set_level(logging.INFO, "graft")
    run(*SMALL, "logger=[csv]", resume=True)
    assert "job is finished" in caplog.messages
    jobs = [to_plain(configure(*words)) for words in ([], ["logger=none"], ["logger=[csv,wandb]"])]
    assert len({job_identity(job, "images") for job in jobs}) == 1


def test_a_logger_that_fails_takes_no_result_with_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def unreachable(folder: Path, server: str) -> CSVLogger:
        raise OSError(f"{server} does not\nanswer")

    module = ModuleType("mypkg")
    vars(module)["unreachable"] = unreachable
    monkeypatch.setitem(sys.modules, "mypkg", module)
    run(*SMALL, "logger=csv", "+logger.own._target_=mypkg.unreachable", "+logger.own.server=x")
    assert (tmp_path / "job" / "result.json").exists()
    assert (tmp_path / "job" / "csv" / "metrics.csv").exists()
    assert "logger=own has not got job, whose result is stored: x does not answer" in caplog.messages


@pytest.mark.parametrize("package", ["wandb", "mlflow"])
def test_a_missing_package_is_told_before_anything_runs(
    configure: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch, package: str
):
    monkeypatch.setattr("graft.config.trainer.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"package {package} is not installed.*pip install -e '\.\[{package}\]'"):
        check(configure(f"logger=[csv,{package}]"))
    monkeypatch.setattr("graft.config.trainer.find_spec", lambda name: util.find_spec("json"))
    check(configure(f"logger=[csv,{package}]"))
    assert package not in sys.modules or util.find_spec(package) is not None


class Planned:
    """A plan that has loggers only."""

    def __init__(self, loggers: dict[str, Any]):
        self.loggers = loggers


def finished(tmp_path: Path, configure: Callable[..., DictConfig], option: str, **settings: object) -> None:
    """Log a finished job of one number."""
    node = OmegaConf.merge(configure(f"logger={option}").logger[option], settings)
    content = {"config": {"lr": 0.1, "trainer": {}}, "choices": {"head": "plain"}}
    accuracy = {"mean": 0.5, "min": 0.4, "max": 0.6, "ci95": [0.3, 0.7]}
    history = JobHistory()
    history._values["test", "loss", 7] = {0: 1.0, 1: 3.0}
    plan: Any = Planned({option: builder({"logger": node}, "logger")})
    log_result(plan, tmp_path / "job", history, {**content, "accuracy": accuracy})


def test_weights_and_biases_gets_a_run_for_each_job(
    configure: Callable[..., DictConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    wandb = pytest.importorskip("wandb")
    (tmp_path / "job").mkdir()
    for _ in range(2):
        finished(tmp_path, configure, "wandb", offline=True)
        assert wandb.run is None  # it has ended
    assert len(list((tmp_path / "job" / "wandb").glob("offline-run-*/*.wandb"))) == 2
    assert caplog.messages == []


def test_mlflow_gets_a_run_for_each_job(configure: Callable[..., DictConfig], tmp_path: Path):
    tracking = pytest.importorskip("mlflow.tracking")
    pytest.importorskip("sqlalchemy")
    uri = f"sqlite:///{tmp_path}/runs.db"
    finished(tmp_path, configure, "mlflow", tracking_uri=uri)
    client = tracking.MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("graft").experiment_id])
    assert (run.info.run_name, run.info.status, run.data.params) == ("job", "FINISHED", {"lr": "0.1", "head": "plain"})
    assert run.data.metrics["test_accuracy/interval_high"] == 0.7
    (point,) = client.get_metric_history(run.info.run_id, "loss/test/mean")
    assert (point.step, point.value) == (7, 2.0)


def test_the_extras_name_the_packages():
    text = (ROOT / "pyproject.toml").read_text()
    assert '\nwandb = ["wandb' in text
    assert '\nmlflow = ["mlflow' in text
