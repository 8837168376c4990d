"""Trainer flags in whole jobs: those that leave images out make trial runs, the others change no answer."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
import torch

from graft.data.loader import TrainLoader
from graft.errors import GraftError
from graft.job_folder import RESULT, TRIAL_RUN, finished_result
from graft.page.show import show_sweep
from graft.results.records import read_records

Run = Callable[..., dict]
SCRATCH = ("source=scratch", "backbone.keep=0", "trials=2", "epochs=2", "dropout=0")  # pixels: quick
PRETRAINED = ("source.epochs=1", "trials=2", "epochs=2")
TRAINING = "the training saw {} of 200 images (100 in each of 2 epochs)"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "reasons"),
    [
        (["+trainer.limit_test_batches=1"], ["the test saw 167 of 1,250 images"]),
        (["+trainer.limit_test_batches=0.5", "test_curve=false"], ["the test saw 668 of 1,250 images"]),
        (
            ["+trainer.limit_test_batches=1", "dataset.test_per_class=200", "dataset.val_per_class=200"],
            ["the final validation saw 167 of 1,000 images", "the test saw 167 of 1,000 images"],
        ),
        (["+trainer.limit_train_batches=2"], [TRAINING.format(16)]),
        (["+trainer.limit_train_batches=0.9"], [TRAINING.format(176)]),
        (["+trainer.max_steps=30"], [TRAINING.format(120)]),
        (["+trainer.max_steps=49", "trials_at_once=1"], [TRAINING.format(196)]),
        (["+trainer.max_time=00:00:00:00"], [TRAINING.format(0)]),
        (["+trainer.max_time={seconds: 0}"], [TRAINING.format(0)]),
        (["+trainer.fast_dev_run=1", "lr=auto"], [TRAINING.format(4), "the test saw 167 of 1,250 images"]),
    ],
)
def test_a_job_that_saw_fewer_images_is_a_trial_run(run: Run, tmp_path: Path, overrides: list[str], reasons: list[str]):
    result = run(*SCRATCH, *overrides)
    assert result["trial_run"] == reasons
    assert not (tmp_path / "job" / RESULT).exists()
    assert not (tmp_path / "job" / "weights.safetensors").exists()
    assert json.loads((tmp_path / "job" / TRIAL_RUN).read_text()) == result
    assert finished_result(tmp_path / "job", result["identity"]) is None
    records = read_records([tmp_path])
    assert records.finished == []
    assert records.failed == {"job": f"a trial run: {'; '.join(reasons)}"}


@pytest.mark.slow
def test_a_trial_run_is_told_in_the_table_and_not_ranked(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "sweep").mkdir()
    run(*SCRATCH, "+trainer.limit_test_batches=1.0", name="sweep/whole")
    run(*SCRATCH, "+trainer.limit_test_batches=1", name="sweep/part")
    assert list(show_sweep(tmp_path / "sweep")) == ["part"]  # so that the exit status is not 0
    assert "failed part: a trial run: the test saw 167 of 1,250 images" in capsys.readouterr().out
    assert list(pandas.read_csv(tmp_path / "sweep" / "leaderboard.csv")["job"]) == ["whole"]


def test_a_result_replaces_a_trial_run_which_does_not_replace_it(run: Run, tmp_path: Path):
    run(*SCRATCH, "+trainer.max_steps=1")
    assert (tmp_path / "job" / TRIAL_RUN).exists()
    whole = run(*SCRATCH)
    assert not (tmp_path / "job" / TRIAL_RUN).exists()
    with pytest.raises(GraftError, match=r"another configuration \(trainer\.max_steps differ\)"):
        run(*SCRATCH, "+trainer.max_steps=1")
    assert json.loads((tmp_path / "job" / RESULT).read_text()) == whole
    assert [record.result for record in read_records([tmp_path]).finished] == [whole]
    assert read_records([tmp_path]).failed == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "seen"),
    [("limit_train_batches=2", 256), ("max_steps=3", 384), ("max_time=00:00:00:00", 0), ("fast_dev_run=true", 128)],
)
def test_a_pre_training_that_saw_fewer_images_is_not_kept(run: Run, tmp_path: Path, flag: str, seen: int):
    result = run(*PRETRAINED, f"+trainer.{flag}")
    assert result["trial_run"][0] == f"the pre-training saw {seen} of 2,500 images"
    assert not list((tmp_path / "cache" / "pretrained").glob("*.safetensors"))
    assert not list((tmp_path / "cache" / "pretrained").glob("*.ckpt"))


@pytest.mark.slow
def test_phases_that_saw_fewer_images_are_named(run: Run):
    result = run("source.epochs=1", "trials=1", "epochs=2", "tune=thaw", "tune.epochs=1", "+trainer.max_steps=25")
    # The pre-training needs 20 steps, the second phase 25.
    assert result["trial_run"] == ["phase 1 of the training saw 100 of 200 images (100 in each of 2 epochs)"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["val_every=1", "+trainer.val_check_interval=0.2"],
        ["val_every=1", "+trainer.val_check_interval=0.3"],  # the last validation is not at the epoch's end
        ["val_every=2", "+trainer.val_check_interval=1"],
        ["val_every=1", "trainer.num_sanity_val_steps=-1"],
        ["val_every=1", "trainer.num_sanity_val_steps=3"],
        ["+trainer.reload_dataloaders_every_n_epochs=1"],
        ["+trainer.max_steps=50", "+trainer.max_time=01:00:00:00", "+trainer.limit_test_batches=1.0"],
        ["+trainer.max_steps=-1", "+trainer.limit_train_batches=25", "+trainer.fast_dev_run=false"],
        ["trainer.enable_model_summary=true", "trainer.enable_progress_bar=false", "+trainer.profiler=simple"],
        ["+trainer.deterministic=true", "+trainer.benchmark=true", "+trainer.inference_mode=false"],
        ["+trainer.detect_anomaly=true", "trainer.accelerator=cpu"],
        ["regularize.clip=inf"],
    ],
)
def test_flags_that_see_all_images_leave_the_answer_as_it_is(run: Run, tmp_path: Path, flags: list[str]):
    expected = run(*SCRATCH, "dataset.val_per_class=5", "test_curve=false")
    result = run(*SCRATCH, "dataset.val_per_class=5", *flags, name="flags")
    assert result["trials"] == expected["trials"]
    assert result["images"] == expected["images"]
    counts = {name: result["images"][name] for name in ("big", "small", "val", "test")}
    assert counts == {"big": 2500, "small": 100, "val": 25, "test": 1250}
    history = pandas.read_csv(tmp_path / "flags" / "history.csv")
    assert sorted(set(history["epoch"])) == [1, 2]
    assert not history.duplicated(["trial", "epoch", "split", "metric"]).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["epochs=2", "+trainer.val_check_interval=0.2"],
        ["epochs=1", "trainer.num_sanity_val_steps=-1"],
        ["epochs=1", "trainer.num_sanity_val_steps=2"],
        ["epochs=2", "+trainer.val_check_interval=0.2", "trainer.num_sanity_val_steps=-1"],
    ],
)
def test_a_test_curve_ends_in_the_trained_network_s_test_whatever_else_is_validated(run: Run, flags: list[str]):
    expected = run(*SCRATCH, flags[0], "test_curve=false")
    assert run(*SCRATCH, "val_every=1", *flags, name="flags")["trials"] == expected["trials"]


def test_accuracies_are_quotients_of_counts(run: Run, tmp_path: Path):
    trials = run(*SCRATCH, "dataset.test_per_class=93")["trials"]
    assert [trial["accuracy"] for trial in trials] == [trial["correct"] / 465 for trial in trials]
    assert [trial["tested"] for trial in trials] == [465, 465]
    stored = json.loads((tmp_path / "job" / RESULT).read_text())
    assert stored["trials"] == trials
    assert stored["config"]["regularize"]["clip"] is None


def test_an_infinite_norm_is_stored_as_text_that_is_the_same_job(run: Run, tmp_path: Path):
    first = run(*SCRATCH, "regularize.clip=inf")
    assert json.loads((tmp_path / "job" / RESULT).read_text())["config"]["regularize"]["clip"] == "inf"
    assert run(*SCRATCH, "regularize.clip=inf", resume=True) == first


def test_each_epoch_has_its_own_order_however_often_the_loader_is_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch):
    orders = []
    original = TrainLoader.epoch_rows

    def epoch_rows(self: TrainLoader) -> torch.Tensor:
        rows = original(self)
        orders.append(tuple(rows[0].tolist()))
        return rows

    monkeypatch.setattr(TrainLoader, "epoch_rows", epoch_rows)
    run(*SCRATCH, "trials=1", "epochs=6", "logger=none", "+trainer.reload_dataloaders_every_n_epochs=1")
    assert len(orders) == len(set(orders)) == 6
