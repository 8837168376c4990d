"""`python src/export.py` on finished jobs: files, metadata, cards, and what is refused."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT
from folders import forget
from hydra import compose, initialize_config_dir
from omegaconf import open_dict
from PIL import Image

from graft.config.identity import without_hydra
from graft.errors import GraftError
from graft.export import command, model_files, verify
from graft.export.exported_model import ExportedModel
from graft.export.job_images import find_images, job_result
from graft.export.predict_file import load_as_predict_file as load_file
from graft.export.verify import Run
from graft.inference.image_list import Item
from graft.inference.load import load
from graft.inference.predict import Predictor
from graft.run.job import run as train
from graft.sweeps.refit import compose_refit

DEFAULTS: dict[str, Any] = {
    **{"format": "torch", "precision": "fp32", "trial": "ensemble", "output": None},
    **{"modules": (), "weights": None, "progress": False},
}
NOISE = np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos of two colors in many shapes, and a job of three trials on them."""
    folder = tmp_path_factory.mktemp("export")
    for place, name in enumerate(("blue", "red")):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(20):
            height, width = NOISE.integers(12, 60, 2)
            pixels = NOISE.integers(0, 200, (height, width, 3))
            pixels[..., 2 - 2 * place] += 55
            exif = Image.Exif()
            exif[0x0112] = 1 + number % 8
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "photos" / name / f"{number}.jpg", exif=exif)
    (folder / "job").mkdir()
    words = ["name=job", f"cache={folder}/cache", "keep_weights=all", "trials=3", "epochs=2", "source=scratch"]
    words += ["dataset=image_folder", f"dataset.root={folder}/photos", "dataset.size=16", "dataset.small_per_class=5"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        train(compose("train", [*words, "head=dense", "head.widths=[8]"]), folder / "job")
    return folder


@pytest.fixture
def job(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder / "job", tmp_path / "job")
    return tmp_path / "job"


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the graph's own module stand for its file, which takes seconds to write, where the file is not at issue."""
    graphs: list[ExportedModel] = []

    def write(model: ExportedModel, path: Path, about: dict[str, Any]) -> None:
        path.write_text(json.dumps(about))
        graphs.append(model)

    def read(path: Path) -> tuple[dict[str, Any], Run]:
        return json.loads(path.read_text()), lambda pixels: graphs[-1](torch.from_numpy(pixels)).numpy()

    monkeypatch.setattr(command, "write_torch", write)
    monkeypatch.setattr(verify, "load_as_predict_file", read)


def export(job: Path, **words: Any) -> int:
    return command.main({**DEFAULTS, "run": str(job), **words})


def check_predictions(job: Path, folder: Path, model_file: str, seeds: list[int]) -> None:
    """Run the exported predict.py in a process of its own, without Graft, and compare with the job's model."""
    images = sorted((folder / "photos").rglob("*.jpg"))
    done = subprocess.run(
        [sys.executable, "-I", str(job / "export" / "predict.py"), *map(str, images)],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    rows = list(csv.DictReader(done.stdout.splitlines()))
    model = load(job)
    model.networks = type(model.networks)(model.networks[model.seeds.index(seed)] for seed in seeds)
    said = [row for _, row in Predictor(model).rows([Item(str(path), path) for path in images])]
    assert [row["file"] for row in rows] == [row.file for row in said]
    assert [row["class"] for row in rows] == [row.class_name for row in said]
    found = [float(row["probability"]) for row in rows]
    np.testing.assert_allclose(found, np.array([row.probability for row in said], float), atol=2e-6)
    assert (job / "export" / model_file).is_file()


@pytest.mark.parametrize(
    ("kind", "file"), [("onnx", "model.onnx"), pytest.param("torch", "model.pt2", marks=pytest.mark.slow)]
)
def test_the_file_says_what_predict_says_of_every_photo(
    job: Path, folder: Path, kind: str, file: str, capsys: pytest.CaptureFixture[str]
):
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    assert export(job, format=kind) == 0
    said = capsys.readouterr().err
    assert "the job's 9 test images: 0 of 9 images with another class" in said
    assert "accuracy in the job's test, of the same trials" in said
    assert f"written to {job / 'export'}" in said
    assert sorted(path.name for path in (job / "export").iterdir()) == sorted(["MODEL_CARD.md", "predict.py", file])
    check_predictions(job, folder, file, [0, 1, 2])
    about, _ = load_file(job / "export" / file)
    assert about["classes"] == ["blue", "red"]
    assert about["job"] == {
        "name": "job", "seeds": [0, 1, 2], "identity": job_result(job)["identity"],
        "accuracy": job_result(job)["accuracy"]["mean"],
    }  # fmt: skip
    assert about["preprocessing"]["image"] == [3, 16, 16]
    assert load(job).config["reading"] == {
        "fit": "crop",
        "interpolation": "bilinear",
        "bits": "auto",
        "white": None,
        "max_pixels": None,
    }


def test_the_card_says_what_the_result_says(job: Path, fast: None):
    stored = job_result(job)
    stored["images"]["ignored"] = {"in my_masks/": 3, "left out by dataset.exclude": 1}
    stored["images"]["duplicates"] = {"other_part": 0, "same_part": 5, "two_classes": 0}  # which are used
    (job / "result.json").write_text(json.dumps(stored))
    export(job, trial="1")
    card = (job / "export" / "MODEL_CARD.md").read_text()
    result = job_result(job)
    for said in (
        "To be filled in by the author", "one trial, seed 1", "blue, red", "image files found: 40",
        "left out: in my_masks/ 3, by dataset.exclude 1\n",
        f"mean of 3 trials: {100 * result['accuracy']['mean']:.1f} %", "| blue |", "Expected calibration error",
        "counting", "python src/export.py run=", "trial=1", "the author fills it in here",
        result["versions"]["torch"],
    ):  # fmt: skip
        assert said in card
    right = result["trials"][1]["correct"]
    assert f"({right} of 9 test images)" in card
    assert f"accuracy in the job's test, of the same trials: {100 * right / 9:.1f} % ({right} of 9)" in card


def test_numbers_of_augmented_views_are_told_from_those_of_the_file(job: Path, fast: None):
    said = "Of the mean over 4 augmented views of each image; this model sees each once."
    for views, times in ((None, 0), (4, 3)):
        result = job_result(job)
        result["config"]["augment"] = {"test_views": views}
        (job / "result.json").write_text(json.dumps(result))
        export(job)
        card = (job / "export" / "MODEL_CARD.md").read_text()
        assert card.count(said) == times  # at the classes, the calibration and the confusions
        assert (said.removesuffix(".") in card.partition("## Each class")[0]) == bool(views)


def test_a_model_of_another_format_beside_the_new_one_is_told(
    job: Path, fast: None, capsys: pytest.CaptureFixture[str]
):
    export(job)
    assert "earlier export" not in capsys.readouterr().err
    earlier = job / "export" / "model.onnx"
    earlier.write_bytes(b"another job's")
    export(job)
    said = f"{earlier} is of an earlier export: predict.py and the card are those of model.pt2 now"
    assert said in capsys.readouterr().err


def test_images_that_are_gone_or_changed_are_told_in_the_card(
    job: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], fast: None
):
    path = job / "result.json"
    result = json.loads(path.read_text())
    shutil.copytree(folder / "photos", tmp_path / "changed")
    for each in (tmp_path / "changed" / "red").iterdir():
        Image.new("RGB", (20, 20), (int(each.stem), 0, 0)).save(each)
    for root, said in ((tmp_path / "gone", "gone"), (tmp_path / "changed", "have changed since")):
        result["config"]["dataset"]["root"] = str(root)
        path.write_text(json.dumps(result))
        assert export(job) == 0
        assert "verified on random images" in capsys.readouterr().err
        card = (job / "export" / "MODEL_CARD.md").read_text()
        assert "64 random images, because" in card
        assert "| blue |" in card  # the outcomes are still known
        with pytest.raises(GraftError, match=said):
            find_images(load(job), result)
    pytest.importorskip("onnxscript")
    with pytest.raises(GraftError, match=r"needs the job's training images.*precision=fp16"):
        export(job, format="onnx", precision="int8")


def test_images_are_found_where_others_were_added(
    job: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], fast: None
):
    shutil.copytree(folder / "photos", tmp_path / "photos")
    path = job / "result.json"
    result = json.loads(path.read_text())
    result["config"]["dataset"]["root"] = str(tmp_path / "photos")
    path.write_text(json.dumps(result))
    before = find_images(load(job), result)
    shutil.copy(tmp_path / "photos" / "red" / "0.jpg", tmp_path / "photos" / "blue" / "!.jpg")
    forget()
    now = find_images(load(job), result)
    assert now.paths == before.paths
    assert torch.equal(now.train, before.train + 1)
    assert export(job) == 0
    assert "verified on random images" not in capsys.readouterr().err


def test_no_accuracy_is_claimed_on_images_that_other_trials_were_trained_on(
    folder: Path, tmp_path: Path, fast: None, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "folds").mkdir()
    words = ["name=folds", f"cache={folder}/cache", "keep_weights=all", "trials=4", "epochs=1", "source=scratch"]
    words += ["dataset=image_folder", f"dataset.root={folder}/photos", "dataset.size=16", "dataset.small_per_class=5"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        train(compose("train", [*words, "dataset.folds=4"]), tmp_path / "folds")
    capsys.readouterr()
    assert export(tmp_path / "folds") == 0
    said = capsys.readouterr().err
    assert "the 40 images of all folds: 0 of 40 images with another class" in said
    assert "accuracy of the file" not in said
    card = (tmp_path / "folds" / "export" / "MODEL_CARD.md").read_text()
    assert "Counted for each trial apart" in card
    assert "test images of the smallest fold: 10\n" in card


@pytest.mark.parametrize(
    "dataset", [{"_target_": "os.system", "command": "touch ran"}, {"_target_": "graft.dataset.MNIST5k", "x": {"a": 1}}]
)
def test_a_result_that_names_another_data_set_runs_nothing(job: Path, dataset: dict[str, Any]):
    result = {**job_result(job), "config": {"dataset": dataset}}
    with pytest.raises(GraftError, match="is none of Graft's"):
        find_images(load(job), result)
    assert not Path("ran").exists()


def test_a_failed_export_leaves_the_earlier_one(job: Path, fast: None, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise GraftError("no")

    monkeypatch.setattr(command, "verify", fail)
    with pytest.raises(GraftError, match="no"):
        export(job)
    assert not (job / "export").exists()
    (job / "export").mkdir()
    (job / "export" / "model.pt2").write_text("earlier")
    with pytest.raises(GraftError, match="no"):
        export(job)
    assert [path.name for path in (job / "export").iterdir()] == ["model.pt2"]
    assert (job / "export" / "model.pt2").read_text() == "earlier"


def test_the_best_trial_is_chosen_by_its_training_or_validation_never_by_the_test(job: Path):
    model, result = load(job), job_result(job)
    table = [line.split(",") for line in (job / "history.csv").read_text().splitlines()]
    losses = {row[0]: float(row[4]) for row in table if row[2:4] == ["train", "loss"]}  # the last of each trial
    best = min(losses, key=lambda trial: losses[trial])
    result["trials"][(int(best) + 1) % 3]["accuracy"] = 1.0
    assert command.chosen_rows(model, result, "best") == [int(best)]
    for trial, value in zip(result["trials"], (0.1, 0.9, 0.5), strict=True):
        trial["val_accuracy"] = value
    assert command.chosen_rows(model, result, "best") == [1]
    assert command.chosen_rows(model, result, "ensemble") == [0, 1, 2]


def test_a_folder_for_the_hub(job: Path, tmp_path: Path):
    assert export(job, format="hub", output=str(tmp_path / "hub")) == 0
    names = sorted(path.name for path in (tmp_path / "hub").iterdir())
    assert names == ["README.md", "config.json", "model.safetensors", "model.yaml"]
    _, front, card = (tmp_path / "hub" / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "graft"
    assert "It needs Graft, because it is the mean of 3 trials" in card
    assert "# job" in card


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"precision": "fp16"}, "precision=fp16 is for format=onnx"),
        ({"trial": "9"}, r"a kept seed \(0, 1, 2\), got 9"),
        ({"trial": "worst"}, "got worst"),
        ({"output": "{job}/result.json"}, "is a file"),
        ({"output": "{job}"}, "is a job's folder"),
        ({"output": "/proc/x"}, "output=/proc/x cannot be written .*; try another place"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_is_written(job: Path, words: dict[str, str], said: str):
    before = sorted(job.iterdir())
    with pytest.raises(GraftError, match=said):
        export(job, **{key: value.format(job=job) for key, value in words.items()})
    assert sorted(job.iterdir()) == before


def test_a_zip_file_needs_a_place_and_a_folder_a_job(job: Path, tmp_path: Path):
    shutil.make_archive(str(tmp_path / "sent"), "zip", tmp_path, "job")
    with pytest.raises(GraftError, match="add output=DIR"):
        export(tmp_path / "sent.zip")
    assert export(tmp_path / "sent.zip", output=str(tmp_path / "out"), format="hub") == 0
    assert "# sent" in (tmp_path / "out" / "README.md").read_text()
    (job / "result.json").write_text("{")
    with pytest.raises(GraftError, match=r"no result.json"):
        export(job)


def test_help_and_a_mistyped_key_need_no_torch():
    done = [
        subprocess.run(
            [sys.executable, "-X", "importtime", ROOT / "src" / "export.py", *words], capture_output=True, text=True
        )
        for words in (["--help"], ["run=x", "formt=onnx"])
    ]
    assert [each.returncode for each in done] == [0, 1]
    assert "precision=fp32" in done[0].stdout
    assert "did you mean format?" in done[1].stderr
    assert not any("torch" in line for each in done for line in each.stderr.splitlines() if "import time" in line)
    assert set(model_files.FILES) < {"onnx", "torch", "hub"}


def test_a_refit_is_verified_on_its_training_images_and_claims_no_accuracy(
    folder: Path, tmp_path: Path, fast: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [f"run={folder}/job", "refit=all", f"cache={folder}/cache"], return_hydra_config=True)
        with open_dict(config):
            config.hydra.overrides.task = ["run=job", "refit=all", "cache=cache"]
        compose_refit(config)
    job = tmp_path / "refit"
    job.mkdir()
    train(without_hydra(config), job)
    found = find_images(load(job), job_result(job))
    assert len(found.test) == len(found.labels) == 40
    assert export(job) == 0
    said = capsys.readouterr().err
    assert "the 40 images that the refit was trained on, which measure no accuracy: 0 of 40" in said
    assert "accuracy of the file" not in said
    card = (job / "export" / "MODEL_CARD.md").read_text()
    accuracy = card.partition("## Accuracy")[2].partition("##")[0]
    estimate = job_result(folder / "job")["accuracy"]["mean"]
    assert f"its accuracy is the estimate of {folder}/job: {100 * estimate:.1f} %" in accuracy
    assert "trained on 5 images a class" in accuracy
    assert "trained on all 40 labeled images" in accuracy
    assert "test images of each class" not in card
    assert "recall" not in card
    assert json.loads((job / "export" / "model.pt2").read_text())["job"]["accuracy"] is None
