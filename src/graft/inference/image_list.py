"""Which images to predict: a file, a folder, a pattern, a table with a column of paths, or a list on standard input."""

import glob
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

from graft.errors import GraftError, nearest
from graft.nouns import counted
from graft.reading.layout import shown
from graft.reading.pictures import pictures_below
from graft.tables.columns import matching
from graft.tables.table import Table, read_table
from graft.tables.table_labels import short

COLUMNS = ("file", "path", "image", "filename")  # of a table, the first that it has
SUFFIXES = (".csv", ".tsv", ".parquet")
FOLDER = "folder"  # a truth: the name of a folder above the image


Below = Sequence[str] | None  # names of folders


class Item(NamedTuple):
    """An image.

    Attributes:
        name: as it was given.
        path: its file.
        truth: its true class, where it is known.
        group: that it belongs to.
        other: another class, which a folder of its path is called, too.
    """

    name: str
    path: Path
    truth: str | None = None
    group: str = ""
    other: str = ""


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
    path, known = Path(typed).expanduser(), _by_name(classes)
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
        return ImageList(_of_lines(stdin, truth, known), None)
    names, ignored, root = _names(typed, path)
    if not names:
        other = f" ({counted(ignored, 'other file')})" if ignored else ""
        raise GraftError(f"images={shown(typed)} has no images{other}; try another folder or pattern")
    if truth is None:
        return ImageList([Item(shown(name), place) for name, place in names], len(names), ignored)
    folders = [_below(place.relative_to(root)) for _, place in names]
    return ImageList(_items(names, folders, known), len(names), ignored)


def _names(typed: str, path: Path) -> tuple[list[tuple[str, Path]], int, Path]:
    """Return the names and paths of the images of a folder, a pattern or a file.

    The second result is the number of other files, the third the folder that was typed, below which all images are.
    """
    if path.is_dir():
        pictures, ignored = pictures_below(path)
        return [(str(Path(typed) / picture.relative_to(path)), picture) for picture in pictures], ignored, path
    if path.exists() or path.is_symlink():
        return [(typed, path)], 0, path.parent
    if glob.has_magic(typed):
        root = next(folder for folder in path.parents if not glob.has_magic(str(folder)))
        return [(name, Path(name)) for name in sorted(glob.glob(str(path), recursive=True))], 0, root
    raise GraftError(f"there is no {shown(typed)}; images= takes files, folders, patterns, tables, or - for a list")


def _of_lines(lines: Iterable[str], truth: str | None, classes: Mapping[str, str]) -> Iterator[Item]:
    """Yield the images that lines name, each as soon as its line is there."""
    for line in filter(None, (line.rstrip("\r\n") for line in lines)):
        path, folders = Path(line), _below(Path(line))
        yield Item(shown(line), path) if truth is None else _item(line, path, folders, classes, bool(folders))


def _below(path: Path) -> Below:
    """Return the names of the folders of a relative path, the outermost first; None of an absolute one."""
    return None if path.is_absolute() else path.parts[:-1]


def _by_name(classes: Iterable[str]) -> dict[str, str]:
    """Return classes by their names, and by these as other systems write them: é is one letter, or two signs."""
    names = list(classes)
    forms = [(unicodedata.normalize(form, name), name) for form in ("NFC", "NFD") for name in names]
    return dict(forms) | {name: name for name in names}


def _items(names: Sequence[tuple[str, Path]], folders: Sequence[Below], classes: Mapping[str, str]) -> list[Item]:
    """Return images, whose true classes are names of folders, given those between what was typed and each image."""
    inside = any(not classes.keys().isdisjoint(each or ()) for each in folders)
    return [_item(name, path, each, classes, inside) for (name, path), each in zip(names, folders, strict=True)]


def _item(name: str, path: Path, between: Below, classes: Mapping[str, str], inside: bool) -> Item:
    """Return an image with its true class, the outermost folder below what was typed that has a class's name.

    So a folder of images is read as `dataset=image_folder` reads it, whatever the folders inside a class are called.

    Args:
        name: as it was given.
        path: its file.
        between: the folders between what was typed and the image, the outermost first; None: nothing was typed.
        classes: the model's, by name.
        inside: whether classes are below what was typed: then an image in none of them has none of the model's.
            Otherwise it has that of the nearest folder with a class's name, as all images of a class may be meant.
    """
    below = between or ()
    folders = [folder.name for folder in path.absolute().parents]  # the nearest first
    above = folders[len(below) :]
    found = [classes[each] for each in below if each in classes]
    if found:
        found += [classes[each] for each in above[:1] if each in classes]
    elif between is None or not inside:
        found = [classes[each] for each in above if each in classes]
    truth = found[0] if found else folders[0]
    return Item(shown(name), path, truth, other=next((each for each in found if each != truth), ""))


def _of_table(path: Path, truth: str | None, group: str | None, classes: Mapping[str, str]) -> ImageList:
    """Return the images of a table, whose paths are relative to its folder, or else to the working directory.

    Raises:
        GraftError: it cannot be read, or lacks a column.
    """
    table = read_table(path)
    named, group = _columns(path, table.columns, truth, group)
    names = [(name, _place(path, name)) for name in _cells(table, named)]
    items = [Item(shown(name), place) for name, place in names]
    if truth == FOLDER:
        items = _items(names, [_below(Path(name)) for name, _ in names], classes)
    elif truth is not None:
        items = [
            item._replace(truth=classes.get(label) or classes.get(short(label), label))
            for item, label in zip(items, _cells(table, truth), strict=True)
        ]
    if group is not None:
        items = [item._replace(group=cell) for item, cell in zip(items, _cells(table, group), strict=True)]
    return ImageList(items, len(items), group=group)


def _place(table: Path, name: str) -> Path:
    """Return the path of an image that a table names."""
    beside = table.parent / name
    return beside if beside.exists() or not Path(name).exists() else Path(name)


def _cells(table: Table, column: str) -> list[str]:
    """Return the cells of a column.

    Raises:
        GraftError: there are several of this name, which may differ.
    """
    if table.columns.count(column) > 1:
        raise GraftError(f"{table.path} has several columns {column}; rename them in its header")
    return table.column(column)


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
            near = nearest(str(column), [name for name in columns if name != named] or columns)
            has = ", ".join(columns[:8])
            raise GraftError(f"the table {path} has no column {column}; did you mean {key}={near[0]}? it has {has}")
    groups = matching("group", [name for name in columns if name not in (named, truth)])
    return named, group or (groups[0] if truth is not None and len(groups) == 1 else None)
