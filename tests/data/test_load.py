import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision

from graft.data import load
from graft.data.dataset import CIFAR10, CIFAR100, Dataset
from graft.data.images import InMemoryImages


def write(path: Path, content: dict[str, Any]) -> list[str]:
    """Write a pickle as CIFAR's authors do, and return its name and checksum as torchvision lists them."""
    path.write_bytes(pickle.dumps(content))
    return [path.name, hashlib.md5(path.read_bytes()).hexdigest()]


def cifar(root: Path, monkeypatch: pytest.MonkeyPatch, name: str, key: str, classes: list[str]) -> np.ndarray:
    """Write a small data set in CIFAR's layout: 4 training images, 2 test images."""
    kind = getattr(torchvision.datasets, name)
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
    parts = {"train_list": (pixels[:4], [0, 1, 0, 1]), "test_list": (pixels[4:], [1, 0])}
    for part, (images, labels) in parts.items():
        content = {"data": images.reshape(len(images), -1), key: labels}
        monkeypatch.setattr(kind, part, [write(folder / part, content)])
    file, checksum = write(folder / "meta", {kind.meta["key"]: classes})
    monkeypatch.setattr(kind, "meta", {"filename": file, "key": kind.meta["key"], "md5": checksum})
    load.torchvision.cache_clear()
    return pixels


@pytest.mark.parametrize(
    ("name", "key", "dataset"), [("CIFAR10", "labels", CIFAR10), ("CIFAR100", "fine_labels", CIFAR100)]
)
def test_cifar_is_read_from_torchvision_s_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, key: str, dataset: type[Dataset]
):
    pixels = cifar(tmp_path, monkeypatch, name, key, ["frog", "dog"])
    data = dataset(big="rest", small="all", root=str(tmp_path), small_per_class=2, draw="first")
    assert isinstance(data.images, InMemoryImages)
    assert torch.equal(data.images.pixels, torch.from_numpy(pixels))
    assert data.images.labels.tolist() == [0, 1, 0, 1, 1, 0]
    assert data.class_names == ["frog", "dog"]
    assert data.test.tolist() == [4, 5]
    assert data.sample(0)[0].tolist() == [0, 2, 1, 3]
    assert data.big.numel() == 0
    load.torchvision.cache_clear()
