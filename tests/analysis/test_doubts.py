import importlib.util

import numpy as np
import pytest
from made_predictions import folded, made, taken

from graft.analysis import doubts
from graft.analysis.doubts import label_suspects, likely_wrong
from graft.analysis.predictions import Predictions

needs_cleanlab = pytest.mark.skipif(importlib.util.find_spec("cleanlab") is None, reason="cleanlab is an extra")
FLIPPED = [3, 30, 61]


def flipped(whole: bool = True, sure: float = 0.9) -> Predictions:
    """Return ten trials that are right on nearly all images, some of which have another label; others are hard."""
    random, truth = np.random.default_rng(0), np.arange(90) % 3
    labels = truth.copy()
    labels[FLIPPED] = (labels[FLIPPED] + 1) % 3
    said = np.tile(truth, (10, 1))
    said[:7, 50:55] = (said[:7, 50:55] + 1) % 3  # of hard images most trials say another class, but not nearly all
    probability = random.random((10, 90, 3)) * 0.02
    np.put_along_axis(probability, said[..., None], sure, 2)
    probability /= probability.sum(2, keepdims=True)
    return taken(said, labels[None], np.arange(90)[None], probability, whole=whole)


@pytest.mark.parametrize("whole", [True, False])
def test_images_of_another_label_are_suspects_and_hard_ones_are_not(whole: bool):
    table, words = label_suspects(flipped(whole))
    assert sorted(table["number"]) == FLIPPED
    assert table["wrong"].tolist() == [1, 1, 1]
    assert "taken for one other class by at least 90 % of the trials, 3 or more" in words
    assert ("doubted by cleanlab, too" in words) == (whole and importlib.util.find_spec("cleanlab") is not None)


def test_without_cleanlab_the_criterion_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doubts.importlib.util, "find_spec", lambda name: None)
    table, words = label_suspects(flipped())
    assert sorted(table["number"]) == FLIPPED
    assert "cleanlab" not in words


def test_trials_that_are_unsure_or_say_different_classes_suspect_nothing():
    probability = np.tile([0.3, 0.4, 0.3], (10, 90, 1))
    labels = np.zeros(90, int)
    assert len(label_suspects(made(np.ones((10, 90), int), labels, probability=probability))[0]) == 0
    said = np.tile(np.arange(10)[:, None] % 2 + 1, (1, 90))  # half of the trials say class 1, half class 2
    assert len(label_suspects(made(said, labels))[0]) == 0


def test_fewer_than_three_trials_suspect_nothing_and_say_so():
    labels = np.zeros(9, int)
    for trials in (1, 2):
        table, words = label_suspects(made([[1] * 9] * trials, labels))
        assert len(table) == 0
        assert words == f"one needs 3 trials that did not see the image, got {trials}"
    table, words = label_suspects(made(np.ones((4, 9), int), labels, copies=True))
    assert len(table) == 0
    assert words.endswith("got 1 (4 trials are one computation and count as one)")


def test_each_suspect_was_tested_by_three_trials_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doubts.importlib.util, "find_spec", lambda name: None)
    labels = np.arange(20) % 2
    said = np.tile(1 - labels, (3, 1))
    found = folded(said, labels, 5, 3, failed=[0, 7])
    tests = found.tested.sum(0)
    assert {1, 2} & set(tests)
    table, words = label_suspects(found)
    assert sorted(table["number"]) == np.flatnonzero(tests == 3).tolist()
    assert f"({(tests == 3).sum()} images had 3 trials)" in words


def test_no_mistakes_and_one_class_have_no_suspects():
    assert len(label_suspects(made([[0, 1]], [0, 1]))[0]) == 0
    assert len(label_suspects(made([[0]], [0]))[0]) == 0
    assert likely_wrong(np.zeros(4, int), np.full((4, 2), 0.5)) is None


@needs_cleanlab
def test_cleanlab_s_scores_are_the_labels_probabilities():
    found = flipped()
    probabilities = found.mean_probability()
    assert probabilities is not None
    suspects = likely_wrong(found.labels, probabilities)
    assert suspects is not None
    places, scores = suspects
    assert set(FLIPPED) <= set(places.tolist())
    np.testing.assert_allclose(scores, probabilities[places, found.labels[places]])
