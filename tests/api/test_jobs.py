import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import graft
from graft.data.dataset import MNIST5k
from graft.errors import GraftError

QUICK = {"source": "scratch", "trials": 2, "epochs": 1}
Train = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def without_seconds(result: dict) -> dict:
    return {key: value for key, value in result.items() if key != "seconds"}


@pytest.mark.slow
def test_a_job_is_the_command_line_s_and_each_finds_the_other_s(here: Path, train: Train):
    ours = graft.run(["source=scratch", "trials=2", "epochs=1"]).best
    assert ours.folder == here / "outputs" / "source=scratch_trials=2_epochs=1"
    first = without_seconds(ours.result)
    train("source=scratch", "trials=2", "epochs=1")  # runs again: without resume=true a command does
    path = ours.folder / "result.json"
    written, theirs = path.stat().st_mtime_ns, without_seconds(json.loads(path.read_text()))
    assert theirs == first
    assert without_seconds(graft.run(QUICK).best.result) == theirs
    assert path.stat().st_mtime_ns == written


@pytest.mark.slow
def test_a_command_finds_a_job_of_python_s(here: Path, train: Train):
    path = graft.run(QUICK, name="job").best.folder / "result.json"
    written = path.stat().st_mtime_ns
    assert "job is finished" in train("source=scratch", "trials=2", "epochs=1", "name=job", "resume=true").stdout
    assert path.stat().st_mtime_ns == written


@pytest.mark.slow
def test_a_sweep_is_the_command_line_s(here: Path, train: Train):
    answer = graft.run({**QUICK, "dropout": [0, 0.5]})
    folder = here / "outputs" / "source=scratch_trials=2_epochs=1_dropout=0,0.5"
    assert {job.folder for job in answer.jobs} == {folder / "dropout=0", folder / "dropout=0.5"}
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")}
    board = (folder / "leaderboard.md").read_text()
    done = train("-m", "source=scratch", "trials=2", "epochs=1", "dropout=0,0.5")
    assert done.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")} == files
    assert (folder / "leaderboard.md").read_text() == board


@pytest.mark.slow
def test_compare_ranks_heads_on_arrays(here: Path, digits: MNIST5k):
    indices = torch.arange(0, 5000, 20)
    pixels = digits.images.read(indices)
    data = graft.arrays(pixels, digits.images.labels[indices], small_per_class=10)
    heads = ["plain", "dense"]
    answer = graft.compare(data, heads=heads, trials=2, overrides={"source": "scratch", "epochs": 1}, name="heads")
    assert {job.config["head"]["_target_"] for job in answer.jobs} == {"graft.head.Plain", "graft.head.Dense"}
    assert (here / "outputs" / "heads" / "leaderboard.png").exists()
    assert len(answer.trials()) == 4
    assert set(answer.history()["job"]) == {"head=plain", "head=dense"}
    again = graft.read("outputs/heads")
    assert again.table.equals(answer.table)
    assert again.sentences == answer.sentences


def test_published_weights_are_the_default_of_a_named_backbone(monkeypatch: pytest.MonkeyPatch):
    asked: list[list[str]] = []
    monkeypatch.setattr("graft.api.jobs.start", lambda words, *_: asked.append(words))
    graft.compare(backbone="efficientnet_lite0", heads=["plain", "logistic"], trials=3)
    graft.compare(backbone=["cnn", "cnn4"], overrides=["source=scratch"])
    assert asked == [
        ["backbone=efficientnet_lite0", "head=plain,logistic", "trials=3", "source=imagenet"],
        ["backbone=cnn,cnn4", "source=scratch"],
    ]
    with pytest.raises(TypeError, match=r"no argument head; other keys are overrides=\{'head': \.\.\.\}"):
        graft.compare(head="plain")


def test_a_folder_of_one_s_own(here: Path):
    assert graft.run(QUICK, folder="my, job").best.folder == here / "my, job"
    assert not list((here / "outputs").glob("[!c]*"))  # only the cache


@pytest.mark.slow
def test_a_failed_job_is_a_warning_and_the_others_are_ranked():
    with pytest.warns(UserWarning, match=r"small_per_class=900: .*at most"):
        answer = graft.run({**QUICK, "dataset.small_per_class": [5, 900]}, name="short")
    assert [job.name for job in answer.jobs] == ["dataset.small_per_class=5"]
    assert list(answer.failed) == ["dataset.small_per_class=900"]
    assert "failed dataset.small_per_class=900" in repr(answer)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"head": "dens"}, "no option dens for head; did you mean dense"),
        ({"epochs": -1}, "epochs must be a whole number"),
        (["dataset.small=[1,3"], "unbalanced"),
        ({"dataset.small_per_class": 900, **QUICK}, "at most 250"),
        ({"dropout": [0, 0.5], "hydra/launcher": "joblib"}, "hydra/launcher=joblib starts jobs from the command line"),
        ({"hydra/launcher": "ray"}, "Python runs them in this process, one after another: leave it out"),
        ({"callbacks.first._target_": "mine.First"}, r"did you mean \+callbacks\.first\?"),
    ],
)
def test_mistakes_are_the_command_line_s_messages(overrides: dict[str, object], message: str):
    with pytest.raises(GraftError, match=message):
        graft.run(overrides)


def test_what_is_no_data_set_or_no_override_is_refused():
    with pytest.raises(GraftError, match=r"got str; try graft\.image_folder"):
        graft.compare("photos")  # type: ignore[arg-type]
    with pytest.raises(GraftError, match="None is no override"):
        graft.run(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "overrides", "message"),
    [
        ({"heads": ["plain"]}, {"head": "dense"}, "head is typed twice, as plain and dense"),
        ({"trials": 2}, ["trials=4"], "trials is typed twice, as 2 and 4"),
        ({"data": graft.Data("image_folder", {"root": "a"})}, {"dataset.root": "b"}, "dataset.root is typed twice"),
        ({"data": graft.Data("image_folder", {"root": "a"})}, {"dataset": "mnist"}, "dataset is typed twice"),
        ({"name": "first"}, {"name": "second"}, "name is typed twice"),
        ({"name": 3}, {}, "name must be the name of a folder inside outputs/, got 3"),
    ],
)
def test_arguments_and_overrides_cannot_differ(given: dict[str, Any], overrides: Any, message: str):
    with pytest.raises(GraftError, match=message):
        graft.compare(**given, overrides=overrides)


def test_a_name_and_overrides_of_one_job_cannot_differ():
    with pytest.raises(GraftError, match="name is typed twice, as second and first"):
        graft.run({"name": "second"}, name="first")
    with pytest.raises(GraftError, match="name must be the name of a folder inside outputs/, got 3"):
        graft.run(name=3)  # type: ignore[arg-type]


@pytest.mark.slow
def test_another_configuration_s_result_stays():
    graft.run(QUICK, name="job")
    with pytest.raises(GraftError, match=r"has the result of another configuration \(head.dropout, dropout differ\)"):
        graft.run({**QUICK, "dropout": 0.2}, name="job")
    with pytest.raises(GraftError, match="has a single job"):
        graft.run({**QUICK, "dropout": [0.1, 0.2]}, name="job")


@pytest.mark.slow
def test_images_that_are_added_count_in_the_next_run(here: Path):
    def add(first: int, last: int) -> None:
        for number in range(first, last):
            for shade, name in ((40, "dark"), (200, "light")):
                (here / "photos" / name).mkdir(parents=True, exist_ok=True)
                Image.new("L", (16, 16), shade + number).save(here / "photos" / name / f"{number}.png")

    settings = {"source": "scratch", "trials": 1, "epochs": 1, "dataset.size": 16}
    add(0, 12)
    data = graft.image_folder("photos", small_per_class=3)
    first = graft.compare(data, overrides=settings, name="first").best.result
    add(12, 15)
    second = graft.compare(data, overrides=settings, name="second").best.result
    assert [result["images"]["found"] for result in (first, second)] == [24, 30]
