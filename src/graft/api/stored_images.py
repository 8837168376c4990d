"""Images in memory as files of the cache: arrays in one file, pictures of several sizes in folders."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from graft.api.pixels import PLAIN_MODES, as_bytes, png, warn_if_dark
from graft.data.load import ARRAYS
from graft.errors import GraftError
from graft.files import fingerprint, read_tensors, write_bytes, write_tensors
from graft.reading.layout import PART_NAME
from graft.reading.pictures import SYSTEM_FOLDERS

LONGEST_NAME = 255  # bytes of a file's or folder's name


def need_files(images: Any) -> bool:
    """Return whether images are pictures of several sizes or modes, or of a mode that Graft's rules turn into bytes."""
    if not isinstance(images, Sequence) or not images or not all(isinstance(each, Image.Image) for each in images):
        return False
    several = len({(each.size, each.mode) for each in images}) > 1
    return several or images[0].mode not in PLAIN_MODES or any(each.has_transparency_data for each in images)


def store_arrays(
    labeled: Sequence[tuple[str, Any, list[str]]], cache: Path, name: str | None = None, groups: Sequence[str] = ()
) -> Path:
    """Store images of one shape for `dataset=arrays`, once for each content; return their folder.

    Args:
        labeled: of each part, `train` or `test`: its name, images and labels.
        cache: the folder of such folders.
        name: the first part of this one's name.
        groups: of all images, in their order; none: each image stands for itself.
    """
    pixels = [as_bytes(images) for _, images, _ in labeled]
    warn_if_dark(max(int(part.max()) for part in pixels))
    if len({part.shape[1:] for part in pixels}) > 1:
        shapes = " and ".join(str(tuple(part.shape[1:])) for part in pixels)
        raise GraftError(f"training and test images must have one shape, got {shapes}")
    names = [label for _, _, labels in labeled for label in labels]
    classes = sorted(set(names), key=lambda each: (not each.isdecimal(), int(each) if each.isdecimal() else 0, each))
    tensors = {
        "pixels": torch.cat(pixels),
        "labels": torch.tensor([classes.index(label) for label in names]),
        "test": torch.cat([torch.full([len(labels)], part == "test") for part, _, labels in labeled]),
    }
    content = [tensors, classes, *([list(groups)] if groups else [])]
    folder = cache / f"{name or 'arrays'}-{fingerprint(*content)[:16]}"
    if read_tensors(folder / ARRAYS) is None:  # missing, or damaged
        further = {"groups": json.dumps(list(groups))} if groups else {}
        write_tensors(folder / ARRAYS, tensors, {"classes": json.dumps(classes), **further})
    return folder


def store_pictures(labeled: Sequence[tuple[str, Any, list[str]]], cache: Path, name: str | None) -> Path:
    """Store pictures as class folders of PNG files, once for each content; return their folder."""
    _check_folder_names({label for _, _, labels in labeled for label in labels}, several=len(labeled) > 1)
    files = {
        path: png(image if isinstance(image, Image.Image) else Image.fromarray(np.asarray(image)))
        for path, _, image in file_names(labeled)
    }
    content = [(path, hashlib.sha256(each).hexdigest()) for path, each in files.items()]
    folder = cache / f"{name or 'pictures'}-{fingerprint(content)[:16]}"
    for path, each in files.items():
        if not (folder / path).exists():
            write_bytes(folder / path, each)
    return folder


def _check_folder_names(classes: set[str], several: bool) -> None:
    """Refuse classes whose folders would not be read as classes.

    Args:
        classes: the names of all classes.
        several: whether training and test images are in folders of their own.

    Raises:
        GraftError: a class cannot be the name of a folder, or all are names of parts.
    """
    for label in sorted(classes):
        hidden = label.startswith(".") or label.lower() in SYSTEM_FOLDERS
        if hidden or set(label) & set("/\\\0") or len(os.fsencode(label)) > LONGEST_NAME:
            raise GraftError(f"the class {label!r} cannot be the name of a folder; try another name")
    if not several and all(PART_NAME.fullmatch(label) for label in classes):
        raise GraftError(
            f"the classes {' and '.join(sorted(classes))} would be taken for parts of a data set; try other names, "
            f"such as {min(classes)}_class, or test=(images, labels) if they are parts"
        )


def file_names(labeled: Sequence[tuple[str, Any, list[str]]]) -> list[tuple[str, str, Any]]:
    """Return the path of each picture's file, its class and the picture."""
    return [
        (f"{part + '/' if len(labeled) > 1 else ''}{label}/{number:06}.png", label, image)
        for part, images, labels in labeled
        for number, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
