"""The summary of an audit: why something is not judged."""

from pathlib import Path

import numpy as np
import torch

from graft.audit.inventory import Inventory
from graft.audit.summary import Account
from graft.audit.vectors import Vectors
from graft.data.dataset import MNIST5k


def test_why_labels_are_not_judged(tmp_path: Path):
    account = Account(Inventory(MNIST5k([], "all")), tmp_path, 4)
    account.labels(Vectors(np.zeros((0, 1)), torch.zeros(0, 1), True, ""), np.arange(0), None, None)
    assert "two classes, with two different images, or groups, of each" in account.said["labels"]
