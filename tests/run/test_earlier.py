"""Rounds of one job: trials that a later round adds, against the same trials in one run, and what is kept of both."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from omegaconf import OmegaConf

from graft.files import read_tensors, write_text
from graft.job_folder import HISTORY, OUTCOMES, RESULT, ROUND
from graft.results.outcomes import read_outcomes
from graft.run import earlier, job
from graft.training.logger import EVENTS

Run = Callable[..., dict[str, Any]]

TINY = ("source=scratch", "epochs=2", "dataset.small_per_class=2", "dataset.test_per_class=20")
AUTO = (*TINY, "trials=auto", "trials_min=2", "trials_max=5")


def up_to(folder: Path, count: int) -> None:
    folder.mkdir(exist_ok=True)
    write_text(folder / ROUND, json.dumps({"trials": count}))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [(), ("dataset.val_per_class=3", "lr=auto"), ("head=ridge", "source=big", "source.epochs=1")]
)
def test_two_rounds_equal_one_run_of_all_trials(tmp_path: Path, run: Run, options: tuple[str, ...]):
    up_to(tmp_path / "job", 2)
    first = run(*AUTO, *options)
    assert [trial["seed"] for trial in first["trials"]] == [0, 1]
    up_to(tmp_path / "job", 4)
    both = run(*AUTO, *options)
    up_to(tmp_path / "whole", 4)
    rate = () if "lr=auto" not in options else (f"lr={first['lr'][0]}",)  # of the first round's trials
    whole = run(*AUTO, *options, *rate, name="whole")
    assert both["trials"][:2] == first["trials"]
    for one, other in zip(both["trials"], whole["trials"], strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    for name in ("mean", "std", "ci95"):
        assert both["accuracy"][name] == pytest.approx(whole["accuracy"][name], abs=1e-4)
    assert both["lr"] == whole["lr"]
    assert both["images"] == whole["images"]
    assert both["seconds"]["total"] > first["seconds"]["total"]
    assert both == json.loads((tmp_path / "job" / RESULT).read_text())
    _same_files(tmp_path / "job", tmp_path / "whole")


def _same_files(one: Path, other: Path) -> None:
    table, expected_table = (pandas.read_csv(folder / HISTORY) for folder in (one, other))
    pandas.testing.assert_frame_equal(table, expected_table, atol=1e-4)
    stored, expected = read_outcomes(one), read_outcomes(other)
    assert stored is not None
    assert expected is not None
    assert stored.seeds == expected.seeds
    assert np.array_equal(stored.test.prediction, expected.test.prediction)
    pandas.testing.assert_frame_equal(stored.images, expected.images)
    weights, others = (read_tensors(folder / "weights.safetensors") for folder in (one, other))
    assert weights is not None
    assert others is not None
    for name, value in others.items():
        torch.testing.assert_close(weights[name], value, atol=1e-4, rtol=1e-4)
    assert OmegaConf.load(one / "model.yaml") == OmegaConf.load(other / "model.yaml")
    assert not (one / "checkpoints").exists()
    for folder in (one, other):
        assert {path.parent for path in folder.rglob("events*")} == {
            folder / EVENTS / folder.name,
            folder / EVENTS / folder.name / "answer",
        }


@pytest.mark.slow
@pytest.mark.parametrize("first_is_best", [True, False])
def test_the_best_trial_of_all_rounds_is_kept(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, first_is_best: bool
):
    best = 0 if first_is_best else -1
    monkeypatch.setattr("graft.run.result.kept_trials", lambda _, results, __: [range(len(results))[best]])
    up_to(tmp_path / "job", 2)
    run(*AUTO, "keep_weights=best")
    before = (tmp_path / "job" / "weights.safetensors").read_bytes()
    up_to(tmp_path / "job", 3)
    run(*AUTO, "keep_weights=best")
    assert OmegaConf.select(OmegaConf.load(tmp_path / "job" / "model.yaml"), "seeds") == [0 if first_is_best else 2]
    assert ((tmp_path / "job" / "weights.safetensors").read_bytes() == before) == first_is_best


def test_a_round_that_is_finished_runs_nothing(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
    up_to(tmp_path / "job", 3)
    first = run(*AUTO)
    monkeypatch.setattr(job.Job, "run", None)
    up_to(tmp_path / "job", 2)
    assert run(*AUTO) == first


def test_a_killed_round_leaves_the_earlier_trials(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
    up_to(tmp_path / "job", 2)
    first = run(*AUTO)
    up_to(tmp_path / "job", 4)
    with monkeypatch.context() as patch:
        patch.setattr("graft.run.result.write_result", _killed)
        with pytest.raises(KeyboardInterrupt):
            run(*AUTO)
    assert json.loads((tmp_path / "job" / RESULT).read_text()) == first
    assert [trial["seed"] for trial in run(*AUTO)["trials"]] == [0, 1, 2, 3]


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [OUTCOMES, HISTORY, "weights.safetensors"])
def test_all_trials_run_again_where_a_file_is_damaged(tmp_path: Path, run: Run, damaged: str):
    up_to(tmp_path / "job", 2)
    run(*AUTO)
    (tmp_path / "job" / damaged).write_text("damaged")
    up_to(tmp_path / "job", 3)
    result = run(*AUTO)
    assert len(result["trials"]) == 3
    stored = read_outcomes(tmp_path / "job")
    assert stored is not None
    assert stored.seeds == [0, 1, 2]


def test_a_job_that_runs_alone_adds_rounds_until_the_interval_is_narrow_or_trials_max(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "graft")
    asked = iter([True, False])
    monkeypatch.setattr(earlier, "could_narrow", lambda _: next(asked))
    assert len(run(*AUTO)["trials"]) == 3
    assert "trials=auto ended after 3 trials: only more test images would narrow the 95 % interval" in caplog.text
    monkeypatch.setattr(earlier, "could_narrow", lambda _: True)
    assert len(run(*AUTO, resume=True)["trials"]) == 5
    assert "trials=auto ended after 5 trials: trials_max=5" in caplog.text


@pytest.mark.slow
def test_a_finished_job_starts_again_and_an_unfinished_one_goes_on(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
):
    started: list[int] = []
    original = job.make_plan
    monkeypatch.setattr(job, "make_plan", lambda cfg, trials: started.append(trials.start) or original(cfg, trials))
    monkeypatch.setattr(earlier, "could_narrow", lambda _: True)
    up_to(tmp_path / "job", 3)
    run(*AUTO)
    (tmp_path / "job" / ROUND).unlink()
    assert len(run(*AUTO)["trials"]) == 5
    assert started[-1] == 3
    run(*AUTO)
    assert started.count(0) > 1


def test_a_job_that_runs_alone_ends_by_the_interval_of_its_own_metric(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
):
    asked = []
    monkeypatch.setattr(earlier, "could_narrow", lambda values: asked.append(dict(values)))
    result = run(*AUTO, "report.metric=macro_f1", "dataset.small_per_class=3")
    found = [trial["macro_f1"] for trial in result["trials"]]
    assert list(asked[-1].values()) == pytest.approx(found, abs=1e-5)
    asked.clear()


def test_without_its_metric_a_job_that_runs_alone_ends_by_its_accuracy(run: Run, monkeypatch: pytest.MonkeyPatch):
    def without_metrics(result: dict[str, Any], _: object, metric: str = "accuracy") -> list[float]:
        if metric != "accuracy":
            raise ValueError("too few images")
        return [trial["accuracy"] for trial in result["trials"]]

    asked = []
    monkeypatch.setattr(earlier, "measured", without_metrics)
    monkeypatch.setattr(earlier, "could_narrow", lambda values: asked.append(values))
    result = run(*AUTO, "report.metric=auroc")
    assert asked[-1] == [trial["accuracy"] for trial in result["trials"]]
