"""The summary of an audit: why something is not judged."""

from pathlib import Path

import numpy as np
import torch

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
