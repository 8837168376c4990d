"""The summary of an audit: why something is not judged."""

from pathlib import Path

import numpy as np
import torch

from graft.audit.copies import Pair
from graft.audit.inventory import Inventory
from graft.audit.summary import Account
from graft.audit.vectors import Vectors
from graft.data.dataset import MNIST5k
from graft.reading.shortcuts import Telling


def test_why_labels_are_not_judged(tmp_path: Path):
    account = Account(Inventory(MNIST5k([], "all")), tmp_path, 4)
    account.labels(Vectors(np.zeros((0, 1)), torch.zeros(0, 1), True, ""), np.arange(0), None, None)
    assert "two classes, with two different images, or groups, of each" in account.said["labels"]


def test_of_two_chosen_classes_a_shortcut_tells_one_from_the_other(tmp_path: Path):
    told = Telling("width", 0.9, 0.5, True, 7, 0.9, 0.1)
    for small, words in (([1, 7], "the width alone tells the classes apart"), ([1, 2, 7], "tells 7 from the other")):
        account = Account(Inventory(MNIST5k([], small)), tmp_path, 4)
        account.control([told])
        assert words in account.said["shortcuts"]


def test_altered_copies_are_a_finding_of_their_own_across_splits_first(tmp_path: Path):
    account = Account(Inventory(MNIST5k([], "all")), tmp_path, 4)
    splits, labels = account.images.splits, account.images.labels
    train = [place for place in range(5000) if splits[place] == "train"]
    test = next(place for place in range(5000) if splits[place] == "test")
    other_class = next(place for place in train if labels[place] != labels[train[0]])
    same_class = next(place for place in reversed(train) if labels[place] == labels[train[0]])
    inside, two, across = (Pair(train[0], other, 0.97) for other in (same_class, other_class, test))
    account.near_copies([Pair(train[1], train[2], 0.99)])
    account.altered_copies([inside, two, across])
    rows = [row for row in account.findings() if row.finding == "altered copy"]
    assert [{row.file, row.other} for row in rows] == [
        {account.images.names[place] for place in pair[:2]} for pair in (across, two, inside)
    ]
    assert rows[0].file == account.images.names[train[0]]  # rather left out than the test image
    assert account.said["altered copies"].startswith("3, 1 of them across splits, ")
    assert account.said["near copies"].startswith("1, 0 of them across splits, 0 of two classes: ")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["altered_copies.png", "near_copies.png"]


def test_a_class_named_across_is_no_split(tmp_path: Path):
    account = Account(Inventory(MNIST5k([], "all")), tmp_path, 4)
    account.images.classes = ("across", *account.images.classes[1:])
    places = [place for place, split in enumerate(account.images.splits) if split == "train"]
    first, second = (next(place for place in places if account.images.labels[place] == label) for label in (0, 1))
    account.near_copies([Pair(first, second, 0.99)])
    assert account.said["near copies"].startswith("1, 0 of them across splits, 1 of two classes: ")
