from pathlib import Path

import numpy as np
import pandas
from PIL import Image

from graft.report.plot import draw_best_curves, draw_curves, draw_ranges, title


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L")).astype(int)


def blue(path: Path) -> int:
    red, _, blue = np.moveaxis(np.asarray(Image.open(path).convert("RGB")).astype(int), -1, 0)
    return int((blue - red > 20).sum())


def history(splits: tuple[str, ...], level: float = 0.5) -> pandas.DataFrame:
    rows = [
        (trial, epoch, split, metric, level + 0.01 * trial + 0.002 * epoch)
        for split in splits
        for metric in ("accuracy", "loss")
        for epoch in range(1, 30)
        for trial in range(3)
    ]
    return pandas.DataFrame(rows, columns=["trial", "epoch", "split", "metric", "value"])


def test_every_split_is_drawn(tmp_path: Path):
    drawn = []
    for splits in (("train",), ("train", "test"), ("train", "val", "test")):
        draw_curves(tmp_path / "curves.png", history(splits), "a job")
        drawn.append(picture(tmp_path / "curves.png"))
    assert drawn[0].shape == drawn[1].shape == drawn[2].shape
    assert (drawn[0] != drawn[1]).any()
    assert (drawn[1] != drawn[2]).any()
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]  # no temporary file stays


def test_the_best_are_drawn_on_the_images_of_one_split(tmp_path: Path):
    jobs = {name: history(("train", "test"), level) for name, level in (("plain", 0.3), ("dense", 0.4), ("other", 0.5))}
    draw_best_curves(tmp_path / "three.png", jobs, "test")
    draw_best_curves(tmp_path / "two.png", {name: jobs[name] for name in ("plain", "dense")}, "test")
    untrained = {name: rows.replace({"split": {"train": "val"}}) for name, rows in jobs.items()}
    draw_best_curves(tmp_path / "same.png", untrained, "test")  # the training images' curves are not drawn
    three, two, same = (picture(tmp_path / f"{name}.png") for name in ("three", "two", "same"))
    assert (three != two).any()
    assert (three == same).all()


def table(**columns: list) -> pandas.DataFrame:
    rows = {"label": ["dense512", "plain"], "accuracy": [0.86, 0.84], "low": [0.85, 0.83], "high": [0.87, 0.85]}
    return pandas.DataFrame({**rows, "trials": [15, 15], **columns})


def test_published_ranges_are_boxes_where_there_are_some(tmp_path: Path):
    draw_ranges(tmp_path / "none.png", table(), "ranked")
    draw_ranges(tmp_path / "one.png", table(reference_low=[0.8, np.nan], reference_high=[0.84, np.nan]), "ranked")
    draw_ranges(tmp_path / "both.png", table(reference_low=[0.8, 0.8], reference_high=[0.84, 0.84]), "ranked")
    none, one, both = (blue(tmp_path / f"{name}.png") for name in ("none", "one", "both"))
    assert none == 0
    assert both > 1.4 * one > 0  # the legend has a box, too


def test_a_title_says_what_the_job_is():
    config = {group: {"_target_": f"graft.{group}.{name}"} for group, name in (
        ("backbone", "VGG16"), ("source", "ImageNet"), ("head", "Dense"), ("dataset", "MNIST"),
    )}  # fmt: skip
    assert title(config) == "VGG16 (ImageNet) with a Dense head on MNIST"
