"""Class folders: listing image files, reading their headers, decoding them, finding those that cannot be decoded."""

import functools
import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps

from graft.content import digests
from graft.data.layout import PARTS, FoundFile, Layout, names, read_layout, reasons
from graft.errors import GraftError
from graft.files import fingerprint

log = logging.getLogger("graft")

GRAY_MODES = ("1", "L", "I", "I;16", "I;16B", "I;16L")  # Pillow's modes without color
ORIENTATION = 0x0112  # EXIF's tag; values from 5 on exchange width and height
MAX_COUNTS = 10  # classes whose images a message counts one by one

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
        digests: of their contents, in the same order.
        ignored: number of other files by reason: a suffix, `in masks/`, `unreadable`.
    """

    root: Path
    files: tuple[ImageFile, ...]
    digests: tuple[str, ...]
    ignored: dict[str, int]

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
        """A name that follows from the files' relative names and contents, wherever the folder is."""
        relative = (os.fsencode(path.relative_to(self.root).as_posix()) for path in self.paths)
        return fingerprint(list(zip(relative, self.digests, strict=True)))

    def decoding_error(self) -> GraftError:
        """Decode every file, and return the error that names those that fail."""
        decodable = zip(self.paths, _on_threads(_decodable, self.paths), strict=True)
        return _unreadable_error(self.root, len(self.paths), [path for path, fine in decodable if not fine])


@functools.lru_cache(maxsize=4)  # a sweep's jobs share one listing
def list_folder(root: str, skip_unreadable: bool, memo: Path | None = None) -> Folder:
    """List the class folders under a root, or under its folders for the parts, and say which files are ignored.

    Args:
        root: the folder.
        skip_unreadable: whether to leave out files that cannot be decoded.
        memo: file of known digests, as `content.digests` has it.

    Raises:
        GraftError: the layout has no clear meaning, a class has no images, or none to train on, or there are
            unreadable files that are not to be skipped.
    """
    where = Path(root).expanduser()
    if not where.is_dir():
        wrong = "is a file, not a folder; unpack it if it is an archive" if where.exists() else "is not a folder"
        raise GraftError(f"dataset.root={root} {wrong}; it should contain a folder of images for each class")
    layout = read_layout(where)
    found = [file for file in layout.files if not file.reason]
    ignored = [file.reason for file in layout.files if file.reason]
    if not found:
        raise GraftError(
            f"dataset.root={root} has no folders with images{_ignored_words(ignored)}; expected DIR/<class>/<image>, "
            "or DIR/train/<class>/<image> next to DIR/test or DIR/val"
        )
    files = _readable(where, found, skip_unreadable)
    _check_classes(where, files, layout)
    ignored += ["unreadable"] * (len(found) - len(files))
    counts = Counter(file.class_name for file in files)
    log.info("%s images of %s%s", f"{len(files):,}", _classes_words(counts), _ignored_words(ignored))
    return Folder(where, files, tuple(digests([file.path for file in files], memo)), dict(Counter(ignored)))


def _readable(root: Path, found: Sequence[FoundFile], skip_unreadable: bool) -> tuple[ImageFile, ...]:
    """Return the files with their headers, without those that cannot be read and are to be skipped."""
    paths = [file.path for file in found]
    headers = _on_threads(_header_if_decodable if skip_unreadable else _header, paths)
    unreadable = [path for path, header in zip(paths, headers, strict=True) if header is None]
    if unreadable and not skip_unreadable:
        raise _unreadable_error(root, len(paths), unreadable)
    if unreadable:
        log.warning("skipped %d unreadable files: %s", len(unreadable), names(root, unreadable))
    return tuple(
        ImageFile(file.path, file.class_name, file.part, header)
        for file, header in zip(found, headers, strict=True)
        if header is not None
    )


def _check_classes(root: Path, files: Sequence[ImageFile], layout: Layout) -> None:
    """Refuse parts and classes without images, and classes without images to train on."""
    found = {part: {file.class_name for file in files if file.part == part} for part in PARTS}
    for part, folder in layout.parts.items():
        if not found[part]:
            held = [file.reason for file in layout.files if file.part == part]
            raise GraftError(
                f"the folder {names(root, [folder])} under dataset.root={root} has no readable images "
                f"({_held_words(held)}); add or convert them, or remove it"
            )
    empty = [name for name in layout.classes if not any(name in classes for classes in found.values())]
    if empty:
        held = {name: [file.reason for file in layout.files if file.class_name == name] for name in empty}
        words = ", ".join(f"{name} ({_held_words(held[name])})" for name in empty)
        raise GraftError(
            f"classes without a readable image under dataset.root={root}: {words}; add images, convert them or "
            "install the package that reads them, or remove the folder"
        )
    untrained = sorted((found["val"] | found["test"]) - found["train"])
    if untrained:
        raise GraftError(
            f"classes without training images under dataset.root={root}: {', '.join(untrained)}; training images' "
            f"classes are {', '.join(sorted(found['train']))}: rename the folders that differ, or remove them"
        )


def _held_words(held: Sequence[str]) -> str:
    """Return in words what a class folder without readable images contains."""
    return reasons([reason or "unreadable" for reason in held]) or "an empty folder"


def _ignored_words(ignored: Sequence[str]) -> str:
    files = "1 file" if len(ignored) == 1 else f"{len(ignored):,} files"
    return f"; {files} ignored: {reasons(ignored)}" if ignored else ""


def _classes_words(counts: Counter[str]) -> str:
    """Return in words how many images the classes have: 3 classes (150, 140, 122)."""
    each = [f"{count:,}" for _, count in sorted(counts.items())]
    least, most = min(counts.values()), max(counts.values())
    return f"{len(counts)} classes ({', '.join(each) if len(each) <= MAX_COUNTS else f'{least:,} to {most:,} each'})"


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
    return GraftError(
        f"{len(unreadable)} of the {num_files:,} files under dataset.root={root} cannot be read as images: "
        f"{names(root, unreadable)}; repair or remove them, or skip them with dataset.skip_unreadable=true"
    )


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
