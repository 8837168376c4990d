import numpy as np
import pytest
from made_predictions import folded, made, taken

from graft.analysis.calibration_error import calibration_error
from graft.analysis.reliability import BINS, reliability


def test_errors_are_each_trial_s_and_bins_those_of_all_with_each_image_once():
    random = np.random.default_rng(0)
    sure = random.uniform(0.4, 1, (3, 200)).astype(np.float16)
    labels = np.zeros(200, int)
    said = (random.random((3, 200)) > sure).astype(int)
    probability = np.zeros((3, 200, 2))
    np.put_along_axis(probability, said[..., None], sure[..., None], 2)
    np.put_along_axis(probability, 1 - said[..., None], 1 - sure[..., None], 2)
    found = reliability(made(said, labels, 2, probability=probability))
    assert found is not None
    expected = [calibration_error(own.astype(float), one == 0) for own, one in zip(sure, said, strict=True)]
    np.testing.assert_allclose(found.errors, expected)
    assert found.mean == pytest.approx(np.mean(expected))
    assert list(found.bins) == BINS
    assert found.bins["images"].to_numpy().sum() == pytest.approx(200)
    assert len(found.bins) == 10
    assert "from one bin" not in found.words
    assert np.average(found.bins["accuracy"], weights=found.bins["images"]) == pytest.approx((said == 0).mean())


def test_folds_have_an_error_for_each_repeat():
    labels = np.arange(30) % 3
    predicted = np.stack([labels, np.where(np.arange(30) < 15, (labels + 1) % 3, labels)])
    found = reliability(folded(predicted, labels, 5, 2))
    assert found is not None
    np.testing.assert_allclose(found.errors, [0.2, 0.3], atol=1e-3)  # confidence 0.8; all right, half right
    assert found.bins["images"].to_numpy().sum() == pytest.approx(30)
    assert not found.bins.isna().to_numpy().any()


def test_one_image_has_one_bin_and_no_confidence_has_none():
    found = reliability(made([[1]], [0], 2))
    assert found is not None
    assert found.bins["accuracy"].tolist() == [0]
    assert found.words.endswith("from one bin: mean confidence against accuracy; two bins need 40 test images")
    many = np.zeros(60, int)
    alike = reliability(made(many[None], many, 2))
    assert alike is not None
    assert len(alike.bins) == 1
    assert alike.words.endswith("mean confidence against accuracy; all predictions have one confidence")
    said, image = np.zeros((1, 2), int), np.arange(2)[None]
    assert reliability(taken(said, said, image, np.full((1, 2, 2), 0.5), whole=False)) is None
