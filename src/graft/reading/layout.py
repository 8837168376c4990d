"""The layout of a folder of images: each file's class and part, or why it is ignored."""

import itertools
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from graft.errors import GraftError
from graft.nouns import few
from graft.reading.pictures import contents, files_below, is_picture, shown, subfolders

log = logging.getLogger("graft")

PARTS = ("train", "val", "test")
# Folders of parts, in upper or lower case: train, Training, valid, dev, Testing, test_set, val-images.
PART_NAME = re.compile(
    r"(?:(?P<train>train(?:ing)?)|(?P<val>val(?:id(?:ation)?)?|dev)|(?P<test>test(?:ing)?)|(?P<eval>eval(?:uation)?))"
    r"(?:[ _-]?(?:set|data|dataset|images|split))?",
    re.IGNORECASE,
)
MAX_NAMES = 10  # files or folders that a message names


class FoundFile(NamedTuple):
    """A file: its class, part, group and domain, empty if it has none, and why it is ignored, empty if not."""

    path: Path
    class_name: str
    part: str
    reason: str
    group: str = ""
    domain: str = ""


class Layout(NamedTuple):
    """All files below a root, hidden ones left out; all class folders' names, with images or without; the parts."""

    files: list[FoundFile]
    classes: list[str]
    parts: dict[str, Path]


def read_layout(root: Path) -> Layout:
    """Find the class folders of a root, or of its folders for the parts, and all files.

    A class folder's images may lie at any depth; links to folders are followed, each folder is read once for a class.
    Hidden files, and those that operating systems leave in folders, are left out.

    Raises:
        GraftError: the layout has no clear meaning, or a folder cannot be read.
    """
    parts = find_parts(root)
    files = [_loose(path) for path in _files_in(root)]
    classes: dict[str, None] = {}
    for part, where in (parts or {"train": root}).items():
        files += [_loose(path) for path in (_files_in(where) if parts else [])]
        for folder in subfolders(where):
            _check_class_folder(root, folder)
            classes[folder.name] = None
            for path in files_below(folder):
                reason = "" if is_picture(path) else _suffix(path)
                files.append(FoundFile(path, folder.name, part, reason))
    others = [folder for folder in subfolders(root) if folder not in parts.values()] if parts else []
    for folder in others:
        files += [FoundFile(path, "", "", f"in {shown(folder.name)}/") for path in files_below(folder)]
    _remark_on_parts(root, parts, others)
    return Layout(files, sorted(classes), parts)


def named(root: Path, paths: Sequence[Path] | Mapping[Path, str]) -> str:
    """Return the first few paths, relative to the root, with their reasons if they have any, and how many more."""
    names = [
        f"{shown(path.relative_to(root))}{f' ({paths[path]})' if isinstance(paths, Mapping) else ''}"
        for path in itertools.islice(paths, MAX_NAMES)
    ]
    return few(names, MAX_NAMES, len(paths))


def find_parts(root: Path) -> dict[str, Path]:
    """Return the folders of the parts; none if the root itself contains the class folders.

    A part's folder has a part's name and contains class folders; so classes, too, may be called `train` or `test`.
    Without a test folder, the validation folder is the test part.

    Raises:
        GraftError: two folders are the same part, there is no folder for training, or a folder cannot be read.
    """
    candidates = _named_as_parts(root)
    holding = [folder for folder in candidates if _holds_folders(folder)]
    if not holding:
        if candidates and len(candidates) == len(subfolders(root)):
            raise GraftError(
                f"dataset.root={root} has {_listed(candidates)} without class folders in them; expected "
                "DIR/train/<class>/<image> and DIR/test/<class>/<image>"
            )
        return {}
    parts = _by_part(root, holding)
    if "train" not in parts:
        raise GraftError(
            f"dataset.root={root} has {_listed(holding)} with class folders, but no train/; move the other class "
            "folders into train/, or rename what is a class"
        )
    if "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
    return {part: parts[part] for part in PARTS if part in parts}


def _remark_on_parts(root: Path, parts: Mapping[str, Path], others: Sequence[Path]) -> None:
    """Say what a root's folders were taken for, where their names may mean something else."""
    candidates = _named_as_parts(root)
    if candidates and not parts:
        log.warning("%s: taken for classes, because they contain no class folders", _listed(candidates))
    if "test" in parts and _part(parts["test"]) == "val":
        log.info("there is no test/ beside %s: %s is the test set", *(_listed([parts[part]]) for part in parts))
    if others:
        used = _listed(list(parts.values()))
        log.warning("ignored %s beside %s under dataset.root=%s", _listed(others), used, shown(root))


def _named_as_parts(folder: Path) -> list[Path]:
    return [each for each in subfolders(folder) if PART_NAME.fullmatch(each.name)]


def _by_part(root: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """Return folders by the parts that they are named for.

    Raises:
        GraftError: two folders are the same part.
    """
    parts: dict[str, Path] = {}
    for folder in sorted(folders, key=lambda folder: _part(folder) == "eval"):
        part = _part(folder)
        if part == "eval":  # the test set of some authors, the validation set of others
            part = "val" if "test" in parts else "test"
        if part in parts:
            raise GraftError(
                f"dataset.root={root} has two folders for the {part} part, {_listed([parts[part], folder])}; "
                "merge them, or rename one"
            )
        parts[part] = folder
    return parts


def _part(folder: Path) -> str:
    """Return the part that a folder is named for; `eval` may be two of them."""
    match = PART_NAME.fullmatch(folder.name)
    return str(match.lastgroup) if match else ""


def _holds_folders(folder: Path) -> bool:
    """Return whether a folder contains class folders rather than images."""
    folders = subfolders(folder)
    return bool(folders) and sum(map(is_picture, _files_in(folder))) <= sum(len(files_below(each)) for each in folders)


def _check_class_folder(root: Path, folder: Path) -> None:
    """Refuse a class folder whose name cannot be written, or that contains parts of its own."""
    if shown(folder.name) != folder.name:
        raise GraftError(f"the class folder {named(root, [folder])} has a name that is not UTF-8; rename it")
    parts = _named_as_parts(folder)
    if {"train"} < {_part(each) for each in parts}:
        raise GraftError(
            f"the class folder {named(root, [folder])} contains {_listed(parts)}; expected the parts outside, "
            f"DIR/train/{folder.name} and DIR/test/{folder.name}; or try dataset.root={folder}"
        )


def _loose(path: Path) -> FoundFile:
    return FoundFile(path, "", "", "in no class folder" if is_picture(path) else _suffix(path))


def _suffix(path: Path) -> str:
    return shown(path.suffix.lower()) or "without suffix"


def _listed(folders: Sequence[Path]) -> str:
    """Return folders' names in words: train/, val/ and test/."""
    *others, last = [f"{shown(folder.name)}/" for folder in folders]
    return f"{', '.join(others)} and {last}" if others else last


def _files_in(folder: Path) -> list[Path]:
    return contents(folder)[1]
