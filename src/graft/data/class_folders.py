"""Class folders: which image files there are, what their headers say, and which of them cannot be read."""

import functools
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from graft.errors import GraftError
from graft.files import fingerprint

log = logging.getLogger("graft")

GREY = ("1", "L", "I", "I;16", "I;16B", "I;16L")  # Pillow's modes without colour
ORIENTATION = 0x0112  # EXIF's tag; from 5 on, width and height change places
SHOWN = 10  # unreadable files that a message names


@dataclass(frozen=True, eq=False)
class Folder:
    """Image files in class folders.

    Attributes:
        root: the folder.
        paths: the files, class by class, in the order of their names.
        classes: each file's class.
        parts: each file's part, `train`, `val` or `test`; all of them `train` where there are no such folders.
        headers: each file's height and width as it is seen, and whether it has colours.
    """

    root: Path
    paths: tuple[Path, ...]
    classes: tuple[str, ...]
    parts: tuple[str, ...]
    headers: tuple[tuple[int, int, bool], ...]

    @functools.cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """The different heights and widths."""
        return sorted({(height, width) for height, width, _ in self.headers})

    @functools.cached_property
    def colour(self) -> bool:
        """Whether any file has colours."""
        return any(colour for *_, colour in self.headers)

    @functools.cached_property
    def identity(self) -> str:
        """A name that changes when a file is added, removed, renamed, rewritten or touched."""
        stats = [path.stat() for path in self.paths]
        names = [str(path.relative_to(self.root)) for path in self.paths]
        return fingerprint([(name, stat.st_size, stat.st_mtime_ns) for name, stat in zip(names, stats, strict=True)])

    def undecodable(self) -> list[Path]:
        """Decode every file and return those that fail."""
        return [path for path, fine in zip(self.paths, _on_threads(_decodable, self.paths), strict=True) if not fine]

    def without(self, left_out: Sequence[Path]) -> "Folder":
        """Return the folder without some of its files."""
        names = set(left_out)
        keep = [path not in names for path in self.paths]
        columns = (self.paths, self.classes, self.parts, self.headers)
        paths, classes, parts, headers = (
            tuple(value for value, kept in zip(column, keep, strict=True) if kept) for column in columns
        )
        return replace(self, paths=paths, classes=classes, parts=parts, headers=headers)

    def refusal(self, unreadable: Sequence[Path]) -> GraftError:
        """Return the error that names unreadable files."""
        return GraftError(
            f"{len(unreadable)} of the {len(self.paths):,} files under dataset.root={self.root} cannot be read as "
            f"images: {_listed(self.root, unreadable)}; mend or remove them, or leave them out with "
            "dataset.skip_unreadable=true"
        )


@functools.lru_cache(maxsize=4)  # the jobs of a sweep share what one of them has listed
def list_folder(root: str, skip_unreadable: bool) -> Folder:
    """List the class folders under a root, or under its folders `train`, `val` and `test`.

    Raises:
        GraftError: there are no class folders with images, or files that cannot be read.
    """
    where = Path(root).expanduser()
    if not where.is_dir():
        raise GraftError(f"dataset.root={root} is not a folder; it should hold a folder of images for each class")
    parts = {folder.name: folder for folder in _folders(where)}
    if not ("train" in parts and parts.keys() & {"val", "test"} and parts.keys() <= {"train", "val", "test"}):
        parts = {"train": where}
    suffixes = {suffix for suffix, form in Image.registered_extensions().items() if form in Image.OPEN}
    files = [
        (path, folder.name, part)
        for part in sorted(parts, key=["train", "val", "test"].index)
        for folder in _folders(parts[part])
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in suffixes and not path.name.startswith(".")
    ]
    if not files:
        raise GraftError(
            f"dataset.root={root} holds no folders with images; expected DIR/<class>/<image>, or "
            "DIR/train/<class>/<image> with DIR/test or DIR/val beside it"
        )
    paths, classes, of_part = zip(*files, strict=True)
    headers = _on_threads(_header, paths)
    unreadable = [path for path, header in zip(paths, headers, strict=True) if header is None]
    found = Folder(where, paths, classes, of_part, tuple(headers))  # type: ignore[arg-type]
    if skip_unreadable:
        unreadable = found.undecodable()
        if unreadable:
            log.warning("left out %d unreadable files: %s", len(unreadable), _listed(where, unreadable))
    elif unreadable:
        raise found.refusal(unreadable)
    return found.without(unreadable)


def _folders(where: Path) -> list[Path]:
    return sorted(path for path in where.iterdir() if path.is_dir() and not path.name.startswith("."))


def _on_threads(function, paths: Sequence[Path]) -> list:
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(function, paths))


def _header(path: Path) -> tuple[int, int, bool] | None:
    try:
        with Image.open(path) as image:
            width, height = image.size
            if image.getexif().get(ORIENTATION, 1) >= 5:
                width, height = height, width
            colour = image.mode not in GREY
    except Exception:  # what Pillow raises on a broken file depends on the format
        return None
    return height, width, colour


def _decodable(path: Path) -> bool:
    try:
        decode(path, (3, 8, 8))
    except Exception:
        return False
    return True


def decode(path: Path, shape: tuple[int, int, int]) -> torch.Tensor:
    """Read an image as bytes of a shape, (channels, height, width): upright, resized to cover it, cut to its middle."""
    channels, height, width = shape
    with Image.open(path) as image:
        image.draft(None, (max(height, width), max(height, width)))  # JPEG: decodes no more pixels than it must
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "F":
            raise ValueError("floating-point pixels, whose white could be anything")
        if upright.mode.startswith("I"):  # 16 bits, of which Pillow would keep the lower 8
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        upright = upright.convert("RGB" if channels == 3 else "L")
        if upright.size != (width, height):
            upright = ImageOps.fit(upright, (width, height), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(upright))
    return pixels.permute(2, 0, 1) if channels == 3 else pixels[None]


def _listed(root: Path, paths: Sequence[Path]) -> str:
    names = [str(path.relative_to(root)) for path in paths[:SHOWN]]
    return ", ".join(names) + (f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else "")
