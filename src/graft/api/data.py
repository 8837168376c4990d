"""Data sets for Python: folders, tables and arrays of images, which become a configuration like any other."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from graft.api.given_labels import class_names, group_names, plain
from graft.api.overrides import as_words
from graft.api.pixels import upright
from graft.api.stored_images import file_names, need_files, store_arrays, store_pictures
from graft.errors import GraftError
from graft.files import fingerprint, write_text
from graft.reading.pictures import is_picture

FOLDER_NAME = re.compile(r"\w[\w .-]*")
LONGEST = 200  # bytes of a folder's name; a file system allows 255, and what the content is called follows it
LISTS = (list, tuple, set, dict, bytes, np.ndarray)  # what is no single value of a table's cell


@dataclass(frozen=True)
class Data:
    """A data set, as a configuration names it.

    Attributes:
        option: the option of `dataset=`.
        settings: values of its keys.
    """

    option: str
    settings: dict[str, Any] = field(default_factory=dict)

    def words(self) -> list[str]:
        """Return what a command line would say: `dataset=image_folder dataset.root=photos`."""
        return as_words({"dataset": self.option, **{f"dataset.{key}": value for key, value in self.settings.items()}})


def image_folder(folder: str | Path, **settings: Any) -> Data:
    """Return a folder of images for each class, or of folders `train`, `val` and `test` of such folders.

    Args:
        folder: the folder.
        settings: any key of conf/dataset/image_folder.yaml, such as `small_per_class=20`.

    Raises:
        GraftError: there is no such folder.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise GraftError(f"there is no folder {folder}, seen from {Path.cwd()}; try its whole path")
    return Data("image_folder", {"root": path, **_as_values(settings, "root")})


def table(table: str | Path | Sequence[str | Path] | pandas.DataFrame, **settings: Any) -> Data:
    """Return images that a table names: a file, several, or a DataFrame, which is stored once, in the cache.

    Args:
        table: the paths of CSV, TSV or Parquet files, or a DataFrame with a row for each image. A DataFrame's paths are
            relative to the working directory, a file's to its folder; `root=` is another folder.
        settings: any key of conf/dataset/table.yaml, such as `label="species"`, `group="patient"`;
            `domain="hospital", big_domain="A", small_domain="B"` transfers from images of A to images of B.

    Raises:
        GraftError: a file does not exist, or it is no table.
    """
    if isinstance(table, pandas.DataFrame):
        _check_index(table)
        text = _without_lists(table).to_csv(index=False, lineterminator="\n")
        path = _cache("tables") / f"table-{fingerprint(text)[:16]}.csv"
        write_text(path, text)
        return Data("table", {"file": path, "root": Path.cwd(), **_as_values(settings, "file")})
    given = [table] if isinstance(table, str | Path) else list(table) if isinstance(table, Sequence) else []
    if not given or not all(isinstance(each, str | Path) for each in given):
        raise GraftError(f"a table is a path, a list of paths or a DataFrame, got {type(table).__name__}")
    paths = [Path(each).expanduser() for each in given]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise GraftError(f"there is no file {missing[0]}, seen from {Path.cwd()}; try its whole path")
    return Data("table", {"file": paths[0] if len(paths) == 1 else tuple(paths), **_as_values(settings, "file")})


def arrays(
    X: Any,
    y: Any,
    classes: Sequence[str] | None = None,
    name: str | None = None,
    test: tuple[Any, ...] | None = None,
    groups: Any = None,
    **settings: Any,
) -> Data:
    """Return images in memory as a data set. They are stored once, in the cache, and found again by their content.

    Args:
        X: images, as `as_bytes` takes them: arrays or tensors (images, height, width[, channels]), with the channels
            first or last, bytes or floats from 0 to 1 or 255; or a list of Pillow's pictures, whose sizes may differ.
        y: their labels, (images,): names, or numbers.
        classes: names of the classes 0, 1, 2, ... of numbers; None: the numbers are the names.
        name: of their folder in the cache, letters, digits, spaces, dots, - and _; None: `arrays`.
        test: test images, their labels and, with groups, theirs; None: a fifth of each class is held out.
        groups: what each image belongs to, (images,), such as its patient: never parted; None: each stands for itself.
        settings: any key of conf/dataset/arrays.yaml, such as `small_per_class=20`.

    Raises:
        GraftError: they are no images, or have no clear meaning.
    """
    parts_of = "(images, labels)" if groups is None else "(images, labels, groups)"
    if test is not None and not (isinstance(test, tuple | list) and len(test) == 2 + (groups is not None)):
        raise GraftError(f"test must be {parts_of}, got {type(test).__name__}; try test={parts_of}")
    _check_name(name)
    parts = [("train", X, y)] + ([] if test is None else [("test", *test[:2])])
    labeled = [(part, upright(images), class_names(images, labels, classes)) for part, images, labels in parts]
    grouped = [] if groups is None else group_names(X, groups) + ([] if test is None else group_names(test[0], test[2]))
    found = {label for _, _, labels in labeled for label in labels}
    if len(found) == 1:
        raise GraftError(f"all labels are {found.pop()!r}; add images of another class")
    settings, cache = _as_values(settings, "root"), _cache("arrays")
    if not any(need_files(images) for _, images, _ in labeled):
        return Data("arrays", {"root": store_arrays(labeled, cache, name, grouped), **settings})
    root = store_pictures(labeled, cache, name)
    if groups is None:
        return Data("image_folder", {"root": root, **settings})
    written = pandas.DataFrame({
        "path": [path for path, _, _ in file_names(labeled)],
        "label": [label for _, _, labels in labeled for label in labels],
        "split": [part for part, _, labels in labeled for _ in labels],
        "group": grouped,
    })  # fmt: skip
    return table(written if test is not None else written.drop(columns="split"), **{"root": root, **settings})


def _check_name(name: Any) -> None:
    if name is None:
        return
    if not isinstance(name, str) or not FOLDER_NAME.fullmatch(name) or len(os.fsencode(name)) > LONGEST:
        raise GraftError(
            "name must be a folder's name of letters, digits, spaces, dots, - and _, which starts with a letter, digit "
            f"or _ and has at most {LONGEST} bytes, got {name!r}"
        )


def _check_index(frame: pandas.DataFrame) -> None:
    """Refuse a table whose paths are its index, which is not stored: a message about its columns would not say so.

    Raises:
        GraftError: it is such a table.
    """

    def named(values: Any) -> bool:
        return any(isinstance(value, str | Path) and is_picture(Path(value)) for value in values[:100])

    levels = [frame.index.get_level_values(number) for number in range(frame.index.nlevels)]
    if any(map(named, levels)) and not any(named(frame.iloc[:, number]) for number in range(frame.shape[1])):
        raise GraftError("the paths of the images are the DataFrame's index, not a column; try table.reset_index()")


def _without_lists(frame: pandas.DataFrame) -> pandas.DataFrame:
    """Return a table whose columns of lists and the like have no values, as in Parquet: each would be a class."""
    lists = frame.map(lambda value: isinstance(value, LISTS)).any().to_numpy()
    return frame.where(np.broadcast_to(~lists, frame.shape), "<list>") if lists.any() else frame


def _cache(kind: str) -> Path:
    return Path(os.environ.get("GRAFT_CACHE", "outputs/cache")) / kind


def _as_values(settings: dict[str, Any], own: str) -> dict[str, Any]:
    """Return settings whose lists are values of a key, not sweeps: `small=["cat", "dog"]`.

    Args:
        settings: values of keys.
        own: the key that says where the images are, which no setting may change.

    Raises:
        GraftError: one does.
    """
    if own in settings:
        raise GraftError(f"{own}={plain(settings[own])!r} would be another data set than the one given; leave it out")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
