"""Predictions that tests of the room are made of, and how they are taken from a job's outcomes."""

from collections.abc import Sequence

import numpy as np
import pandas
import pytest

from graft.analysis.predictions import Predictions, predictions_of
from graft.results.outcomes import SplitOutcomes, StoredOutcomes, of_label

Said = Sequence[Sequence[int]]


def made(
    predicted: Said | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    classes: int = 3,
    probability: np.ndarray | None = None,
    groups: Sequence[str] | None = None,
    copies: bool = False,
) -> Predictions:
    """Return what trials, (trials, images), said of images that all of them tested."""
    said, label = np.array(predicted), np.atleast_2d(labels)
    if probability is None:
        probability = np.full((*said.shape, classes), 0.2 / (classes - 1))
        np.put_along_axis(probability, said[..., None], 0.8, 2)
    return taken(said, label, np.arange(len(label[0]))[None], probability, groups=groups, copies=copies)


def folded(
    predicted: np.ndarray, labels: np.ndarray, folds: int, repeats: int, seed: int = 0, failed: Sequence[int] = ()
) -> Predictions:
    """Return what trials on folds said: of images as `predicted`, (repeats, images), says."""
    random, classes = np.random.default_rng(seed), int(max(labels.max(), predicted.max())) + 1
    rows, seeds = [], []
    for repeat in range(repeats):
        fold = random.permutation(np.arange(len(labels)) % folds)
        for own in range(folds):
            if repeat * folds + own not in failed:
                seeds.append(repeat * folds + own)
                rows.append((predicted[repeat], np.flatnonzero(fold == own)))
    width = max(len(images) for _, images in rows)
    image, label, said = (np.zeros((len(rows), width), dtype=int) for _ in range(3))
    image[:] = -1
    for row, (predictions, images) in enumerate(rows):
        start = width - len(images)
        image[row, start:], label[row, start:] = images, labels[images]
        said[row, start:] = predictions[images]
    probability = np.full((*said.shape, classes), 0.2 / (classes - 1))
    np.put_along_axis(probability, said[..., None], 0.8, 2)
    return taken(said, label, image, probability, folds=folds, seeds=seeds)


def taken(
    said: np.ndarray,
    label: np.ndarray,
    image: np.ndarray,
    probability: np.ndarray,
    folds: int = 0,
    seeds: Sequence[int] | None = None,
    groups: Sequence[str] | None = None,
    copies: bool = False,
    whole: bool = True,
) -> Predictions:
    probability = probability.astype(np.float16)
    split = SplitOutcomes(said, label, image, of_label(probability, label), probability if whole else None)
    seeds = list(range(len(said)) if seeds is None else seeds)
    numbers = np.unique(image[image >= 0])
    names = [f"class{place}" for place in range(probability.shape[2])]
    of_image = dict(zip(image[image >= 0].tolist(), label[image >= 0].tolist(), strict=True))
    table = pandas.DataFrame(
        {
            "path": [f"{number}.png" for number in numbers],
            "hash": [f"h{number}" for number in numbers],
            "class": [names[of_image[number]] for number in numbers.tolist()],
            "group": [""] * len(numbers) if groups is None else list(groups),
        },
        index=pandas.Index(numbers, name="number"),
    )
    trials = [
        {"seed": seed, "accuracy": float(right.mean()), "loss": 1.0 if copies else 1.0 + seed}
        for seed, right in zip(seeds, np.asarray(split.correct), strict=True)
    ]
    result = {"trials": trials, "images": {}, "config": {"dataset": {"folds": folds or None}}}
    return predictions_of(result, StoredOutcomes(seeds, names, 1, table, split))


def test_trials_that_share_images_have_a_column_for_each():
    found = made([[0, 1, 2], [0, 0, 1]], [0, 1, 2])
    assert found.tested.all()
    assert found.wrong.tolist() == [[False, False, False], [False, True, True]]
    assert found.runs.tolist() == [0, 1]
    assert found.complete.all()
    confidence, mean = found.confidence(), found.mean_probability()
    assert confidence is not None
    assert mean is not None
    np.testing.assert_allclose(confidence, 0.8, atol=1e-3)
    np.testing.assert_allclose(mean[1], [0.45, 0.45, 0.1], atol=1e-3)
    of_last = found.probability_of(np.array([2, 2, 2]))
    assert of_last is not None
    np.testing.assert_allclose(of_last, [[0.1, 0.1, 0.8], [0.1, 0.1, 0.1]], atol=1e-3)


def test_folds_of_a_repeat_are_one_run():
    labels = np.arange(11) % 3
    predicted = np.stack([labels, (labels + 1) % 3])
    found = folded(predicted, labels, 3, 2)
    assert found.predicted.shape == (6, 11)
    assert found.tested.sum() == 22
    assert found.runs.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.complete.tolist() == [True, True]
    for trial, image in np.argwhere(found.tested):
        assert found.predicted[trial, image] == predicted[trial // 3, image]
    confidence, mean = found.confidence(), found.mean_probability()
    assert confidence is not None
    assert mean is not None
    assert (np.isnan(confidence) == ~found.tested).all()
    np.testing.assert_allclose(mean.sum(1), 1, atol=1e-2)
    np.testing.assert_allclose(mean[np.arange(11), labels], 0.45, atol=1e-3)
    own = found.probability_of(labels)
    assert own is not None
    np.testing.assert_allclose(own[found.tested], found.of_label[found.tested], atol=1e-6)
    assert folded(predicted, labels, 3, 2, failed=[4]).complete.tolist() == [True, False]


def test_images_of_trials_own_without_folds_are_refused():
    labels = np.arange(4) % 2
    with pytest.raises(ValueError, match="its trials were tested on different images"):
        taken(np.zeros((2, 2), int), labels.reshape(2, 2), np.arange(4).reshape(2, 2), np.full((2, 2, 2), 0.5))


def test_probabilities_that_are_not_stored_are_none():
    found = made([[0, 1]], [0, 1])
    bare = taken(found.predicted, found.labels[None], np.arange(2)[None], np.full((1, 2, 3), 1 / 3), whole=False)
    assert bare.confidence() is None
    assert bare.mean_probability() is None
    assert bare.probability_of(np.array([0, 0])) is None
