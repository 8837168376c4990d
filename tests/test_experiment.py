"""The lecture's rows: their configuration, and in slow tests their numbers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, SHARED
from omegaconf import DictConfig

from graft.config import check

Configure = Callable[..., DictConfig]
ROWS = sorted((ROOT / "conf" / "experiment").glob("lecture_*.yaml"))
WEIGHTS = SHARED / "data" / "weights" / "vgg16_imagenet_features.safetensors"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the real data in ../shared")


@pytest.mark.parametrize("path", ROWS, ids=lambda path: path.stem)
def test_every_row_is_possible_and_says_only_what_differs(configure: Configure, path: Path):
    cfg = configure(f"experiment={path.stem}")
    check(cfg)
    assert set(cfg.reference) == {"low", "high", "source"}
    assert path.read_text().startswith("# @package _global_\n# ")
    row = yaml.safe_load(path.read_text())
    options = [(key, option) for default in row.pop("defaults") for key, option in default.items()]
    without = configure(*(f"{key.removeprefix('override /')}={option}" for key, option in options))
    for key, value in row.items():
        if isinstance(value, dict) and without[key] is not None:
            assert not [leaf for leaf in value if without[key][leaf] == value[leaf]], f"{key} repeats a default"
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
        path.stem: set(configure(f"dataset={path.stem}", "dataset.root=x").dataset)
        for path in (ROOT / "conf" / "dataset").glob("*.yaml")
    }
    for name, found in keys.items():
        assert found - {"download", "skip_unreadable"} == keys["mnist5k"], name


@pytest.mark.parametrize("path", ROWS, ids=lambda path: path.stem)
def test_every_row_runs_on_files(configure: Configure, path: Path):
    files = ["dataset=image_folder"] if "cifar10" in path.stem else []
    files += ["source=file", "source.path=w.safetensors"] if "vgg16" in path.stem else []
    cfg = configure(f"experiment={path.stem}", "dataset.root=pictures", *files)
    check(cfg)
    original = configure(f"experiment={path.stem}")
    for key in ("draw", "small", "small_total", "small_per_class", "pixels", "pad", "size"):
        assert cfg.dataset[key] == original.dataset[key]
    assert cfg.source.get("weights") == original.source.get("weights")
