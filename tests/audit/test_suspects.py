"""Label suspects: flipped labels are found, and nothing learns from an image or its copy."""

import importlib.util

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from graft.analysis.doubts import likely_wrong
from graft.audit.suspects import Judged, out_of_fold
from graft.audit.vectors import Vectors

needs_cleanlab = pytest.mark.skipif(importlib.util.find_spec("cleanlab") is None, reason="cleanlab is an extra")


def clusters(num_classes: int, each: int, spread: float = 0.3) -> tuple[Vectors, np.ndarray]:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(num_classes), each)
    values = np.eye(num_classes, 8)[labels] + spread * random.standard_normal((len(labels), 8)) / 8**0.5
    return Vectors(values.astype(np.float32), torch.from_numpy(values), True, "clusters"), labels


@needs_cleanlab
def test_flipped_labels_are_suspects_worst_first():
    vectors, labels = clusters(4, 100)
    flipped = np.arange(0, 400, 20)
    given = labels.copy()
    given[flipped] = (given[flipped] + 1) % 4
    judged = out_of_fold(vectors, given, np.arange(400), 5)
    assert judged is not None
    assert judged.accuracy == pytest.approx(0.95, abs=0.02)
    found = likely_wrong(judged.labels, judged.probabilities)
    assert found is not None
    places, scores = judged.places[found[0]], found[1]
    assert (np.diff(scores) >= 0).all()
    assert np.isin(places, flipped).mean() > 0.9
    assert len(np.intersect1d(places, flipped)) >= 16
    right = judged.probabilities[found[0]].argmax(1) == labels[places]
    assert right.mean() > 0.9


def test_a_copy_does_not_confirm_a_wrong_label():
    vectors, labels = clusters(2, 30, spread=0.05)
    labels = np.append(labels, [1] * 5)  # five copies of image 0 with a wrong label, as it has
    labels[0] = 1
    values = np.concatenate([vectors.values, np.repeat(vectors.values[:1], 5, 0)])
    same = np.append(np.arange(60), [0] * 5)
    judged = out_of_fold(Vectors(values, torch.from_numpy(values), True, ""), labels, same, 5)
    assert judged is not None
    copies = np.isin(judged.places, [0, 60, 61, 62, 63, 64])
    assert copies.sum() == 6
    assert np.ptp(judged.probabilities[copies], axis=0).max() < 1e-5  # one fold judged them
    assert judged.probabilities[copies, 0].min() > 0.5


def test_an_image_is_judged_by_the_others():
    vectors, labels = clusters(3, 4, spread=1)
    judged = out_of_fold(vectors, labels, np.arange(12), 4)
    assert judged is not None
    classifier = LogisticRegression(max_iter=300)
    matches = 0
    for place in range(12):  # its fold is unknown here, but holds one image of each class
        for one in np.flatnonzero(labels == (labels[place] + 1) % 3):
            for two in np.flatnonzero(labels == (labels[place] + 2) % 3):
                others = np.setdiff1d(np.arange(12), np.array([place, one, two]))
                said = classifier.fit(vectors.values[others], labels[others]).predict_proba(vectors.values[[place]])[0]
                matches += np.allclose(said, judged.probabilities[place], atol=1e-5)
    assert matches == 12


def test_classes_of_a_single_image_are_not_judged():
    vectors, labels = clusters(3, 10)
    labels = np.append(labels, [7])  # a label without others
    values = np.concatenate([vectors.values, np.ones((1, 8), np.float32)])
    judged = out_of_fold(Vectors(values, torch.from_numpy(values), True, ""), labels, np.arange(31), 5)
    assert judged is not None
    assert judged.places.tolist() == list(range(30))
    assert judged.probabilities.shape == (30, 8)
    assert out_of_fold(vectors, np.arange(30), np.arange(30), 5) is None
    assert out_of_fold(vectors, np.zeros(30, int), np.arange(30), 5) is None


def test_groups_with_several_classes_are_judged_by_other_groups():
    labels = np.tile([0, 1], 60)
    patients = np.repeat(np.arange(12), 10)
    random = np.random.default_rng(0)
    values = np.zeros((120, 14), np.float32)
    values[np.arange(120), patients] = 3  # each patient is easily known, and says nothing of the class
    values[:, 12] = labels + 0.1 * random.standard_normal(120)
    judged = out_of_fold(Vectors(values, torch.from_numpy(values), True, ""), labels, patients, 5)
    assert judged is not None
    assert judged.places.tolist() == list(range(120))
    assert judged.accuracy > 0.95
    labels[:5] = 2  # a class of one group is not judged
    judged = out_of_fold(Vectors(values, torch.from_numpy(values), True, ""), labels, patients, 5)
    assert judged is not None
    assert judged.places.tolist() == list(range(5, 120))


def test_two_classes_of_one_group_are_not_judged():
    vectors, labels = clusters(2, 10)
    assert out_of_fold(vectors, labels, np.zeros(20, int), 5) is None
    assert out_of_fold(vectors, labels, labels, 5) is None


def test_folds_are_fewer_where_no_class_has_as_many_images():
    vectors, labels = clusters(3, 3)
    judged = out_of_fold(vectors, labels, np.arange(9), 5)
    assert judged is not None
    assert len(judged.places) == 9
    assert judged.probabilities.sum(1) == pytest.approx(1)


def test_confusions_are_counted_as_by_hand():
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    said = np.array([0, 1, 1, 2, 1, 0, 2])
    judged = Judged(np.arange(7), labels, np.eye(3)[said])
    assert judged.confusions() == [(0, 1, 2, 0.5), (1, 0, 1, 0.5), (0, 2, 1, 0.25)]
    assert judged.accuracy == pytest.approx((1 / 4 + 1 / 2 + 1) / 3)
