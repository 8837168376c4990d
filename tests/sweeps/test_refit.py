"""`refit=all`: what it makes of a finished job's configuration, what it trains, and what it refuses."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from conftest import ROOT
from folders import forget, write_classes, write_picture
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict
from safetensors.numpy import load_file
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from graft.config.build import to_plain
from graft.config.identity import without_hydra
from graft.content import digests
from graft.data.dataset import MNIST5k
from graft.errors import GraftError, OtherResult
from graft.heads.head import STRENGTHS
from graft.inference.load import load
from graft.report.compare import compare_jobs
from graft.results.refits import in_words
from graft.run.job import run as run_job
from graft.sweeps.check_sweep import check_run, check_sweep

QUICK = ("dataset=image_folder", "dataset.root=photos", "dataset.size=4", "dataset.small_per_class=3", "source=scratch")
LARGER = ("backbone.keep=2", "dataset.size=12")
QUICK += ("backbone.keep=0", "epochs=2", "trials=2")


def configuration(*words: str, mode: str = "RUN") -> DictConfig:
    """Compose a configuration with `hydra`, as train.py does."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [*words, "cache=cache", f"hydra.mode={mode}"], return_hydra_config=True)
    with open_dict(config):
        config.hydra.overrides.task = [*words]
    return config


def configured(*words: str) -> dict[str, Any]:
    config = configuration(*words)
    check_run(config)
    return to_plain(without_hydra(config))


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Check and run a job, as train.py does, in an empty folder with some pictures; return its result."""
    monkeypatch.chdir(tmp_path)
    write_classes(tmp_path / "photos", train_cat=9, train_dog=7, val_cat=4, val_dog=4, test_cat=5, test_dog=6)
    shutil.copy("photos/train/cat/00.bmp", "photos/test/cat/copy.bmp")  # of equal files one counts
    shutil.copy("photos/train/dog/00.bmp", "photos/test/cat/wrong.bmp")  # and none with two classes
    forget()

    def job(*words: str) -> dict[str, Any]:
        monkeypatch.setattr("sys.argv", ["train.py", *words])
        config = configuration(*words)
        check_run(config)
        resume = False if config.resume is None else config.resume
        result = run_job(without_hydra(config), Path(config.hydra.run.dir), resume)
        assert result is not None
        return result

    return job


Job = Callable[..., dict[str, Any]]


def test_every_labeled_image_is_trained_on_once_and_nothing_is_tested(job: Job):
    before = job(*QUICK, "name=one")
    refit = job("run=outputs/one", "refit=all")
    table = pandas.read_csv("outputs/one-refit/images.csv", dtype=str)
    files = sorted(Path("photos").rglob("*.bmp"))
    counts = pandas.Series(digests(files)).value_counts()
    twice = set(digests([Path("photos/train/dog/00.bmp")]))  # under two classes
    assert set(table["hash"]) == set(counts.index) - twice
    assert table["hash"].is_unique
    assert len(table) == 9 + 6 + 4 + 4 + 5 + 6
    assert set(table["split"]) == {"train"}
    assert set(table["draws"]) == {"2"}
    assert refit["images"]["small"] == len(table)
    assert refit["images"]["test"] == refit["images"]["val"] == 0
    assert refit["images"]["by_class"]["small"] == {"cat": 18, "dog": 16}
    assert refit["accuracy"] == {}
    assert [trial.keys() for trial in refit["trials"]] == [{"seed", "epoch"}] * 2
    assert not Path("outputs/one-refit/outcomes.safetensors").exists()
    assert refit["refit"]["estimate"]["mean"] == before["accuracy"]["mean"]
    assert refit["refit"]["job"] == "outputs/one"
    history = pandas.read_csv("outputs/one-refit/history.csv")
    assert set(history["split"]) == {"train"}
    assert set(history["epoch"]) == {1}  # as many steps as 2 epochs of 6 images


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("augment=photos", "augment.test_views=2"),
        ("dataset.root=flat", "dataset.folds=2"),
        ("dataset.root=flat", "dataset.val_per_class=2"),
        ("source=big", "dataset.small=[cat,dog]", "source.epochs=1", "tune=thaw", "tune.epochs=1", *LARGER),
        (
            "backbone.features=[1,2]",
            "backbone.pool=gem",
            "source=big",
            "dataset.small=[cat,dog]",
            "source.epochs=1",
            *LARGER,
        ),
        ("trials_vary=data",),
        ("class_weights=balanced", "logger=csv"),
        ("trainer.precision=bf16-mixed", "+trainer.val_check_interval=0.5"),
        ("trials=auto", "trials_min=2", "trials_max=2"),
        ("regularize.ema=0.9", "schedule=cosine"),
    ],
    ids=lambda words: words[0].partition("=")[0] + words[-1].partition("=")[2],
)
def test_other_configurations_are_refitted_too(job: Job, words: tuple[str, ...]):
    for part in ("train", "val", "test"):
        shutil.copytree(f"photos/{part}", "flat", dirs_exist_ok=True)
    write_classes(Path("photos/train"), hen=9)
    write_classes(Path("photos/test"), hen=2)
    write_classes(Path("photos/val"), hen=2)
    forget()
    typed = {word.partition("=")[0] for word in words}
    quick = [word for word in QUICK if word.partition("=")[0] not in typed]
    before = job(*quick, *words, "name=one")
    refit = job("run=outputs/one", "refit=all")
    assert len(refit["trials"]) == len(before["trials"]) == 2
    assert refit["images"]["small"] > before["images"]["small"]
    assert "accuracy" not in refit["trials"][0]
    assert refit["refit"]["estimate"].get("views") == (2 if "augment.test_views=2" in words else None)
    weights = load_file("outputs/one-refit/weights.safetensors")
    assert all(not np.array_equal(*trials) for name, trials in weights.items() if name.endswith("output.weight"))
    assert refit["images"]["small"] == len(pandas.read_csv("outputs/one-refit/images.csv"))


@pytest.mark.slow
def test_a_head_that_is_solved_is_its_fit_to_all_images(job: Job):
    words = ("head=ridge", "source.epochs=1", "backbone.keep=1", "dataset.small=[1,3]", "dataset.big=[0,2]")
    job(*words, "dataset.test_per_class=40", "trials=3", "name=ridge")
    refit = job("run=outputs/ridge", "refit=all")
    assert len(refit["trials"]) == 1  # others would be the same
    model, data = load(Path("outputs/ridge-refit")), MNIST5k(big=[0, 2], small=[1, 3], test_per_class=40)
    indices = (data.images.labels.eq(1) | data.images.labels.eq(3)).nonzero().flatten()
    pixels = data.images.read(indices)
    assert isinstance(pixels, torch.Tensor)
    features, labels = model.features(pixels).flatten(1).double().numpy(), data.images.labels[indices].eq(3).numpy()
    fitted = make_pipeline(StandardScaler(), RidgeClassifierCV(STRENGTHS)).fit(features, labels)
    found = model.logits(pixels)[0, :, 1].numpy()
    np.testing.assert_allclose(found, fitted.decision_function(features), atol=1e-3)
    with pytest.raises(GraftError, match="trials must be 1 with head=ridge, whose trials are all the same"):
        job("run=outputs/ridge", "refit=all", "trials=2")


def test_the_configuration_is_the_job_s(job: Job):
    before = job(*QUICK, "head=dense", "head.widths=[8]", "dropout=0.25", "regularize.clip=inf", "name=a/b")["config"]
    path = Path("outputs/a/b/result.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"choices": {"head": "dense"}}))
    words = ("run=outputs/a/b", "refit=all", "trials=3", "keep_weights=best", "trainer.accelerator=cpu")
    config = configuration(*words)
    check_run(config)
    after = to_plain(without_hydra(config))
    assert after["head"] == before["head"]
    differing = {key for key in after if after[key] != before[key]}
    assert differing == {"run", "refit", "name", "trials", "trainer", "test_curve", "epochs"}
    assert configured("run=outputs/a/b", "refit=all")["keep_weights"] == "all"
    assert after["trainer"] == before["trainer"] | {"accelerator": "cpu"}
    assert after["name"] == "a_b-refit"
    assert config.hydra.runtime.choices["head"] == "dense"
    assert config.regularize.clip == float("inf")
    assert Path(config.hydra.run.dir) == Path("outputs/a_b-refit")


def test_other_configurations_stay_as_they_are(job: Job):
    config = configuration("head=dense")
    before = OmegaConf.to_yaml(config)
    check_run(config)
    assert OmegaConf.to_yaml(config) == before


def test_the_winner_of_a_sweep_is_refitted_with_its_corrected_estimate(job: Job, capsys: pytest.CaptureFixture[str]):
    shutil.move("photos/val/cat", "photos/train/bird")  # without validation images, test images rank
    shutil.rmtree("photos/val")
    forget()
    for dropout in ("0", "0.9"):
        words = ("dataset.small=[cat,dog]", "trials=6", f"dropout={dropout}", f"hydra.run.dir=outputs/sweep/{dropout}")
        job(*QUICK, *words)
    board = compare_jobs([Path("outputs/sweep")]).board
    best = board.records[0]
    refit = job("run=outputs/sweep", "refit=all", "trials=1")
    assert f"{best.label} won among 2 jobs" in capsys.readouterr().err
    known = refit["refit"]["estimate"]
    assert refit["config"]["dropout"] == best.config["dropout"]
    assert known["of"] == "outputs/sweep"
    assert known["corrected"] == board.answer.corrected
    assert (known["mean"], tuple(known["ci95"])) == (best.spread().mean, best.spread().interval)
    assert (known["jobs"], known["trials"], known["small_per_class"]) == (2, 6, 3)
    assert known["corrected"] is not None
    assert in_words(refit)[2].startswith("corrected for its choice among 2 jobs by the images")
    # The refit is no job of the sweep, even inside of its folder.
    shutil.copytree("outputs/sweep-refit", "outputs/sweep/refit")
    again = compare_jobs([Path("outputs/sweep")])
    assert [record.name for record in again.board.records] == [record.name for record in board.records]
    assert list(again.records.refits) == ["refit"]
    assert again.records.damaged == {}


def test_a_learning_rate_that_was_found_is_taken(job: Job, monkeypatch: pytest.MonkeyPatch):
    found = job(*QUICK, "lr=auto", "name=one")["lr"]
    monkeypatch.setattr("graft.run.job.find_lr", None)  # would be called
    assert job("run=outputs/one", "refit=all")["lr"] == found


@pytest.mark.slow
def test_a_refit_trains_for_the_steps_of_its_job_unless_epochs_are_typed(job: Job, capsys: pytest.CaptureFixture[str]):
    small = job(*QUICK, "epochs=30", "name=one")["images"]["small"]
    refit = job("run=outputs/one", "refit=all")
    total = refit["images"]["small"]
    assert total > 2 * small
    assert refit["config"]["epochs"] == round(30 * math.ceil(small / 4) / math.ceil(total / 4))  # batches of 4
    said = capsys.readouterr().err
    assert f"epochs of all {total:,} images are about as many steps as 30 of {small}, the job's" in said
    assert job("run=outputs/one", "refit=all", "epochs=30", "name=long")["config"]["epochs"] == 30
    assert "about as many steps" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_schedule_of_steps_shrinks_with_the_epochs_or_is_refused(job: Job):
    job(*QUICK, "epochs=60", "schedule=step", "schedule.step_size=20", "name=one")
    refit = job("run=outputs/one", "refit=all")["config"]
    assert 60 / refit["epochs"] == pytest.approx(20 / refit["schedule"]["step_size"], rel=0.2)
    job(*QUICK, "epochs=4", "schedule=step", "schedule.step_size=3", "name=short")
    with pytest.raises(GraftError, match=r"1 epoch of all .* too few for its schedule=step; try epochs=4"):
        job("run=outputs/short", "refit=all")


def test_trials_that_ended_by_validation_images_give_the_number_of_epochs(job: Job, capsys: pytest.CaptureFixture[str]):
    before = job(*QUICK, "epochs=9", "stop.patience=1", "weights=best", "lr=0.1", "name=one")
    mean = max(1, round(np.mean([trial["epoch"] for trial in before["trials"]])))
    refit = job("run=outputs/one", "refit=all")
    steps = [math.ceil(result["images"]["small"] / 4) for result in (before, refit)]  # batches of 4
    same_steps = max(1, round(mean * steps[0] / steps[1]))
    assert [trial["epoch"] for trial in refit["trials"]] == [same_steps] * 2
    assert f"it ends where they did on average, after {mean} epoch" in capsys.readouterr().err
    assert refit["config"]["weights"] == "last"
    assert job("run=outputs/one", "refit=all", "epochs=4", "name=four")["config"]["epochs"] == 4
    path = Path("outputs/one/result.json")
    result = json.loads(path.read_text())
    result["config"]["tune"]["_target_"] = "graft.tune.Thaw"
    path.write_text(json.dumps(result))
    with pytest.raises(GraftError, match="has noted when the last phase ended only"):
        job("run=outputs/one", "refit=all", "name=other")


def test_a_finished_refit_is_kept_and_another_one_not_overwritten(job: Job, caplog: pytest.LogCaptureFixture):
    job(*QUICK, "name=one")
    words = ("run=outputs/one", "refit=all")
    first = job(*words)
    path = Path("outputs/one-refit/result.json")
    written = path.stat().st_mtime_ns
    assert job(*words, "resume=true") == first
    assert path.stat().st_mtime_ns == written
    again = job(*words)
    assert again["identity"] == first["identity"]
    with pytest.raises(OtherResult, match=r"another configuration \(trials differ\)"):
        job(*words, "trials=1")
    with pytest.raises(OtherResult, match=r"another configuration \(.*refit.* differ\)"):
        job(*words, "name=one")  # the job itself
    with pytest.raises(OtherResult, match="another configuration"):
        job(*QUICK, "name=one-refit")
    assert first["identity"] != json.loads(Path("outputs/one/result.json").read_text())["identity"]


@pytest.mark.slow
def test_moved_images_are_the_same_ones_and_changed_ones_are_refused(job: Job):
    job(*QUICK, "name=one")
    words = ("run=outputs/one", "refit=all", "name=final")
    shutil.move("photos", "elsewhere")
    forget()
    with pytest.raises(GraftError, match=r"^dataset\.root=photos is not a folder"):
        job(*words)
    assert job(*words, "dataset.root=elsewhere")["images"]["small"] == 34
    write_picture(Path("elsewhere/train/cat/more.bmp"), 5)
    forget()
    with pytest.raises(GraftError, match=r"^the data set has other images than outputs/one was trained and tested on"):
        job(*words[:2], "dataset.root=elsewhere")
    assert not Path("outputs/one-refit/result.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run=outputs/one"], "^run=outputs/one needs refit=all"),
        (["refit=all"], "^refit=all needs run=, the folder"),
        (["run=", "refit=all"], "^refit=all needs run=, the folder"),
        (["run=3", "refit=all"], "^refit=all needs run=, the folder"),
        (["run=outputs/one", "refit=some"], "^refit must be all, got some; try refit=all"),
        (["run=outputs/one", "refit={job:x}"], "^refit must be all, got"),
        (["run=nowhere", "refit=all"], "^run=nowhere is not there; refit=all needs the folder"),
        (["run=photos", "refit=all"], "^run=photos has no finished job; try"),
        (["run=photos/train/cat/00.bmp", "refit=all"], "00.bmp is a file; refit=all needs the folder"),
        (["run=outputs/final", "refit=all"], "^run=outputs/final is a refit already"),
        (
            ["run=outputs", "refit=all", "lr=1", "head=plain"],
            "^refit=all keeps the configuration .*: head, lr cannot",
        ),
        (["run=outputs/one", "refit=all", "+trainer.max_time=x"], r"trainer\.max_time cannot be typed"),
        (["run=outputs/one", "refit=all", "trainer.precision=bf16-mixed"], r"trainer\.precision cannot be typed"),
        (["run=outputs/one", "refit=all", "dataset.size=8"], r"dataset\.size cannot be typed"),
        (["run=outputs/one", "refit=all", "trials=auto"], "^trials=auto needs test images"),
        (["run=outputs/one", "refit=all", "trials=0"], "^trials must be"),
        (["run=outputs/one", "refit=all", "trials=x"], "^trials must be"),
        (["run=outputs/one", "refit=all", "epochs=0"], "^epochs must be"),
        (["run=outputs/old", "refit=all"], "old has no whole configuration in its result.json"),
        (["run=outputs/damaged", "refit=all"], "has no finished job; left out damaged/result.json: .*; try"),
    ],
)
def test_what_a_refit_cannot_be_is_said_before_training(job: Job, words: list[str], message: str):
    job(*QUICK, "name=one")
    job("run=outputs/one", "refit=all", "name=final")
    Path("outputs/old").mkdir()
    old = {"trials": [{"seed": 0, "accuracy": 0.5}], "config": {"trials": 1}}
    Path("outputs/old/result.json").write_text(json.dumps(old))
    Path("outputs/damaged").mkdir()
    Path("outputs/damaged/result.json").write_text("{")
    before = sorted(Path("outputs").iterdir())
    with pytest.raises(GraftError, match=message):
        job(*words)
    assert sorted(Path("outputs").iterdir()) == before


@pytest.mark.parametrize("words", [["run=a", "refit=all"], ["run=a,b", "refit=all"], ["run=a"], ["refit=all"]])
def test_a_sweep_of_refits_is_refused(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", ["name=s", "hydra.mode=MULTIRUN"], return_hydra_config=True)
        with open_dict(config):
            config.hydra.overrides.task = words
        with pytest.raises(GraftError, match=r"^refit=all trains one job, .* got -m"):
            check_sweep(config, Path("s"))


def test_validation_images_that_ranked_the_jobs_correct_nothing(job: Job):
    for dropout in ("0", "0.9"):
        job(*QUICK, f"dropout={dropout}", f"hydra.run.dir=outputs/sweep/{dropout}")
    refit = configured("run=outputs/sweep", "refit=all")["refit"]
    assert refit["estimate"]["order"] == "ranked by validation accuracy"
    assert refit["estimate"]["corrected"] is None
