"""Data sets of Hugging Face, on the hub or on disk, as a table of image files in the cache."""

import csv
import io
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from graft.errors import ConfigError, Fault, GraftError
from graft.files import fingerprint, write_bytes, write_text
from graft.tables.columns import AUTO, KEYS, Columns, check_typed, in_words, matching
from graft.tables.hub_data import from_hub
from graft.tables.hub_parts import warn_of_parts
from graft.tables.table_rows import Listing

log = logging.getLogger("graft")

FORMAT = 2  # of the table: missing numbers and hidden class labels are empty, class labels have their names
UNLABELED = -1  # the label that a ClassLabel has where it is hidden


def hugging_face(path: str, config: str | None, columns: Columns, group_pattern: str | None, cache: Path) -> Listing:
    """Return a table of a data set's images, which are written into the cache once; those in files stay there.

    Args:
        path: the data set's name on the hub, or a folder or a Parquet file: what `save_to_disk` wrote, Parquet files,
            or a folder of images with metadata.csv.
        config: its configuration, of those that have several.
        columns: the columns; `auto`: the only one of images, the only one of class labels. `split=None` joins splits.
        group_pattern: finds the group of a file in its path; None: a column has it, or there are no groups.
        cache: the folder of such tables.

    Raises:
        GraftError: the data set cannot be loaded, or its columns have no clear meaning.
    """
    splits = _load(path, config, cache)
    first = next(iter(splits.values()))
    found = _columns(path, first.features, columns if group_pattern is None else columns._replace(group=None))
    _check_splits(path, splits, found)
    log.info("%s: %s; splits %s", path, in_words(found._replace(split=None)), ", ".join(splits))
    if columns.split is not None:
        warn_of_parts(path, splits)
    parted = len(splits) > 1 and found.split is not None
    named = found if found.domain is not None else found[:-1]  # tables without domains keep their folders
    states = [(name, _state(split), *named) for name, split in splits.items()]
    folder = cache / f"{Path(path).name}-{fingerprint([FORMAT, *states])[:16]}"
    table = folder / "images.csv"
    if not table.exists():
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(KEYS[: len(named)])
        for name, split in splits.items():
            writer.writerows(_rows(folder, name if parted else "", split, found))
        write_text(table, text.getvalue())
    written = Columns("image", "label", "split" if parted else None, found.group and "group", found.domain and "domain")
    return Listing((str(table),), columns=written, group_pattern=group_pattern, origin=f"dataset.path={path}")


def _load(path: str, config: str | None, cache: Path) -> dict[str, Any]:
    """Return a data set's splits by name.

    Raises:
        GraftError: the package is missing, or the data set cannot be loaded.
    """
    try:
        import datasets  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise GraftError('dataset=huggingface needs the package datasets; try pip install -e ".[datasets]"') from None
    datasets.disable_progress_bars()
    place, stored = Path(path).expanduser(), str(cache / "loaded")
    try:
        if place.is_file():
            loaded = datasets.load_dataset("parquet", data_files=str(place), cache_dir=stored)
        elif not place.is_dir():
            loaded = from_hub(path, config)
        elif any((place / name).exists() for name in ("dataset_dict.json", "state.json")):
            loaded = datasets.load_from_disk(str(place))
        else:
            kind = "parquet" if any(place.rglob("*.parquet")) else "imagefolder"
            loaded = datasets.load_dataset(kind, data_dir=str(place), cache_dir=stored)
    except GraftError:
        raise
    except Exception as error:  # the package's own and those of Arrow
        reason = (" ".join(str(error).split()) or type(error).__name__)[:300]
        raise GraftError(
            f"dataset.path={path} cannot be loaded as a data set of Hugging Face: {reason}; expected a name on the "
            "hub, or a folder that save_to_disk wrote, of Parquet files, or of images with metadata.csv"
        ) from None
    return {str(name): each for name, each in loaded.items()} if isinstance(loaded, Mapping) else {"train": loaded}


def _columns(path: str, features: Mapping[str, Any], typed: Columns) -> Columns:
    """Return the columns: those that are typed, and others if their features leave no doubt."""
    check_typed(path, list(features), typed._replace(split=None))
    if typed.split not in (None, AUTO):
        expected = "auto, which takes the data's own splits, or null, which joins them"
        raise ConfigError([Fault("dataset.split", typed.split, expected, "dataset.split=auto")])
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    image = _one(path, "image", typed.image, images, features)
    if kinds[image] != "Image":
        raise ConfigError(
            [Fault("dataset.image", image, f"a column of images: {', '.join(images)}", "dataset.image=auto")]
        )
    others = [name for name in features if name not in (image, typed.domain)]
    group = typed.group if typed.group != AUTO else None
    if typed.group == AUTO and (groups := matching("group", others)):
        group = _one(path, "group", AUTO, groups, features)
    others = [name for name in others if name != group]
    labels = [name for name in others if kinds[name] == "ClassLabel"] or matching("label", others)
    found = Columns(image, _one(path, "label", typed.label, labels, features), typed.split, group, typed.domain)
    _refuse_lists(found, kinds)
    return found


def _refuse_lists(found: Columns, kinds: Mapping[str, str]) -> None:
    """Refuse columns of lists or the like, each a class or a group of its own; `kinds` are of the package's features.

    Raises:
        ConfigError: names the column.
    """
    single = [name for name, kind in kinds.items() if kind in ("ClassLabel", "Value")]
    for key in ("label", "group", "domain"):
        name = getattr(found, key)
        if name is not None and name not in single:
            expected = f"a column with one value an image ({', '.join(single) or 'there is none'}), not with lists"
            raise ConfigError([Fault(f"dataset.{key}", name, expected, f"dataset.{key}={[*single, 'COLUMN'][0]}")])


def _check_splits(path: str, splits: Mapping[str, Any], found: Columns) -> None:
    """Refuse a split without one of the columns, which were found in the first split.

    Raises:
        GraftError: names the split and the column.
    """
    for name, split in splits.items():
        for key in ("image", "label", "group", "domain"):
            column = getattr(found, key)
            if column is not None and column not in split.features:
                without = f", or dataset.{key}=null" if key in ("group", "domain") else ""
                raise GraftError(
                    f"{path}: the split {name} has no column {column}, which is dataset.{key} in the split "
                    f"{next(iter(splits))} (its columns are {', '.join(split.features)}); try dataset.{key}= with a "
                    f"column that each split has{without}, or save the data without this split"
                )


def _one(path: str, key: str, typed: str, candidates: list[str], features: Mapping[str, Any]) -> str:
    if typed != AUTO:
        return typed
    if len(candidates) != 1:
        many = f"several columns that may be {key}s: {', '.join(candidates)}"
        seen = many if candidates else f"no column that is surely one of {key}s"
        raise GraftError(f"{path} has {seen} (columns {', '.join(features)}); try dataset.{key}=COLUMN")
    return candidates[0]


def _state(split: Any) -> list[object]:
    """Return what changes with a split's contents: its files' names, sizes and times.

    A split in memory has no files, but its fingerprint, a hash of its contents or of what they were made from.
    """
    files = [Path(each["filename"]) for each in split.cache_files]
    states = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return [len(split), split._fingerprint, states]


def _rows(folder: Path, name: str, split: Any, found: Columns) -> Iterator[list[str]]:
    """Yield the rows of a split, whose images are written into files unless they are in some; one after the other."""
    import datasets  # pyright: ignore[reportMissingImports]

    used = [each for each in (found.image, found.label, found.group, found.domain) if each is not None]
    values = split.select_columns(used).cast_column(found.image, datasets.Image(decode=False))
    if all(value is None or value == UNLABELED for value in split[found.label]):
        log.warning("left out the split %s of %s rows: it has no labels", name or "train", f"{len(split):,}")
        return
    further = (found.group,) if found.domain is None else (found.group, found.domain)
    for number, row in enumerate(values):
        held = row[found.image] or {}
        file = _file(folder / (name or "all") / f"{number:08}", held.get("bytes"), held.get("path"))
        label = _named(split, found.label, row[found.label])
        yield [file, label, name, *("" if each is None else _named(split, each, row[each]) for each in further)]


def _named(split: Any, column: str, value: Any) -> str:
    """Return a value as a text, of a ClassLabel its name; empty if it is missing or hidden."""
    names = getattr(split.features[column], "names", None)
    return _text(value) if names is None or value is None else "" if value == UNLABELED else names[int(value)]


def _text(value: object) -> str:
    """Return a value as a text; empty if it is missing, as NaN is."""
    return "" if value is None or value != value else str(value)


def _file(place: Path, content: bytes | None, path: str | None) -> str:
    """Return the path of an image's file; empty without an image."""
    if content is None:
        return os.path.abspath(path) if path else ""
    suffix = Path(path or "").suffix.lower()
    if suffix not in Image.registered_extensions():
        suffix = _suffix(content)
    write_bytes(place.with_name(place.name + suffix), content)
    return f"{place.parent.name}/{place.name}{suffix}"


def _suffix(content: bytes) -> str:
    """Return the suffix of a picture's format; .png if it is none, which reading it will say."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            kind = picture.format
    except Exception:  # Pillow's exceptions for broken files depend on the format
        return ".png"
    return next((suffix for suffix, name in Image.registered_extensions().items() if name == kind), ".png")
