"""Images of groups, in memory."""

from collections.abc import Sequence
from typing import Any

import torch

from graft.data.dataset import Dataset
from graft.data.images import InMemoryImages


class Given(Dataset):
    """Images in memory with a label, a part and a group each."""

    def __init__(self, labels: Sequence[int], groups: Sequence[str], parts: str = "", **settings: Any):
        self.of_images = (list(labels), list(groups), parts or "t" * len(labels))
        super().__init__(**{"big": "rest", "small": "all", "small_per_class": 1, **settings})

    def load(self, where) -> InMemoryImages:
        labels, groups, parts = self.of_images
        test, val = (torch.tensor([part == each for part in parts]) for each in "ev")
        pixels = torch.arange(len(labels)).view(-1, 1, 1, 1).byte()
        names = tuple("abcdef"[: max(labels) + 1])
        return InMemoryImages(torch.tensor(labels), test, val, names, pixels, groups=tuple(groups))


def groups_of(data: Given, indices: torch.Tensor) -> set[str]:
    return {data.of_images[1][index] for index in indices.tolist()}


def patients(count: int, size: int = 6, classes: int = 2) -> tuple[list[int], list[str]]:
    """Return images of patients, each with all classes."""
    labels = [image % classes for _ in range(count) for image in range(size)]
    return labels, [f"patient{number}" for number in range(count) for _ in range(size)]
