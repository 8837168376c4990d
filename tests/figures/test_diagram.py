from collections.abc import Sequence

import numpy as np
import pandas
import pytest

from graft.analysis.reliability import BINS, Reliability
from graft.figures.diagram import draw_reliability


def test_bins_are_points_of_confidence_and_accuracy():
    bins = pandas.DataFrame([[0.6, 0.5, 20, 0.5, 0.7], [0.9, 1.0, 20, 0.8, 1.0]], columns=BINS)
    figure = draw_reliability(Reliability(bins, np.array([0.05, 0.15])), "plain")
    axes = figure.axes[0]
    points = np.asarray(axes.lines[1].get_xydata())
    np.testing.assert_allclose(points, [[60, 50], [90, 100]])
    assert "\n%" not in axes.get_title()  # a number and its unit are on one line
    expected = "plain: expected calibration error 10.0 % (mean of 2 trials, 5.0 to 15.0 %), 2 bins of 20 images"
    assert axes.get_title().replace("\n", " ").replace("\xa0", " ") == expected
    assert axes.get_xlim() == axes.get_ylim()


def test_one_trial_has_no_range():
    bins = pandas.DataFrame([[1.0, 0.0, 1, 1.0, 1.0]], columns=BINS)
    title = draw_reliability(Reliability(bins, np.array([1.0])), "x").axes[0].get_title()
    expected = "x: expected calibration error 100.0 %, from one bin: mean confidence against accuracy;"
    assert title.replace("\n", " ").replace("\xa0", " ").startswith(expected)


@pytest.mark.parametrize(
    ("confidence", "accuracy"),
    [
        ([0.22, 0.25, 0.3, 0.35, 0.4, 0.61], [0.5, 0.6, 0.8, 0.9, 0.95, 1.0]),  # bars above the diagonal's middle
        ([0.5, 0.6, 0.7, 0.8, 0.95], [0.2, 0.3, 0.4, 0.6, 0.7]),  # below it
        ([0.3, 0.5, 0.6, 0.7, 0.8, 0.9], [0.32, 0.48, 0.63, 0.69, 0.82, 0.9]),  # marks on it
        ([0.97, 0.98, 0.99, 1.0], [0.99, 1.0, 1.0, 1.0]),
        (np.linspace(0.2, 1, 15).tolist(), np.linspace(0.2, 1, 15).tolist()),
    ],
)
def test_the_diagonal_s_name_meets_no_bin_and_no_tick_is_above_100(
    confidence: Sequence[float], accuracy: Sequence[float]
):
    bins = pandas.DataFrame(
        [[*each, 20, 0, 1] for each in zip(confidence, accuracy, strict=True)], columns=BINS, dtype=float
    )
    figure = draw_reliability(Reliability(bins, np.array([0.1])), "plain")
    figure.draw_without_rendering()
    axes, [name] = figure.axes[0], figure.axes[0].texts
    box = name.get_window_extent()
    turned = name.get_transform().transform(name.get_unitless_position())  # the middle of its lower or upper edge
    height = np.hypot(box.width, box.height) / 8
    for share, right in zip(confidence, accuracy, strict=True):
        for y in np.linspace(share, right, 50):
            x, y = axes.transData.transform((100 * share, 100 * y)) - turned
            along, across = (x + y) / 2**0.5, (y - x) / 2**0.5
            across = across if name.get_verticalalignment() == "baseline" else -across
            assert abs(along) > box.width / 2**0.5 - height or not -1 < across < height
    for axis in (axes.xaxis, axes.yaxis):
        assert max(axis.get_majorticklocs()) == 100


def test_what_is_drawn_of_one_bin_is_said_in_full():
    bins = pandas.DataFrame([[0.2, 0.9, 30, 0.1, 0.3]], columns=BINS)
    found = Reliability(bins, np.array([0.1, 0.2]))
    job = "backbone.keep=2_dropout=0.5_head=dense512_dataset.small_per_class=100"
    title = "".join(draw_reliability(found, job).axes[0].get_title().split())
    assert title == f"{job}:{found.words}".replace(" ", "")
