"""The trivial control: whether the classes are told apart by the mean color, or by facts about files, alone."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from sklearn.tree import DecisionTreeClassifier

from graft.audit.held_out import folds_of
from graft.data.images import ImageFiles, Images
from graft.reading.shortcuts import Telling, cheap_facts, judged, told_by

LEAVES = 64  # of the tree that sees several facts together
LEAST = 5  # images of a leaf
FOLDS = 5


def control(
    images: Images, indices: torch.Tensor, colors: np.ndarray, labels: np.ndarray, together: np.ndarray
) -> list[Telling]:
    """Return how well each fact, and several together, tell the classes apart, the best first.

    Args:
        images: the data set.
        indices: its images that can be read, (images,).
        colors: their mean colors, (images, 3).
        labels: their labels, (images,).
        together: a number for each, the same for copies and for images of one group, (images,).
    """
    known, own = np.unique(labels, return_inverse=True)
    num_classes = len(known)
    facts: Mapping[str, np.ndarray] = {}
    if isinstance(images, ImageFiles):
        facts = cheap_facts([images.folder.files[index] for index in indices.tolist()])
    joint = {"mean color": colors}
    if len(facts) > 1:
        joint["combination of these facts"] = np.stack(list(facts.values()), 1)
    number = len(facts) + len(joint)
    told = [told_by(name, values, own, num_classes, number, together) for name, values in facts.items()]
    for name, values in joint.items():
        told.append(judged(name, _by_tree(values, own, together), own, num_classes, number, together))
    named = [each if each.shortcut is None else replace(each, shortcut=int(known[each.shortcut])) for each in told]
    return sorted(named, key=lambda each: (each.shortcut is None, -each.accuracy))


def _by_tree(values: np.ndarray, labels: np.ndarray, together: np.ndarray) -> np.ndarray:
    """Return what a small tree says of images when it has learned from other groups, (images,)."""
    said, fold = np.zeros_like(labels), folds_of(labels, together, FOLDS)
    tree = DecisionTreeClassifier(
        max_leaf_nodes=LEAVES, min_samples_leaf=LEAST, class_weight="balanced", random_state=0
    )
    for number in np.unique(fold) if fold.any() else ():
        held_out = fold == number
        said[held_out] = tree.fit(values[~held_out], labels[~held_out]).predict(values[held_out])
    return said
