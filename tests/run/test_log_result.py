"""Loggers in whole jobs: a job is the same under each, and each gets all of it."""

import csv
import logging
import sys
from collections.abc import Callable
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import pandas
import pytest
from conftest import ROOT
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import CSVLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from graft.config.build import builder, to_plain
from graft.config.check import check
from graft.config.identity import job_identity
from graft.data.datamodule import SmallDataModule
from graft.data.dataset import MNIST5k
from graft.data.preprocess import Preprocess
from graft.errors import ConfigError
from graft.run.history import JobHistory
from graft.run.log_result import log_result
from graft.training.regularize import Regularize

Run = Callable[..., dict]
SMALL = ("trials=3", "epochs=3", "source.epochs=1", "dataset.val_per_class=5", "val_every=1")


def points(path: Path) -> dict[tuple[int, str], float]:
    """Return the values of a table of Lightning's, by step and name."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {(int(row["step"]), name): float(value) for row in rows for name, value in row.items() if value}


@pytest.mark.slow
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
    answer |= dict(zip(("mean_ci95_low", "mean_ci95_high"), accuracy["ci95"], strict=True))
    assert {name: found.pop((3, f"test_accuracy/{name}")) for name in answer} == pytest.approx(answer)
    of_val = [value for (_, name), value in found.items() if name == "val_accuracy/mean"]
    assert of_val == pytest.approx([np.mean([trial["val_accuracy"] for trial in result["trials"]])])
    assert {name for _, name in found if not name.startswith("val_accuracy/")} == {"step", "epoch"}  # nothing else
    assert all(step == epoch for (step, name), epoch in found.items() if name == "epoch")


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
    monkeypatch.setattr("graft.config.training.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"package {package} is not installed.*pip install -e '\.\[{package}\]'"):
        check(configure(f"logger=[csv,{package}]"))
    monkeypatch.setattr("graft.config.training.find_spec", lambda name: util.find_spec("json"))
    check(configure(f"logger=[csv,{package}]"))
    assert package not in sys.modules or util.find_spec(package) is not None


def drawn(folder: Path) -> dict[str, int]:
    """Return how many pictures, texts and final numbers TensorBoard has of a job, by tag."""
    counts = {}
    for part in ("", "answer"):
        events = EventAccumulator(str(folder / "tensorboard" / folder.name / part))
        if not Path(events.path).exists():
            continue
        events.Reload()
        counts |= {tag: len(events.Images(tag)) for tag in events.Tags()["images"]}
        counts |= {tag: len(events.Tensors(tag)) for tag in events.Tags()["tensors"] if tag.endswith("text_summary")}
        counts |= {tag: len(events.Scalars(tag)) for tag in events.Tags()["scalars"] if tag.startswith("test_")}
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("words", [["trials_at_once=1"], ["head=ridge"], ["tune=full"], ["augment=digits"]])
def test_tensorboard_has_each_picture_text_and_number_once_however_often_the_job_ran(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
):
    small = ("trials=2", "epochs=2", "source.epochs=1", *words)
    with monkeypatch.context() as patch:
        patch.setattr("graft.run.phase.Fit.test", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(*small)
    tags = [
        f"training images/trial {trial}, {'augmented, ' * ('augment=digits' in words)}preprocessed" for trial in (0, 1)
    ]
    assert drawn(tmp_path / "job") == dict.fromkeys(tags, 1)  # while it trains
    for resume in (True, True, False):
        run(*small, resume=resume)
        lines = ("mean", "trials_highest", "trials_lowest", "mean_ci95_low", "mean_ci95_high")
        found = drawn(tmp_path / "job")
        assert found == dict.fromkeys(
            [
                *tags, "confusion matrix", "worst mistakes",
                "job/answer/text_summary", "job/configuration/text_summary",
                *(f"test_accuracy/{line}" for line in lines),
            ],
            1,
        )  # fmt: skip


def test_rounds_of_trials_keep_the_training_images_and_renew_the_answer(run: Run, tmp_path: Path):
    words = ("trials=auto", "trials_min=2", "trials_max=4", "epochs=1", "source.epochs=1")
    result = run(*words)
    assert len(result["trials"]) > 2
    found = drawn(tmp_path / "job")
    assert {tag for tag in found if tag.startswith("training")} == {
        f"training images/trial {trial}, preprocessed" for trial in (0, 1)
    }
    assert set(found.values()) == {1}
    events = EventAccumulator(str(tmp_path / "job/tensorboard/job/answer")).Reload()
    assert events.Scalars("test_accuracy/mean")[0].value == pytest.approx(result["accuracy"]["mean"])


def test_pictures_that_cannot_be_drawn_take_neither_text_nor_result_with_them(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(*_: object) -> None:
        raise OSError("no such file")

    monkeypatch.setattr("graft.run.log_result.sample_images", fail)
    monkeypatch.setattr("graft.run.log_result.answer_pictures", fail)
    run("trials=2", "epochs=1", "source.epochs=1")
    assert {"job/answer/text_summary", "test_accuracy/mean"} < drawn(tmp_path / "job").keys()
    assert [record.message for record in caplog.records if record.name == "graft"] == [
        "logger=tensorboard has not got training images of job: no such file",
        "logger=tensorboard has not got pictures of job: no such file",
    ]


class Planned:
    """A plan that has loggers and pictures only."""

    def __init__(self, loggers: dict[str, Any], digits: MNIST5k):
        self.loggers, self.first_trial, self.regularize = loggers, 0, Regularize()
        self.datamodule, self.preprocess = SmallDataModule(digits, range(2), 4), Preprocess((1, 28, 28))


def finished(
    tmp_path: Path, configure: Callable[..., DictConfig], digits: MNIST5k, option: str, **settings: object
) -> None:
    """Log a finished job of one number."""
    node = OmegaConf.merge(configure(f"logger={option}").logger[option], settings)
    content = {
        "config": {"lr": 0.1, "trainer": {}, "backbone": {"keep": 2}},
        "choices": {"head": "plain"},
        "trials": [{"seed": seed, "accuracy": value} for seed, value in enumerate((0.4, 0.6, 0.5))],
        "images": {"test": 100},
        "parameters": {"total": 3},
        "seconds": {"total": 1.0},
        "reference": None,
        "accuracy": {"mean": 0.5, "min": 0.4, "max": 0.6, "ci95": [0.3, 0.7], "ci95_counts": None},
    }
    history = JobHistory()
    history._values["test", "loss", 7] = {0: 1.0, 1: 3.0}
    plan: Any = Planned({option: builder({"logger": node}, "logger")}, digits)
    log_result(plan, tmp_path / "job", history, content, None)


def test_weights_and_biases_gets_a_run_for_each_job(
    configure: Callable[..., DictConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture, digits: MNIST5k
):
    wandb = pytest.importorskip("wandb")
    (tmp_path / "job").mkdir()
    for _ in range(2):
        finished(tmp_path, configure, digits, "wandb", offline=True)
        assert wandb.run is None  # it has ended
    assert len(list((tmp_path / "job" / "wandb").glob("offline-run-*/*.wandb"))) == 2
    assert caplog.messages == []


def test_mlflow_gets_a_run_for_each_job_with_its_texts_and_pictures(
    configure: Callable[..., DictConfig], tmp_path: Path, digits: MNIST5k, monkeypatch: pytest.MonkeyPatch
):
    tracking = pytest.importorskip("mlflow.tracking")
    pytest.importorskip("sqlalchemy")
    monkeypatch.chdir(tmp_path)  # artifacts are stored there
    uri = f"sqlite:///{tmp_path}/runs.db"
    finished(tmp_path, configure, digits, "mlflow", tracking_uri=uri)
    client = tracking.MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("graft").experiment_id])
    assert (run.info.run_name, run.info.status, run.data.params) == (
        "job",
        "FINISHED",
        {"lr": "0.1", "backbone.keep": "2", "head": "plain"},
    )
    assert run.data.metrics["test_accuracy/mean"] == pytest.approx(0.5)
    assert run.data.metrics["test_accuracy/mean_ci95_high"] > 0.5
    files = {each.path for each in client.list_artifacts(run.info.run_id)}
    assert {"job", "training images"} <= files
    (point,) = client.get_metric_history(run.info.run_id, "loss/test/mean")
    assert (point.step, point.value) == (7, 2.0)


def test_the_extras_name_the_packages():
    text = (ROOT / "pyproject.toml").read_text()
    assert '\nwandb = ["wandb' in text
    assert '\nmlflow = ["mlflow' in text
