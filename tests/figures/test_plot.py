from pathlib import Path

import numpy as np
import pandas
import pytest
from matplotlib.collections import LineCollection
from matplotlib.text import Annotation
from PIL import Image

from graft.figures.canvas import save
from graft.figures.curves import draw_best_curves, draw_curves
from graft.figures.plot import (
    draw_budget,
    draw_differences,
    draw_effects,
    draw_ranges,
)
from graft.report.effects import Curve
from graft.report.unit import TEST_ACCURACY
from graft.results.labels import title
from graft.statistics.comparison import Difference


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
        save(draw_curves(history(splits), "a job"), tmp_path / "curves.png")
        drawn.append(picture(tmp_path / "curves.png"))
    assert drawn[0].shape == drawn[1].shape == drawn[2].shape
    assert (drawn[0] != drawn[1]).any()
    assert (drawn[1] != drawn[2]).any()
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]  # no temporary file stays


def test_the_best_are_drawn_on_the_images_of_one_split(tmp_path: Path):
    jobs = {name: history(("train", "test"), level) for name, level in (("plain", 0.3), ("dense", 0.4), ("other", 0.5))}
    save(draw_best_curves(jobs, "test"), tmp_path / "three.png")
    save(draw_best_curves({name: jobs[name] for name in ("plain", "dense")}, "test"), tmp_path / "two.png")
    untrained = {name: rows.replace({"split": {"train": "val"}}) for name, rows in jobs.items()}
    save(draw_best_curves(untrained, "test"), tmp_path / "same.png")  # the training images' curves are not drawn
    three, two, same = (picture(tmp_path / f"{name}.png") for name in ("three", "two", "same"))
    assert (three != two).any()
    assert (three == same).all()


def table(**columns: list) -> pandas.DataFrame:
    rows = {"label": ["dense512", "plain"], "accuracy": [0.86, 0.84], "low": [0.85, 0.83], "high": [0.87, 0.85]}
    interval = {"ci95_low": [0.855, None], "ci95_high": [0.865, None]}
    return pandas.DataFrame({**rows, **interval, "trials": [15, 15], **columns})


def test_the_interval_is_drawn_on_the_range(tmp_path: Path):
    save(draw_ranges(table(), "ranked"), tmp_path / "narrow.png")
    save(draw_ranges(table(ci95_low=[0.84, None], ci95_high=[0.88, None]), "ranked"), tmp_path / "wide.png")
    save(draw_ranges(table(ci95_low=[None, None], ci95_high=[None, None]), "ranked"), tmp_path / "none.png")
    narrow, wide, none = (int((picture(tmp_path / f"{name}.png") < 60).sum()) for name in ("narrow", "wide", "none"))
    assert none < narrow < wide


def test_published_ranges_are_boxes_where_there_are_some(tmp_path: Path):
    save(draw_ranges(table(), "ranked"), tmp_path / "none.png")
    save(draw_ranges(table(reference_low=[0.8, np.nan], reference_high=[0.84, np.nan]), "ranked"), tmp_path / "one.png")
    save(draw_ranges(table(reference_low=[0.8, 0.8], reference_high=[0.84, 0.84]), "ranked"), tmp_path / "both.png")
    none, one, both = (blue(tmp_path / f"{name}.png") for name in ("none", "one", "both"))
    assert none == 0
    assert both > 1.4 * one > 0  # the legend has a box, too


def test_a_title_says_what_the_job_is():
    config = {group: {"_target_": f"graft.{group}.{name}"} for group, name in (
        ("backbone", "VGG16"), ("source", "ImageNet"), ("head", "Dense"), ("dataset", "MNIST"),
    )}  # fmt: skip
    assert title(config) == "VGG16 (ImageNet) with a Dense head on MNIST"


def test_a_solved_head_is_a_horizontal_line():
    solved = pandas.DataFrame(
        [(trial, 1, "test", metric, 0.5) for trial in range(3) for metric in ("accuracy", "loss")],
        columns=["trial", "epoch", "split", "metric", "value"],
    )
    figure = draw_best_curves({"dense": history(("test",)), "ridge": solved}, "test", {"ridge"})
    panel = figure.axes[0]
    assert [np.asarray(line.get_xdata()).tolist() for line in panel.lines] == [list(range(1, 30)), [0, 1]]
    assert np.asarray(panel.lines[1].get_ydata()).tolist() == [50, 50]
    assert sorted(text.get_text() for text in panel.texts) == ["dense", "ridge (no epochs)"]


def test_the_loss_of_a_solved_head_far_above_the_curves_is_said_and_hides_none():
    solved = pandas.DataFrame(
        [(0, 1, "test", "accuracy", 0.5), (0, 1, "test", "loss", 6.68)],
        columns=["trial", "epoch", "split", "metric", "value"],
    )
    figure = draw_best_curves({"dense": history(("test",)), "ridge": solved}, "test", {"ridge"})
    panel = figure.axes[1]
    highest = np.asarray(panel.lines[0].get_ydata()).max()
    assert highest < panel.get_ylim()[1] < 2 * highest
    words = {text.get_text() for text in panel.texts}
    assert words == {"without epochs: 6.7, above this panel", "dense", "ridge (no epochs)"}
    ends = [text.xy[1] for text in panel.texts if isinstance(text, Annotation)]
    assert max(ends) <= panel.get_ylim()[1] * 1.001


def test_numbers_are_joined_by_lines_and_options_are_not():
    rows = [("head", "plain", 0.99), ("head", "dense", 0.995), ("dropout", "0", 0.99), ("dropout", "0.5", 0.995)]
    effects = pandas.DataFrame(rows, columns=["key", "value", "mean"])
    columns = {"difference": [-0.005, np.nan], "difference_low": [-0.04, np.nan], "difference_high": [0.03, np.nan]}
    figure = draw_effects(effects.assign(**{key: 2 * values for key, values in columns.items()}), TEST_ACCURACY)
    assert [axes.lines[0].get_linestyle() for axes in figure.axes] == ["None", "-"]
    for axes in figure.axes:
        ends = [end for bars in axes.findobj(LineCollection) for bar in bars.get_segments() if len(bar) for end in bar]
        assert max(height for _, height in ends) == 100


@pytest.mark.filterwarnings("error")
def test_strange_labels_are_drawn_everywhere(tmp_path: Path):
    labels = ["$x$ and $y$", "$_{", "_hidden", "long " * 80, "x" * 300, "猫 кот", "[bold]|,", "100 %", "a\nb"]
    points = Difference(np.array([-1.0, 1.0, 0, 0, 0, 0]), 0.5, None)
    save(draw_differences(labels[0], dict.fromkeys(labels[1:], points), TEST_ACCURACY), tmp_path / "1.png")
    every = pandas.DataFrame({"label": labels, "accuracy": 0.1 * 3, "low": 0.3, "high": 1.0, "trials": 3})
    every = every.assign(ci95_low=0.2, ci95_high=1.0)
    save(draw_ranges(every, "ranked"), tmp_path / "2.png")
    save(draw_best_curves({label: history(("test",)) for label in labels}, "test"), tmp_path / "3.png")
    budget = draw_budget([Curve(it, [1, 2], [0, 1], [0, 1], [0, 1]) for it in labels], "images", TEST_ACCURACY)
    save(budget, tmp_path / "4.png")
    effects = pandas.DataFrame({"key": "$k_", "value": labels, "mean": 1.0}).assign(
        difference=np.nan, difference_low=np.nan, difference_high=np.nan
    )
    save(draw_effects(effects, TEST_ACCURACY), tmp_path / "5.png")
    assert len(list(tmp_path.glob("*.png"))) == 5


def test_a_mean_that_rounds_below_the_lowest_is_drawn(tmp_path: Path):
    """0.1 + 0.2 is above 0.3 by a bit: a length of an error bar would be negative."""
    ends = {"ci95_low": [0.1 + 0.2, 0.3], "ci95_high": [0.3, 0.3 - 1e-17]}
    save(draw_ranges(table(accuracy=[0.3, 0.3], **ends), "ranked"), tmp_path / "x.png")
    tight = Difference(np.full(6, 0.3), 0.01, (0.1 + 0.2, 0.3))
    save(draw_differences("a", {"b": tight}, TEST_ACCURACY), tmp_path / "y.png")
    assert len(list(tmp_path.glob("*.png"))) == 2
