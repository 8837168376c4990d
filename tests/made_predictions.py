"""Predictions made up for tests, and taken from a job's outcomes as reports take them."""

from collections.abc import Sequence

import numpy as np
import pandas

from graft.analysis.predictions import Predictions, predictions_of
from graft.results.outcomes import SplitOutcomes, StoredOutcomes, of_label

Said = Sequence[Sequence[int]]


def made(
    predicted: Said | Sequence[np.ndarray] | np.ndarray,
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
