"""Images of groups, in memory."""

from collections.abc import Sequence
from typing import Any

import torch

from graft.data.class_choice import Domains
from graft.data.dataset import Dataset
from graft.data.images import InMemoryImages


class Given(Dataset):
    """Images in memory with a label, a group and, if they are given, a part (t, v or e) and a domain each.

    Those of the domain A are the small split's.
    """

    def __init__(
        self, labels: Sequence[int], groups: Sequence[str], parts: str = "", domains: str = "", **settings: Any
    ):
        self.of_images, self.of_domains = (list(labels), list(groups), parts or "t" * len(labels)), tuple(domains)
        self.domains = Domains("site", "A") if domains else Domains()
        super().__init__(**{"big": "rest", "small": "all", "small_per_class": 1, **settings})

    def load(self, where) -> InMemoryImages:
        labels, groups, parts = self.of_images
        test, val = (torch.tensor([part == each for part in parts]) for each in "ev")
        pixels = torch.arange(len(labels)).view(-1, 1, 1, 1).byte()
        names = tuple("abcdef"[: max(labels) + 1])
        about = {"groups": tuple(groups), "domains": self.of_domains}
        return InMemoryImages(torch.tensor(labels), test, val, names, pixels, **about)


def groups_of(data: Given, indices: torch.Tensor) -> set[str]:
    return {data.of_images[1][index] for index in indices.tolist()}


def patients(count: int, size: int = 6, classes: int = 2) -> tuple[list[int], list[str]]:
    """Return images of patients, each with all classes."""
    labels = [image % classes for _ in range(count) for image in range(size)]
    return labels, [f"patient{number}" for number in range(count) for _ in range(size)]
