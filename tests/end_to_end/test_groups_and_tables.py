"""A table with patients, from its file to the interval, however the job is run."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pandas
import pytest
from PIL import Image

from graft.results.measured import measured
from graft.results.outcomes import read_outcomes
from graft.statistics.comparison import summary

Train = Callable[..., CompletedProcess[str]]
JOB = ("dataset=table", "dataset.file=labels.csv", "dataset.small_per_class=8", "source=scratch", "epochs=2")


def write_patients(root: Path, patients: int = 12, images: int = 8) -> None:
    """Write pictures whose gray is the patient's, which a network recognizes, and a table of them."""
    random, rows = np.random.default_rng(0), []
    for patient in range(patients):
        for number in range(images):
            label = ("sick", "well")[patient % 2]
            gray = random.integers(0, 60, (12, 12)) + 15 * patient + 20 * (label == "sick")
            Image.fromarray(gray.astype(np.uint8)).save(root / f"{patient:02}_{number}.png")
            rows.append([f"{patient:02}_{number}.png", label, f"P{patient}"])
    pandas.DataFrame(rows, columns=["file", "diagnosis", "patient"]).to_csv(root / "labels.csv", index=False)


def sides(folder: Path) -> pandas.DataFrame:
    """Return the list of images of a job, whose trials part no group: neither of folds, nor of other splits."""
    images = pandas.read_csv(folder / "images.csv")
    stored = read_outcomes(folder)
    assert stored is not None
    assert (images["group"] == "P" + images["path"].str[:2].astype(int).astype(str)).all()
    by_split = images.groupby("group")["split"].agg(set)
    if stored.test.shared:
        assert not any("test" in splits and len(splits) > 1 for splits in by_split)
    else:
        group = images.set_index("number")["group"]
        for fold in stored.test.image[:4]:
            tested = set(group[fold[fold >= 0]])
            inside = set(group[[number for number in group.index if number not in fold]])
            assert not tested & inside
    return images


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("trials=4",),
        ("trials=4", "dataset.val_per_class=4"),
        ("trials=4", "dataset.folds=4"),
        ("trials=4", "dataset.folds=4", "dataset.val_per_class=4", "report.metric=loss"),
        ("trials=4", "dataset.group=null", r"dataset.group_pattern=(?P<group>^\d\d)_"),
        ("trials=4", "trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"),
        ("trials=auto", "trials_min=2", "trials_max=4"),
    ],
)
def test_no_group_is_parted(tmp_path: Path, train: Train, words: tuple[str, ...]):
    write_patients(tmp_path)
    ran = train(*JOB, "name=a", *words)
    assert ran.returncode == 0, ran.stderr
    folder = tmp_path / "outputs" / "a"
    if not any("group_pattern" in word for word in words):
        images = sides(folder)
        if "trainer=ddp" in words:
            assert train(*JOB, "name=b", "trials=4").returncode == 0
            assert images.equals(pandas.read_csv(tmp_path / "outputs" / "b" / "images.csv"))
    result = json.loads((folder / "result.json").read_text())
    assert result["images"]["groups"]["pool"] + result["images"]["groups"]["test"] == (
        24 if "folds" in str(words) else 12
    )
    assert "groups" in ran.stdout


@pytest.mark.slow
def test_a_sweep_in_processes_and_one_that_goes_on_draw_the_same(tmp_path: Path, train: Train):
    write_patients(tmp_path)
    assert train("-m", *JOB, "trials=4", "name=a", "dropout=0,0.5").returncode == 0
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert train("-m", *JOB, "trials=4", "name=b", "dropout=0,0.5", *joblib).returncode == 0
    tables = [path.read_text() for path in sorted((tmp_path / "outputs").rglob("images.csv"))]
    assert len(tables) == 4
    assert len(set(tables)) == 1
    (tmp_path / "moved").mkdir()
    for path in [*tmp_path.glob("*.png"), tmp_path / "labels.csv"]:
        path.rename(tmp_path / "moved" / path.name)
    results = sorted((tmp_path / "outputs" / "a").rglob("result.json"))
    written = [path.stat().st_mtime_ns for path in results]
    moved = [word.replace("labels.csv", "moved/labels.csv") for word in JOB]
    again = train("-m", *moved, "trials=4", "name=a", "dropout=0,0.5")
    assert again.returncode == 0, again.stderr
    assert [path.stat().st_mtime_ns for path in results] == written  # no job ran again


@pytest.mark.slow
def test_the_interval_is_of_groups_and_says_so(tmp_path: Path, train: Train):
    write_patients(tmp_path)
    words = [*JOB[:4], "epochs=10", "trials=6"]
    grouped = train(*words, "name=a", "dataset.split=null")
    alone = train(*words, "name=b", "dataset.group=null")
    assert "for images of other groups and other draws of 8 a class of these groups" in grouped.stdout
    assert "for other images and other draws of 8 a class" in alone.stdout
    sweep = train("-m", *words, "name=c", "dropout=0,0.5")
    assert "for images of other groups and other draws of 8 a class of these groups (95 %)" in " ".join(
        sweep.stdout.split()
    )
    assert "test groups" in sweep.stdout
    assert "test images" not in sweep.stdout.partition("Its doubt comes from")[2].partition("Main effects")[0]
    stored = read_outcomes(tmp_path / "outputs" / "a")
    assert stored is not None
    result = json.loads((tmp_path / "outputs" / "a" / "result.json").read_text())
    low, high = result["accuracy"]["ci95"]
    ungrouped = {**vars(stored), "images": stored.images.assign(group="")}
    by_image = summary(measured(result, type(stored)(**ungrouped)))["ci95"]
    assert isinstance(by_image, list)
    assert high - low > by_image[1] - by_image[0]
