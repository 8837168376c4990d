"""Which sweeps add jobs with what is solved at once, and which overrides these have."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig

from graft.errors import ConfigError
from graft.report.compare import compare_jobs
from graft.results.outcomes import read_outcomes

Sweep = Callable[..., list[DictConfig]]


def added(jobs: list[DictConfig], mark: str = "self") -> list[str]:
    """Return the folders of the jobs that a sweep has added."""
    return [job.hydra.sweep.subdir for job in jobs if job.baseline == mark]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "folders"),
    [
        ("head=dense512,plain dropout=0,0.5", ["head=solved_baseline=self"]),
        ("dropout=0,0.5", ["head=solved_baseline=self"]),
        ("head=plain head.dropout=0,0.5 epochs=5 lr=auto", ["head=solved_baseline=self"]),
        ("lr=0.1,0.01 optimizer=adam,sgd batch_size=4,8 epochs=1,2", ["head=solved_baseline=self"]),
        (
            "regularize.mixup=0,0.2 weights=last,best stop.patience=3 dataset.val_per_class=5",
            ["head=solved_baseline=self"],
        ),
        (
            "backbone.keep=1,2 dropout=0,0.5",
            ["backbone.keep=1_head=solved_baseline=self", "backbone.keep=2_head=solved_baseline=self"],
        ),
        ("source=big,scratch", ["source=big_head=solved_baseline=self"]),
        ("tune=frozen,full,thaw", ["tune=frozen_head=solved_baseline=self"]),
        ("augment=none,digits", ["augment=none_head=solved_baseline=self"]),
        ("head=plain,logistic", ["head=solved_baseline=self"]),
        ("head=logistic,ridge", []),  # no head trains
        ("head=plain,solved", []),  # it is asked for
        ("head=plain,dense512 baseline=none", []),
        ("source=scratch dropout=0,0.5", []),
        ("tune=thaw dropout=0,0.5", []),
        ("augment=digits dropout=0,0.5", []),
        ("backbone.keep=0 source=scratch dropout=0,0.5", []),
        ("experiment=lecture_mnist_transfer dropout=0,0.5", []),  # it has a published range
    ],
)
def test_heads_that_train_on_frozen_features_get_a_solved_one(sweep: Sweep, words: str, folders: list[str]):
    typed = words.split() if "baseline=" in words else [*words.split(), "baseline=solved"]
    jobs = sweep(*typed, "name=s")
    assert added(jobs) == folders
    solved = [job for job in jobs if job.baseline == "self"]
    assert {job.head._target_ for job in solved} <= {"graft.best_solved_head.BestSolved"}
    assert all(job.hydra.sweep.subdir not in folders for job in jobs if job not in solved)


def test_jobs_that_cannot_be_solved_have_none_and_a_line_says_why(
    sweep: Sweep,
    capsys: pytest.CaptureFixture[str],
):
    jobs = sweep("trials_vary=init", "dropout=0,0.5", "baseline=solved", "name=s")
    assert added(jobs) == []
    assert "no baseline=solved beside some jobs" in capsys.readouterr().err
    jobs = sweep("trials_vary=init,all", "dropout=0,0.5", "baseline=solved", "name=s")
    assert added(jobs) == ["trials_vary=all_head=solved_baseline=self"]


@pytest.mark.parametrize("value", ["best", "true", "lda"])
def test_other_baselines_are_refused(sweep: Sweep, value: str):
    with pytest.raises(ConfigError, match="baseline must be solved or none, got"):
        sweep(f"baseline={value}", "dropout=0,0.5", "name=s")


def test_faults_of_the_sweep_are_those_of_its_own_jobs(sweep: Sweep, tmp_path: Path):
    with pytest.raises(ConfigError) as error:
        sweep("dropout=0,2", "baseline=solved", "name=s")
    assert "dropout" in str(error.value)
    assert "solved" not in str(error.value)
    assert not (tmp_path / "outputs").exists()


def test_jobs_that_were_typed_twice_have_one(sweep: Sweep, capsys: pytest.CaptureFixture[str]):
    assert added(sweep("dataset.small=[1,3],['1','3']", "baseline=solved", "name=s")) == [
        "dataset.small=[1,3]_head=solved_baseline=self"
    ]
    assert "solved" not in capsys.readouterr().err


def test_a_folder_for_all_jobs_has_no_baseline(sweep: Sweep):
    assert added(sweep("head=plain", "baseline=solved", "name=s", "hydra.sweep.subdir=same")) == []


def test_a_baseline_is_the_default(configure: Callable[..., DictConfig]):
    assert configure().baseline == "solved"


CONTROL = "backbone=thumbnail_source=scratch_head=solved_baseline=control"

ONE_HEAD = "backbone=thumbnail_source=scratch_baseline=control"  # what all jobs have is in no folder's name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "folders"),
    [
        ("backbone=cnn,cnn5 head=solved", [ONE_HEAD]),
        # Jobs with the other dropout repeat these, so that all have this one.
        ("backbone=cnn,cnn5 head=ridge,knn dropout=0,0.5", [CONTROL.replace("_head", "_dropout=0_head")]),
        ("backbone=cnn,cnn5 head=plain lr=0.1,0.01", [CONTROL]),
        ("backbone=cnn,cnn5 source=big,imagenet tune=frozen,full", [CONTROL]),
        (
            "backbone=cnn,cnn5 head=solved dataset.small_per_class=5,9",
            [f"backbone=thumbnail_source=scratch_dataset.small_per_class={size}_baseline=control" for size in (5, 9)],
        ),
        ("backbone=torchvision backbone.model=resnet18,resnet50 source=imagenet head=solved", [ONE_HEAD]),
        ("backbone=cnn,thumbnail head=solved", []),  # it is asked for
        ("backbone=cnn head=solved,ridge", []),  # no backbones are compared
        ("backbone=cnn backbone.keep=1,2 head=solved", []),
        ("backbone=cnn,cnn5 tune=full", []),
        ("backbone=cnn,cnn5 source=scratch", []),
        ("backbone=cnn,cnn5 head=solved baseline=none", []),
        ("backbone=cnn,cnn5 augment=digits", []),
    ],
)
def test_frozen_backbones_get_a_control(sweep: Sweep, words: str, folders: list[str]):
    typed = words.split() if "baseline=" in words else [*words.split(), "baseline=solved"]
    jobs = sweep(*typed, "name=s")
    assert added(jobs, "control") == folders
    controls = [job for job in jobs if job.baseline == "control"]
    assert {job.backbone._target_ for job in controls} <= {"graft.backbone.Thumbnail"}
    assert {job.head._target_ for job in controls} <= {"graft.best_solved_head.BestSolved"}


def test_a_control_that_cannot_run_has_a_line(sweep: Sweep, capsys: pytest.CaptureFixture[str]):
    jobs = sweep("backbone=cnn,cnn5", "trials_vary=init", "baseline=solved", "name=s")
    assert [*added(jobs), *added(jobs, "control")] == []
    assert "no backbone=thumbnail beside these backbones" in capsys.readouterr().err


@pytest.mark.slow
def test_a_solved_head_has_the_folds_of_those_that_train(sweep: Sweep, run: Callable[..., dict], tmp_path: Path):
    words = [
        "dataset.folds=3",
        "dataset.test_per_class=null",
        "trials=3",
        "dataset.small_per_class=10",
        "source.epochs=1",
        "epochs=1",
    ]
    *_, solved = sweep(*words, "head=plain,dense512", "baseline=solved", "name=s")
    assert (solved.baseline, solved.dataset.folds, solved.trials) == ("self", 3, 3)
    run(*words, "head=plain", name="plain")
    found = run(*solved.hydra.overrides.task[:-1], "baseline=self", name="solved")  # `run` names the job itself
    assert len({trial["accuracy"] for trial in found["trials"]}) > 1
    plain, base = (read_outcomes(tmp_path / name) for name in ("plain", "solved"))
    assert plain is not None
    assert base is not None
    assert np.array_equal(plain.test.image, base.test.image)  # trial by trial the same fold
    tested = base.test.image[base.test.image >= 0]  # folds of fewer images are filled up
    assert len(np.unique(tested)) == len(tested) == sum(trial["tested"] for trial in found["trials"]) == 2500
    report = compare_jobs([tmp_path / "plain", tmp_path / "solved"])
    assert any("solved at once" in sentence for sentence in report.sentences)
