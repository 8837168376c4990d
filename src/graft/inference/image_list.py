"""Which images to predict: a file, a folder, a pattern, a table with a column of paths, or a list on standard input."""

import csv
import glob
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

from graft.errors import GraftError, nearest
from graft.nouns import counted
from graft.reading.layout import shown
from graft.reading.pictures import pictures_below
from graft.tables.columns import matching
from graft.tables.table import read_parquet

COLUMNS = ("file", "path", "image", "filename")  # of a table, the first that it has
SUFFIXES = (".csv", ".tsv", ".parquet")
FOLDER = "folder"  # a truth: the name of a folder above the image


class Item(NamedTuple):
    """An image: its name as it was given, its path, its true class where it is known, and the group it belongs to."""

    name: str
    path: Path
    truth: str | None = None
    group: str = ""


@dataclass(frozen=True)
class ImageList:
    """Images in their order.

    Attributes:
        items: the images; a list of standard input is read while they are predicted.
        count: how many; None: not known before all are read.
        ignored: other files of a folder.
        group: the column that has the images' groups, such as patients; None: they have none.
    """

    items: Iterable[Item]
    count: int | None
    ignored: int = 0
    group: str | None = None


def find_images(
    typed: str, truth: str | None, classes: Iterable[str], stdin: TextIO, group: str | None = None
) -> ImageList:
    """Return the images that are meant.

    Args:
        typed: the path of an image, a folder or a table; a pattern such as `photos/*.jpg`; or `-`.
        truth: `folder`, or a table's column; None: the true classes are not asked for.
        classes: the model's.
        stdin: has a path in each line, if `-` was typed.
        group: a table's column; None: the only one whose name is that of a column of groups, if the true classes are
            asked for.

    Raises:
        GraftError: there are none.
    """
    path, known = Path(typed).expanduser(), set(classes)
    if group is not None and truth is None:
        raise GraftError(
            f"group={group} is for the accuracy's interval, which needs the true classes; try truth=COLUMN"
        )
    if typed != "-" and path.is_file() and path.suffix.lower() in SUFFIXES:
        return _of_table(path, truth, group, known)
    if truth not in (None, FOLDER):
        raise GraftError(f"truth={truth} is a table's column, but images={typed} is no table; try truth=folder")
    if group is not None:
        raise GraftError(f"group={group} is a table's column, but images={typed} is no table; try without group=")
    if typed == "-":
        lines = (line.rstrip("\r\n") for line in stdin)
        return ImageList((_item(line, Path(line), truth, known) for line in lines if line), None)
    names, ignored = _names(typed, path)
    if not names:
        other = f" ({counted(ignored, 'other file')})" if ignored else ""
        raise GraftError(f"images={shown(typed)} has no images{other}; try another folder or pattern")
    return ImageList([_item(name, place, truth, known) for name, place in names], len(names), ignored)


def _names(typed: str, path: Path) -> tuple[list[tuple[str, Path]], int]:
    """Return the names and paths of the images of a folder, a pattern or a file, and the number of other files."""
    if path.is_dir():
        pictures, ignored = pictures_below(path)
        return [(str(Path(typed) / picture.relative_to(path)), picture) for picture in pictures], ignored
    if path.exists() or path.is_symlink():
        return [(typed, path)], 0
    if glob.has_magic(typed):
        return [(name, Path(name)) for name in sorted(glob.glob(str(path), recursive=True))], 0
    raise GraftError(f"there is no {shown(typed)}; images= takes files, folders, patterns, tables, or - for a list")


def _item(name: str, path: Path, truth: str | None, classes: set[str]) -> Item:
    """Return an image, whose true class is the nearest folder that has a class's name, or else the nearest one."""
    if truth is None:
        return Item(shown(name), path)
    above = [folder.name for folder in path.absolute().parents]
    return Item(shown(name), path, next((folder for folder in above if folder in classes), above[0]))


def _of_table(path: Path, truth: str | None, group: str | None, classes: set[str]) -> ImageList:
    """Return the images of a table, whose paths are relative to its folder, or else to the working directory.

    Raises:
        GraftError: it cannot be read, or lacks a column.
    """
    rows = list(_rows(path))
    named, group = _columns(path, list(rows[0]) if rows else [], truth, group)
    items = []
    for row in rows:
        name = row[named] or ""
        beside = path.parent / name
        image = beside if beside.exists() or not Path(name).exists() else Path(name)
        item = _item(name, image, FOLDER if truth == FOLDER else None, classes)
        item = item if group is None else item._replace(group=row[group].strip())
        items.append(item if truth in (None, FOLDER) else item._replace(truth=row[str(truth)]))
    return ImageList(items, len(items), group=group)


def _columns(path: Path, columns: list[str], truth: str | None, group: str | None) -> tuple[str, str | None]:
    """Return the column of paths, and that of groups: the only one that is named so, if the true classes are known.

    Raises:
        GraftError: there is no column of paths, or one that was typed is missing.
    """
    named = next((name for name in COLUMNS if name in columns), None)
    if named is None:
        has = f"it has {', '.join(columns[:8])}" if columns else "it has no rows"
        raise GraftError(f"the table {path} has no column {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}; {has}")
    for key, column in (("truth", truth), ("group", group)):
        if column not in (None, *[FOLDER] * (key == "truth"), *columns):
            near = nearest(str(column), columns)
            raise GraftError(f"the table {path} has no column {column}; did you mean {key}={near[0]}?")
    groups = matching("group", [name for name in columns if name not in (named, truth)])
    return named, group or (groups[0] if truth is not None and len(groups) == 1 else None)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a table, all values as texts.

    Raises:
        GraftError: it cannot be read.
    """
    if path.suffix.lower() == ".parquet":
        for row in read_parquet(path).to_pylist():
            yield {name: "" if value is None else str(value) for name, value in row.items()}
        return
    try:
        content = path.read_text("utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise GraftError(f"the table {path} cannot be read ({error}); save it as UTF-8") from None
    first = content.partition("\n")[0]
    separator = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
    try:
        for row in csv.DictReader(io.StringIO(content, newline=""), delimiter=separator, restval=""):
            row.pop(None, None)  # cells beyond the header's
            yield row
    except csv.Error as error:
        raise GraftError(f"the table {path} cannot be read ({error}); save it as CSV in UTF-8") from None
