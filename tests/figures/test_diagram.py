import numpy as np
import pandas

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
