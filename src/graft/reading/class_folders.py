"""Class folders: listing image files, reading their headers, finding those that cannot be decoded."""

import functools
import logging
import math
import os
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from graft import content
from graft.bars import bar
from graft.errors import GraftError
from graft.files import fingerprint
from graft.nouns import counted
from graft.reading.counts import MAX_COUNTS, classes_words, ignored_words, reasons
from graft.reading.decode import Header, failure, pixel_limit, unreadable_error
from graft.reading.known_files import Known, Memory, know
from graft.reading.layout import PARTS, FoundFile, Layout, named, read_layout
from graft.reading.pictures import relative, shown

log = logging.getLogger("graft")


class ImageFile(NamedTuple):
    """An image file: its class, its part, `train`, `val` or `test`, its group and its domain, empty without any.

    `digest` is that of its bytes, whose number is `num_bytes`.
    """

    path: Path
    class_name: str
    part: str
    header: Header
    group: str = ""
    domain: str = ""
    digest: str = ""
    num_bytes: int = 0


@dataclass(frozen=True, eq=False)
class Folder:
    """Image files of classes: in class folders, or named by tables.

    Attributes:
        root: the folder from which files are named.
        files: its image files by part, class and name. Without folders for the parts all of them are `train`.
        ignored: number of other files by reason: a suffix, `in masks/`, `unreadable`.
        words: where the files come from, as it is typed.
        skipped: the files of a table's rows that are left out, `missing` or `unreadable`.
        left_out: the names of missing and unreadable files that `dataset.exclude` marks.
        listed: when the files began to be read, in nanoseconds.
    """

    root: Path
    files: tuple[ImageFile, ...]
    ignored: dict[str, int]
    words: str
    skipped: tuple[FoundFile, ...] = ()
    left_out: tuple[str, ...] = ()
    listed: int = 0

    @functools.cached_property
    def paths(self) -> list[Path]:
        """The files' paths."""
        return [file.path for file in self.files]

    @functools.cached_property
    def digests(self) -> list[str]:
        """The digests of the files' contents."""
        return [file.digest for file in self.files]

    @functools.cached_property
    def names(self) -> list[str]:
        """The files' names, relative to the root, with slashes."""
        return relative(self.root, self.paths)

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
        return fingerprint(list(zip(map(os.fsencode, self.names), self.digests, strict=True)))

    def shapes_error(self) -> GraftError:
        """Return the error that names the smallest and the largest of several shapes."""
        smallest, *_, largest = sorted(self.shapes, key=math.prod)
        return GraftError(
            f"the images under {self.words} have {len(self.shapes)} shapes, from "
            f"{smallest[0]}x{smallest[1]} to {largest[0]}x{largest[1]} pixels; try dataset.size=64"
        )

    def decoding_error(self) -> GraftError:
        """Decode every file, and return the error that names those that fail, or whose contents have changed."""
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            failures = list(bar(threads.map(failure, self.paths), "looking for damage", len(self.paths), "file"))
        reasons = {path: reason for path, reason in zip(self.paths, failures, strict=True) if reason}
        if not reasons:
            changed = [each.path for each in self.files if content.is_changed(each.path, each.digest, self.listed)]
            return GraftError(
                f"files under {self.words} were changed after they were listed ({named(self.root, changed)}), so that "
                "results and stored features would be of unknown contents; run the same command again"
            )
        return unreadable_error(self.words, self.root, len(self.paths), reasons)


@functools.lru_cache(maxsize=4)  # a sweep's jobs share one listing
def list_folder(
    root: str,
    skip_unreadable: bool,
    max_pixels: int | None = None,
    cache: Path | None = None,
    excluded: frozenset[str] = frozenset(),
) -> Folder:
    """List the class folders under a root, or under its folders for the parts, and say which files are ignored.

    Args:
        root: the folder.
        skip_unreadable: whether to leave out files that cannot be decoded.
        max_pixels: the most pixels of a file; None: Pillow's limit.
        cache: folder in which the listing is remembered; None: each file is read.
        excluded: names of files that are left out if they cannot be read; others stay in the listing.

    Raises:
        GraftError: the layout has no clear meaning, a class has no images, or none to train on, or there are
            unreadable files that are not to be skipped.
    """
    where = Path(root)
    if not where.is_dir():
        wrong = "is a file, not a folder; unpack it if it is an archive" if where.exists() else "is not a folder"
        raise GraftError(f"dataset.root={root} {wrong}; it should contain a folder of images for each class")
    layout = read_layout(where)
    found = [file for file in layout.files if not file.reason]
    ignored = [file.reason for file in layout.files if file.reason]
    if not found:
        raise GraftError(
            f"dataset.root={root} has no folders with images{ignored_words(ignored)}; expected DIR/<class>/<image>, "
            "or DIR/train/<class>/<image> next to DIR/test or DIR/val"
        )
    memory, listed = Memory(cache, os.path.abspath(root), skip_unreadable, max_pixels), time.time_ns()
    with pixel_limit(max_pixels):
        files, left_out = readable(where, found, skip_unreadable, memory, f"dataset.root={root}", excluded)
    _check_classes(where, files, layout)
    _warn_of_inner_classes(where, files, layout)
    ignored += ["unreadable"] * (len(found) - len(files))
    counts = Counter(file.class_name for file in files)
    log.info("%s images of %s%s", f"{len(files):,}", classes_words(counts), ignored_words(ignored))
    return Folder(where, files, dict(Counter(ignored)), f"dataset.root={root}", (), left_out, listed)


def readable(
    root: Path,
    found: Sequence[FoundFile],
    skip_unreadable: bool,
    memory: Memory,
    words: str,
    excluded: frozenset[str] = frozenset(),
) -> tuple[tuple[ImageFile, ...], tuple[str, ...]]:
    """Return the files with their headers and digests, without those that cannot be read and are to be left out.

    The second result has the names of unreadable files that are `excluded`.

    Raises:
        GraftError: some cannot be read, and are not to be skipped, or none can; `words` say where they come from.
    """
    paths = [file.path for file in found]
    known = know(paths, skip_unreadable, memory)
    unreadable = {path: reason for path, reason in zip(paths, known, strict=True) if isinstance(reason, str)}
    names = {path: audit_name(root, path) for path in unreadable} if excluded else {}
    left_out = tuple(name for name in names.values() if name in excluded)
    others = {path: reason for path, reason in unreadable.items() if names.get(path) not in excluded}
    if (others and not skip_unreadable) or (unreadable and len(unreadable) == len(paths)):
        raise unreadable_error(words, root, len(paths), others or unreadable)
    if others:
        log.warning("skipped %d unreadable files: %s", len(others), named(root, others))
    if left_out:
        log.info("left out %s that dataset.exclude marks and that cannot be read", counted(len(left_out), "file"))
    files = tuple(
        ImageFile(
            file.path, file.class_name, file.part, read.header, file.group, file.domain, read.digest, read.num_bytes
        )
        for file, read in zip(found, known, strict=True)
        if isinstance(read, Known)
    )
    return files, left_out


def audit_name(root: Path, path: Path) -> str:
    """Return the name of a file in an audit's table, which may lie anywhere."""
    return shown(Path(os.path.relpath(path, root)).as_posix())


def _check_classes(root: Path, files: Sequence[ImageFile], layout: Layout) -> None:
    """Refuse parts and classes without images, and classes without images to train on."""
    found = {part: {file.class_name for file in files if file.part == part} for part in PARTS}
    for part, folder in layout.parts.items():
        if not found[part]:
            held = [file.reason for file in layout.files if file.part == part]
            raise GraftError(
                f"the folder {named(root, [folder])} under dataset.root={root} has no readable images "
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


def _warn_of_inner_classes(root: Path, files: Sequence[ImageFile], layout: Layout) -> None:
    """Warn if all classes have the same folders inside: then these may be the classes, fold1/cat and fold2/cat."""
    inner: dict[str, set[str]] = {}
    for file in files:
        depth = len(layout.parts.get(file.part, root).parts) + 1  # of the class folder
        folders = file.path.parts[depth:-1]
        inner.setdefault(file.class_name, set()).add(folders[0] if folders else "")
    first, *others = inner.values()
    if len(first) > 1 and "" not in first and all(each == first for each in others):
        log.warning(
            "the classes are %s, and each has the folders %s: if these are meant, put them directly under "
            "dataset.root, or under train, val and test",
            ", ".join(sorted(inner)[:MAX_COUNTS]), ", ".join(sorted(first)[:MAX_COUNTS]),
        )  # fmt: skip


def _held_words(held: Sequence[str]) -> str:
    """Return in words what a class folder without readable images contains."""
    return reasons([reason or "unreadable" for reason in held]) or "an empty folder"
