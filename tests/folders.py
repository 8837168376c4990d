"""Folders of small pictures, written for tests."""

import os
import time
from pathlib import Path

import numpy as np
from PIL import Image

from graft.data.load import image_folder
from graft.reading.class_folders import list_folder


def write_picture(path: Path, number: int) -> None:
    """Write a picture of 4x4 gray pixels; two numbers give different bytes, but files of equal size in BMP format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.frombuffer(number.to_bytes(16, "big"), dtype=np.uint8).reshape(4, 4)
    Image.fromarray(pixels).save(path)


def write_classes(root: Path, **counts: int) -> None:
    """Write some pictures of each class, all different; `train_cat=3` writes train/cat/00.bmp to 02.bmp."""
    number = 1000 * sum(1 for _ in root.rglob("*.bmp"))
    for name, count in counts.items():
        for index in range(count):
            number += 1
            write_picture(root / name.replace("_", "/") / f"{index:02}.bmp", number)


def settle(root: Path) -> None:
    """Date all files back, so that their digests are remembered, and forget all listings."""
    for path in root.rglob("*"):
        os.utime(path, (time.time() - 3600, time.time() - 3600))
    forget()


def forget() -> None:
    """Forget all listings, as a new process does."""
    list_folder.cache_clear()
    image_folder.cache_clear()
