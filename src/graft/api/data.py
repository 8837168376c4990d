"""Data sets for Python: folders, tables and arrays of images, which become a configuration like any other."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import torch
from PIL import Image

from graft.api.overrides import as_words
from graft.api.pixels import PLAIN_MODES, as_bytes, png, upright, warn_if_dark
from graft.data.load import ARRAYS
from graft.errors import GraftError
from graft.files import fingerprint, read_tensors, write_bytes, write_tensors, write_text
from graft.nouns import counted

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
    return Data("image_folder", {"root": path, **_as_values(settings)})


def table(table: "str | Path | Sequence[str | Path] | pandas.DataFrame", **settings: Any) -> Data:
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
        text = _without_lists(table).to_csv(index=False, lineterminator="\n")
        path = _cache("tables") / f"table-{fingerprint(text)[:16]}.csv"
        write_text(path, text)
        return Data("table", {"file": path, "root": Path.cwd(), **_as_values(settings)})
    given = [table] if isinstance(table, str | Path) else list(table) if isinstance(table, Sequence) else []
    if not given or not all(isinstance(each, str | Path) for each in given):
        raise GraftError(f"a table is a path, a list of paths or a DataFrame, got {type(table).__name__}")
    paths = [Path(each).expanduser() for each in given]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise GraftError(f"there is no file {missing[0]}, seen from {Path.cwd()}; try its whole path")
    return Data("table", {"file": paths[0] if len(paths) == 1 else tuple(paths), **_as_values(settings)})


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
        name: of their folder in the cache; None: `arrays`.
        test: test images, their labels and, with groups, theirs; None: a fifth of each class is held out.
        groups: what each image belongs to, (images,), such as its patient: never parted; None: each stands for itself.
        settings: any key of conf/dataset/arrays.yaml, such as `small_per_class=20`.

    Raises:
        GraftError: they are no images, or have no clear meaning.
    """
    parts_of = "(images, labels)" if groups is None else "(images, labels, groups)"
    if test is not None and not (isinstance(test, tuple | list) and len(test) == 2 + (groups is not None)):
        raise GraftError(f"test must be {parts_of}, got {type(test).__name__}; try test={parts_of}")
    parts = [("train", X, y)] + ([] if test is None else [("test", *test[:2])])
    labeled = [(part, upright(images), _names(images, labels, classes)) for part, images, labels in parts]
    grouped = [] if groups is None else _groups(X, groups) + ([] if test is None else _groups(test[0], test[2]))
    found = {label for _, _, labels in labeled for label in labels}
    if len(found) == 1:
        raise GraftError(f"all labels are {found.pop()!r}; add images of another class")
    cache = _cache("arrays")
    if not any(_need_files(images) for _, images, _ in labeled):
        return Data("arrays", {"root": store_arrays(labeled, cache, name, grouped), **_as_values(settings)})
    root = _store_pictures(labeled, cache, name)
    if groups is None:
        return Data("image_folder", {"root": root, **_as_values(settings)})
    written = pandas.DataFrame({
        "path": [path for path, _, _ in _file_names(labeled)],
        "label": [label for _, _, labels in labeled for label in labels],
        "split": [part for part, _, labels in labeled for _ in labels],
        "group": grouped,
    })  # fmt: skip
    return table(written if test is not None else written.drop(columns="split"), **{"root": root, **settings})


def _without_lists(frame: "pandas.DataFrame") -> "pandas.DataFrame":
    """Return a table whose columns of lists and the like have no values, as in Parquet: each would be a class."""
    lists = frame.map(lambda value: isinstance(value, LISTS)).any().to_numpy()
    return frame.where(np.broadcast_to(~lists, frame.shape), "<list>") if lists.any() else frame


def _cache(kind: str) -> Path:
    return Path(os.environ.get("GRAFT_CACHE", "outputs/cache")) / kind


def _groups(images: Any, groups: Any) -> list[str]:
    """Return each image's group as a text.

    Raises:
        GraftError: there is not one for each image.
    """
    values = groups.tolist() if hasattr(groups, "tolist") else list(groups)
    if len(values) != len(images):
        raise GraftError(f"each image needs one group, got {len(images):,} images and {len(values):,} groups")
    wrong = [value for value in values if not isinstance(value, str | int) or value == ""]
    if wrong:
        raise GraftError(f"groups must be texts or whole numbers, one for each image, got {wrong[0]!r}")
    return [str(value) for value in values]


def _as_values(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings whose lists are values of a key, not sweeps: `small=["cat", "dog"]`."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}


def _names(images: Any, labels: Any, classes: Sequence[str] | None) -> list[str]:
    """Return each image's class.

    Raises:
        GraftError: there is not one for each image, or a number has no name.
    """
    if not (hasattr(images, "__len__") and hasattr(labels, "__len__")):
        kinds = f"{type(images).__name__} and {type(labels).__name__}"
        raise GraftError(f"images and labels must be arrays or lists, one label for each image, got {kinds}")
    values = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    if len(values) != len(images):
        raise GraftError(
            f"each image needs one label, got {counted(len(images), 'image')} and {counted(len(values), 'label')}"
        )
    if classes is not None:
        numbers = [value for value in values if type(value) is not int or not 0 <= value < len(classes)]
        if numbers:
            raise GraftError(f"classes= names {len(classes)} classes, but a label is {numbers[0]!r}; try without it")
        values = [classes[value] for value in values]
    if any(not isinstance(value, str | int) for value in values):
        wrong = next(value for value in values if not isinstance(value, str | int))
        raise GraftError(f"labels must be texts or whole numbers, one for each image, got {wrong!r}")
    return [str(value) for value in values]


def _need_files(images: Any) -> bool:
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
    warn_if_dark(max(int(part.max()) for part in pixels), level=3)
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


def _store_pictures(labeled: Sequence[tuple[str, Any, list[str]]], cache: Path, name: str | None) -> Path:
    """Store pictures as class folders of PNG files, once for each content; return their folder."""
    files: dict[str, bytes] = {}
    for path, label, image in _file_names(labeled):
        if not label.strip(". ") or set(label) & set("/\\\0"):
            raise GraftError(f"the class {label!r} cannot be the name of a folder; try another name")
        files[path] = png(image if isinstance(image, Image.Image) else Image.fromarray(np.asarray(image)))
    content = [(path, hashlib.sha256(each).hexdigest()) for path, each in files.items()]
    folder = cache / f"{name or 'pictures'}-{fingerprint(content)[:16]}"
    for path, each in files.items():
        if not (folder / path).exists():
            write_bytes(folder / path, each)
    return folder


def _file_names(labeled: Sequence[tuple[str, Any, list[str]]]) -> list[tuple[str, str, Any]]:
    """Return the path of each picture's file, its class and the picture."""
    return [
        (f"{part + '/' if len(labeled) > 1 else ''}{label}/{number:06}.png", label, image)
        for part, images, labels in labeled
        for number, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
