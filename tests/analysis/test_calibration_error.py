import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from graft.analysis.calibration_error import calibration_bins, calibration_error


def test_the_calibration_error_is_the_mean_gap_of_bins():
    correct = np.arange(100) % 10 < 8
    assert calibration_error(np.full(100, 0.8), correct) == pytest.approx(0)
    assert calibration_error(np.full(100, 0.9), correct) == pytest.approx(0.1)
    halves = np.repeat([0.6, 0.9], 20)
    assert calibration_error(halves, np.repeat([True, False], 20)) == pytest.approx((0.4 + 0.9) / 2)
    assert calibration_error(np.array([0.6, 0.9]), np.array([True, False])) == pytest.approx(0.25)  # one bin
    ordered = np.repeat([True, False], [80, 20])
    assert calibration_error(np.full(100, 0.8), ordered) == pytest.approx(0)  # the order of equal ones does not matter
    confidence, random = np.repeat([0.5, 0.9, 1.0], 40), np.random.default_rng(0)
    correct = random.random(120) < confidence - 0.1
    orders = [random.permutation(120) for _ in range(5)]
    assert len({round(calibration_error(confidence[order], correct[order]), 12) for order in orders}) == 1


def test_the_bins_are_those_of_scikit_learn_where_no_images_are_equally_confident():
    random = np.random.default_rng(1)
    confidence = random.random(300)
    correct = random.random(300) < confidence
    expected, means = calibration_curve(correct, confidence, n_bins=15, strategy="quantile")
    bins = calibration_bins(confidence, correct)
    np.testing.assert_allclose(bins[:, 0], means)
    np.testing.assert_allclose(bins[:, 1], expected)
    assert (bins[:, 2] == 20).all()
    assert (bins[:, 3] <= bins[:, 0]).all()
    assert (bins[:, 0] <= bins[:, 4]).all()
    assert calibration_error(confidence, correct) == pytest.approx(np.abs(expected - means).mean())


def test_one_image_is_one_bin_and_weights_count_an_image_once():
    assert calibration_bins(np.array([0.75]), np.array([False])).tolist() == [[0.75, 0, 1, 0.75, 0.75]]
    confidence, correct = np.linspace(0.3, 1, 40), np.arange(40) % 3 > 0
    once = calibration_bins(confidence, correct)
    thrice = calibration_bins(np.repeat(confidence, 3), np.repeat(correct, 3), np.full(120, 1 / 3))
    np.testing.assert_allclose(thrice, once)


def test_predictions_of_one_confidence_share_a_bin_and_the_error_is_that_of_all_bins():
    random = np.random.default_rng(2)
    confidence = np.concatenate([random.uniform(0.3, 0.9, 40), np.ones(260)])
    correct = random.random(300) < 0.8
    bins = calibration_bins(confidence, correct)
    assert bins[:, 2].tolist() == [20, 20, 260]
    assert bins[-1, [0, 1, 3, 4]].tolist() == [1, pytest.approx(correct[40:].mean()), 1, 1]
    expected = sum(
        abs(confidence[part].mean() - correct[part].mean()) * len(part)
        for part in np.split(np.argsort(confidence, kind="stable"), [20, 40])
    )
    assert calibration_error(confidence, correct) == pytest.approx(expected / 300)
