"""The trivial control: whether the classes are told apart by the mean color, or by facts about files, alone."""

import warnings
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from graft.data.images import ImageFiles, Images
from graft.reading.shortcuts import Telling, cheap_facts, judged, told_by

LEAVES = 64  # of the tree that sees several facts together
LEAST = 5  # images of a leaf


def control(images: Images, indices: torch.Tensor, colors: np.ndarray, labels: np.ndarray) -> list[Telling]:
    """Return how well each fact, and several together, tell the classes apart, the best first.

    Args:
        images: the data set.
        indices: its images that can be read, (images,).
        colors: their mean colors, (images, 3).
        labels: their labels, (images,).
    """
    _, own = np.unique(labels, return_inverse=True)
    num_classes = int(own.max()) + 1
    facts: Mapping[str, np.ndarray] = {}
    if isinstance(images, ImageFiles):
        facts = cheap_facts([images.folder.files[index] for index in indices.tolist()])
    together = {"mean color": colors}
    if len(facts) > 1:
        together["combination of these facts"] = np.stack(list(facts.values()), 1)
    number = len(facts) + len(together)
    told = [told_by(name, values, own, num_classes, number) for name, values in facts.items()]
    told += [judged(name, _by_tree(values, own), own, num_classes, number) for name, values in together.items()]
    known = np.unique(labels)
    named = [replace(each, shortcut=_label(each, known)) for each in told]
    return sorted(named, key=lambda each: (each.shortcut is None, -each.accuracy))


def _label(told: Telling, known: np.ndarray) -> int | None:
    return None if told.shortcut is None else int(known[told.shortcut])


def _by_tree(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return what a small tree says of images that it has not learned from, (images,)."""
    folds = min(5, int(np.bincount(labels).max()))
    if folds < 2:
        return np.zeros_like(labels)
    tree = DecisionTreeClassifier(
        max_leaf_nodes=LEAVES, min_samples_leaf=LEAST, class_weight="balanced", random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes with fewer images than folds
        splitter = StratifiedKFold(folds, shuffle=True, random_state=0)
        return np.asarray(cross_val_predict(tree, values, labels, cv=splitter))
