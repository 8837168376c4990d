"""Class folders: listing image files, reading their headers, finding those that cannot be decoded."""

import functools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from PIL import Image

from graft.data.decode import Header, failure, header, header_if_decodable, named, pixel_limit, unreadable_error
from graft.errors import GraftError
from graft.files import fingerprint

log = logging.getLogger("graft")

PARTS = ("train", "val", "test")

Result = TypeVar("Result")


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
        failures = zip(self.paths, _on_threads(failure, self.paths), strict=True)
        return unreadable_error(self.root, len(self.paths), {path: reason for path, reason in failures if reason})


@functools.lru_cache(maxsize=4)  # a sweep's jobs share one listing
def list_folder(root: str, skip_unreadable: bool, max_pixels: int | None = None) -> Folder:
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
    with pixel_limit(max_pixels):
        headers = _on_threads(header_if_decodable if skip_unreadable else header, paths)
    unreadable = {path: reason for path, reason in zip(paths, headers, strict=True) if isinstance(reason, str)}
    if unreadable and not skip_unreadable:
        raise unreadable_error(where, len(paths), unreadable)
    if unreadable:
        log.warning("skipped %d unreadable files: %s", len(unreadable), named(where, unreadable))
    files = (ImageFile(*file, read) for file, read in zip(found, headers, strict=True) if isinstance(read, Header))
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
