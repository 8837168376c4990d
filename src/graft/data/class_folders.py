"""Class folders: listing image files, reading their headers, decoding them, finding those that cannot be decoded."""

import functools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps

from graft.errors import GraftError
from graft.files import fingerprint

log = logging.getLogger("graft")

GRAY_MODES = ("1", "L", "I", "I;16", "I;16B", "I;16L")  # Pillow's modes without color
ORIENTATION = 0x0112  # EXIF's tag; values from 5 on exchange width and height
PARTS = ("train", "val", "test")
MAX_NAMES = 10  # unreadable files that a message names

Result = TypeVar("Result")


class Header(NamedTuple):
    """What a file's header says of its image, upright."""

    height: int
    width: int
    color: bool


class ImageFile(NamedTuple):
    """An image file: its class is the name of its folder, its part is `train`, `val` or `test`."""

    path: Path
    class_name: str
    part: str
    header: Header


@dataclass(frozen=True, eq=False)
class Folder:
    """Image files in class folders.

    Attributes:
        root: the folder.
        files: its image files by part, class and name. Without folders for the parts all of them are `train`.
    """

    root: Path
    files: tuple[ImageFile, ...]

    @functools.cached_property
    def paths(self) -> list[Path]:
        """The files' paths."""
        return [file.path for file in self.files]

    @functools.cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """The different heights and widths."""
        return sorted({(file.header.height, file.header.width) for file in self.files})

    @functools.cached_property
    def color(self) -> bool:
        """Whether any image has color."""
        return any(file.header.color for file in self.files)

    @functools.cached_property
    def identity(self) -> str:
        """A name that changes when a file is added, removed, renamed, rewritten or touched."""
        stats = [(str(file.path.relative_to(self.root)), file.path.stat()) for file in self.files]
        return fingerprint([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])

    def decoding_error(self) -> GraftError:
        """Decode every file, and return the error that names those that fail."""
        decodable = zip(self.paths, _on_threads(_decodable, self.paths), strict=True)
        return _unreadable_error(self.root, len(self.paths), [path for path, fine in decodable if not fine])


@functools.lru_cache(maxsize=4)  # a sweep's jobs share one listing
def list_folder(root: str, skip_unreadable: bool) -> Folder:
    """List the class folders under a root, or under its folders `train`, `val` and `test`.

    Raises:
        GraftError: there are no class folders with images, or there are unreadable files that are not to be skipped.
    """
    where = Path(root).expanduser()
    if not where.is_dir():
        raise GraftError(f"dataset.root={root} is not a folder; it should contain a folder of images for each class")
    found = list(_image_files(where))
    if not found:
        raise GraftError(
            f"dataset.root={root} has no folders with images; expected DIR/<class>/<image>, or "
            "DIR/train/<class>/<image> next to DIR/test or DIR/val"
        )
    paths = [path for path, *_ in found]
    headers = _on_threads(_header_if_decodable if skip_unreadable else _header, paths)
    unreadable = [path for path, header in zip(paths, headers, strict=True) if header is None]
    if unreadable and (not skip_unreadable or len(unreadable) == len(paths)):
        raise _unreadable_error(where, len(paths), unreadable)
    if unreadable:
        log.warning("skipped %d unreadable files: %s", len(unreadable), _names(where, unreadable))
    files = (ImageFile(*file, header) for file, header in zip(found, headers, strict=True) if header is not None)
    return Folder(where, tuple(files))


def _image_files(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Find the path, class and part of each image file."""
    suffixes = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
    names = {folder.name for folder in _subfolders(root)}
    # Classes, too, may be named `train` or `test`; as parts these have no other folders beside them.
    has_parts = "train" in names and len(names) > 1 and names <= set(PARTS)
    parts = {part: root / part for part in PARTS if part in names} if has_parts else {"train": root}
    for part, where in parts.items():
        for folder in _subfolders(where):
            for path in sorted(folder.iterdir()):
                if path.suffix.lower() in suffixes and not path.name.startswith("."):
                    yield path, folder.name, part


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _on_threads(function: Callable[[Path], Result], paths: Sequence[Path]) -> list[Result]:
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(function, paths))


def _header(path: Path) -> Header | None:
    """Return a file's header, or None if it cannot be read."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            if image.getexif().get(ORIENTATION, 1) >= 5:
                width, height = height, width
            return Header(height, width, image.mode not in GRAY_MODES)
    except Exception:  # Pillow's exceptions for broken files depend on the format
        return None


def _header_if_decodable(path: Path) -> Header | None:
    return _header(path) if _decodable(path) else None


def _decodable(path: Path) -> bool:
    try:
        decode(path, (3, 8, 8))
    except Exception:
        return False
    return True


def _unreadable_error(root: Path, num_files: int, unreadable: Sequence[Path]) -> GraftError:
    skip = ", or skip them with dataset.skip_unreadable=true" if len(unreadable) < num_files else ""
    return GraftError(
        f"{len(unreadable)} of the {num_files:,} files under dataset.root={root} cannot be read as images: "
        f"{_names(root, unreadable)}; repair or remove them{skip}"
    )


def _names(root: Path, paths: Sequence[Path]) -> str:
    """Return the first few paths, relative to the root, and the number of the others."""
    names = ", ".join(str(path.relative_to(root)) for path in paths[:MAX_NAMES])
    return names if len(paths) <= MAX_NAMES else f"{names} and {len(paths) - MAX_NAMES} more"


def decode(path: Path, shape: tuple[int, int, int]) -> torch.Tensor:
    """Decode an image, upright, resized and center-cropped to a shape, (channels, height, width), as bytes.

    Raises:
        Exception: the file cannot be decoded; Pillow's exceptions depend on the format.
    """
    channels, height, width = shape
    with Image.open(path) as image:
        image.draft(None, (max(height, width), max(height, width)))  # a JPEG is decoded at the least sufficient size
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "F":
            raise ValueError("floating-point pixels have no defined range")
        if upright.mode.startswith("I"):  # 16 bits, of which Pillow's own conversion keeps the lower 8
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        upright = upright.convert("RGB" if channels == 3 else "L")
        if upright.size != (width, height):
            upright = ImageOps.fit(upright, (width, height), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(upright))
    return pixels.permute(2, 0, 1) if channels == 3 else pixels[None]
