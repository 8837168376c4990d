import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax

from graft.inference import calibration
from graft.inference.calibration import LEAST_IMAGES, calibrate, fit_temperature, scaled
from graft.results.unseen import UnseenImages

Given = tuple[np.ndarray, np.ndarray]


def labeled(probability: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw a true class from each image's probabilities, (images, classes)."""
    return (probability.cumsum(1) < random.random((len(probability), 1))).sum(1)


def unseen(probability: np.ndarray, label: np.ndarray, said: np.ndarray | None = None) -> UnseenImages:
    """Return what trials, (trials, images, classes), said of images; only where `said`, (trials, images), is true."""
    said = np.ones(probability.shape[:2], dtype=bool) if said is None else said
    trial, image = np.nonzero(said)
    given = probability[trial, image].astype(np.float16)
    return UnseenImages("validation image", trial, image, given[np.arange(len(image)), label[image]], given, label)


def ensemble(trials: int, images: int, noise: float, sharp: float) -> Given:
    """Return what trials with noise of their own say of images, (trials, images, classes), and the labels."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.5, (images, 4))
    each = sharp * (logits + random.normal(0, noise, (trials, images, 4)))
    return softmax(each, -1), labeled(softmax(logits, -1), random)


@pytest.mark.parametrize("temperature", [0.4, 1, 2.5])
def test_the_temperature_that_made_the_labels_is_found(temperature: float):
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (20_000, 5))
    label = labeled(softmax(logits / temperature, 1), random)
    assert fit_temperature(softmax(logits, 1), label) == pytest.approx(temperature, rel=0.03)
    halved = np.repeat(softmax(logits, 1), 2, 0), np.repeat(label, 2)
    weight = np.tile([1, 0], len(label))
    assert fit_temperature(halved[0], (halved[1] + 1 - weight) % 5, weight) == pytest.approx(temperature, rel=0.03)


def test_no_temperature_is_found_where_every_image_is_right():
    probability = np.tile([0.7, 0.2, 0.1], (100, 1))
    assert fit_temperature(probability, np.zeros(100, dtype=int)) is None
    found = calibrate(unseen(probability[None], np.zeros(100, dtype=int)), 1)
    assert found.temperature is None
    assert found.words == "no temperature from 0.05 to 20 fits the 100 validation images"


@pytest.mark.parametrize("temperature", [0.05, 0.7, 3, None])
def test_a_temperature_changes_no_order_of_classes(temperature: float | None):
    probability = torch.rand(1000, 6).softmax(1)
    probability[0] = torch.tensor([1.0, 0, 0, 0, 0, 0])
    found = scaled(probability, temperature)
    assert found.isfinite().all()
    torch.testing.assert_close(found.sum(1), torch.ones(1000))
    assert (found.argmax(1) == probability.argmax(1)).all()
    assert (torch.take_along_dim(found, probability.argsort(1), 1).diff(dim=1) >= 0).all()


def test_a_head_that_is_sure_of_everything_is_calibrated():
    random = np.random.default_rng(0)
    label = random.integers(0, 12, 200)
    said = np.where(random.random(200) < 0.9, label, (label + 1) % 12)
    logits = torch.zeros(200, 12).scatter_(1, torch.from_numpy(said)[:, None], 60.0)  # the others' are 1e-26
    probability = logits.softmax(1)
    assert scaled(probability, 3.5).max(1).values.mean() == pytest.approx(0.92, abs=0.01)  # of 1, without a limit
    found = calibrate(unseen(probability.numpy()[None], label), 1)
    sure = scaled(probability, found.temperature).max(1).values.mean()
    assert sure == pytest.approx((said == label).mean(), abs=0.01)
    loss, _ = (tuple(map(float, pair)) for pair in re.findall(r"from ([\d.]+) to ([\d.]+)", found.words))
    assert loss[1] < loss[0] / 2


def test_what_is_reported_is_measured_on_images_that_did_not_fit_it(monkeypatch: pytest.MonkeyPatch):
    probability, label = ensemble(1, 3000, 0, 2.5)
    found = calibrate(unseen(probability, label), 1)
    assert found.temperature == pytest.approx(2.5, rel=0.07)
    loss, error = (tuple(map(float, pair)) for pair in re.findall(r"from ([\d.]+) to ([\d.]+)", found.words))
    cooled = scaled(torch.from_numpy(probability[0]), 2.5).numpy()
    expected = [-np.log(each[np.arange(3000), label]).mean() for each in (probability[0], cooled)]
    assert loss == pytest.approx(expected, abs=0.005)
    assert error[0] > 10 > 4 > error[1]
    seen = []

    def fit(probability: np.ndarray, label: np.ndarray, weight: np.ndarray) -> float:
        seen.append({tuple(row) for row in probability})
        return 1.0 if len(seen) == 1 else 2.5  # the first is of all images

    monkeypatch.setattr(calibration, "fit_temperature", fit)
    again = calibrate(unseen(probability, label), 1)
    assert [len(each) for each in seen] == [3000, *[2400] * 5]
    assert set.intersection(*seen[1:]) == set()  # each image is left out once
    assert again.temperature == 1
    assert again.words.partition("from 3,000")[2] == found.words.partition("from 3,000")[2]


def test_the_mean_of_trials_has_its_own_temperature():
    probability, label = ensemble(10, 4000, 1.5, 1)
    one, mean = (
        calibrate(unseen(probability, label), 1).temperature,
        calibrate(unseen(probability, label), 10).temperature,
    )
    assert mean == pytest.approx(fit_temperature(probability.mean(0), label), rel=0.01)
    assert one == pytest.approx(fit_temperature(probability.reshape(-1, 4), np.tile(label, 10)), rel=0.01)
    assert mean is not None
    assert one is not None
    assert one > 1.5 * mean


@pytest.mark.parametrize("said_by", [2, 3])
def test_the_temperature_of_a_mean_over_more_trials_is_extrapolated(said_by: int):
    probability, label = ensemble(12, 4000, 1.5, 1)
    said = np.zeros((12, 4000), dtype=bool)
    said[(np.arange(4000) + 5 * np.arange(said_by)[:, None]) % 12, np.arange(4000)] = True
    found = calibrate(unseen(probability, label, said), 12)
    expected = fit_temperature(probability.mean(0), label)
    assert expected is not None
    assert found.temperature == pytest.approx(expected, rel=0.15)
    assert "extrapolated to the mean of 12 trials from 4,000 validation images: " in found.words
    of_few = fit_temperature(probability[:said_by].mean(0), label)
    assert of_few is not None
    assert found.temperature is not None
    assert abs(of_few - expected) > 3 * abs(found.temperature - expected)


def test_too_little_is_said_and_leaves_probabilities_alone():
    probability, label = ensemble(3, 90, 1, 1)
    assert calibrate("there is none", 1) == calibrate("there is none", 3)
    assert calibrate("there is none", 1).words == "there is none"
    few = unseen(probability[:1, : LEAST_IMAGES - 1], label[: LEAST_IMAGES - 1])
    assert calibrate(few, 1).words == "there are only 29 validation images, and a temperature needs 30"
    assert calibrate(unseen(probability[:1, :LEAST_IMAGES], label[:LEAST_IMAGES]), 1).temperature is not None
    said = np.arange(90) % 3 == np.arange(3)[:, None]  # each image by one trial, as one repeat of three folds
    once = calibrate(unseen(probability, label, said), 3)
    assert once.temperature is None
    assert "the mean of 3 trials has another temperature than one; try more trials" in once.words
    assert calibrate(unseen(probability, label, said), 1).temperature is not None
    of_label = replace(unseen(probability, label, said), probability=None)
    assert "true classes only" in calibrate(of_label, 1).words


def test_an_image_that_more_trials_saw_counts_no_more():
    probability, label = ensemble(6, 400, 1, 2)
    said = np.ones((6, 400), dtype=bool)
    said[1:, 200:] = False
    expected = fit_temperature(
        np.concatenate([probability[:, :200].reshape(-1, 4), probability[0, 200:]]),
        np.concatenate([np.tile(label[:200], 6), label[200:]]),
        np.concatenate([np.full(1200, 1 / 6), np.ones(200)]),
    )
    assert calibrate(unseen(probability, label, said), 1).temperature == pytest.approx(expected, rel=0.01)
