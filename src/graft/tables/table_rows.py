"""The rows of tables of images: each row's path, label, part, group and domain, and the meaning of the parts."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from graft.errors import GraftError
from graft.reading.layout import PART_NAME, PARTS
from graft.tables.columns import AUTO, GUESSED, KEYS, Columns, find_columns, in_words
from graft.tables.located import Located
from graft.tables.table import Table, read_table

log = logging.getLogger("graft")


@dataclass(frozen=True)
class Listing:
    """Tables of images, as a configuration names them.

    Attributes:
        files: the tables.
        root: folder that paths are relative to; None: each table's own.
        columns: the columns.
        suffix: of the files, where the tables name them without one; None: the only one that there is.
        group_pattern: finds the group in a path; None: a column has it, or there are no groups.
        origin: what was typed in place of tables; None: the tables.
    """

    files: tuple[str, ...]
    root: str | None = None
    columns: Columns = GUESSED
    suffix: str | None = None
    group_pattern: str | None = None
    origin: str | None = None

    @property
    def words(self) -> str:
        """The tables, or their origin, as they are typed."""
        typed = self.files[0] if len(self.files) == 1 else f"[{','.join(self.files)}]"
        return self.origin or f"dataset.file={typed}"


def listing_of(settings: Mapping[str, Any]) -> Listing:
    """Return the tables that the keys of a data set name; keys that it lacks have their defaults."""
    file = settings.get("file") or ()
    columns = Columns(**{key: settings[key] for key in KEYS if key in settings})
    files = (file,) if isinstance(file, str) else tuple(file)
    return Listing(files, settings.get("root"), columns, settings.get("suffix"), settings.get("group_pattern"))


class Row(NamedTuple):
    """A row: where it stands, and its cells; `split`, `group` and `domain` are empty in tables without them."""

    where: str
    folder: Path
    image: str
    label: str
    split: str
    group: str
    domain: str = ""


def read_rows(listing: Listing, located: Located) -> list[Row]:
    """Return the rows of all tables.

    Of several tables those without a column of parts have the part of their names: train.csv and test.csv.

    Raises:
        GraftError: a table cannot be read, or its columns have no clear meaning.
    """
    columns, several = listing.columns, len(listing.files) > 1
    if listing.group_pattern is not None and columns.group == AUTO:
        columns = columns._replace(group=None)
    rows: list[Row] = []
    kinds: dict[str, tuple[bool, bool]] = {}
    for file in listing.files:
        table = read_table(Path(file).expanduser())
        folder = (table.path.parent if listing.root is None else Path(listing.root).expanduser()).absolute()
        found = find_columns(table, columns, lambda cell, folder=folder: located(folder, cell) is not None)
        if located(folder, found.image) is not None:
            raise GraftError(
                f"the first line of {table.path} names the file {found.image}, so that it is no header; try to add "
                "one, such as file,label"
            )
        log.info("%s: %s rows, %s", table.path, f"{len(table.rows):,}", in_words(found))
        part = _part_of_name(table.path) if several and columns.split is not None else ""
        splits = table.column(found.split) if found.split else [part] * len(table.rows)
        groups = table.column(found.group) if found.group else [""] * len(table.rows)
        domains = table.column(found.domain) if found.domain else [""] * len(table.rows)
        kinds[file] = bool(found.split or part), bool(found.group)
        where = [f"{table.row_word} {line}" + (f" of {table.path.name}" if several else "") for line in table.lines]
        _refuse_empty(table, {"split": (found.split, splits), "group": (found.group, groups)})
        images = [row[table.columns.index(found.image)] for row in table.rows]
        cells = zip(where, images, table.column(found.label), splits, groups, domains, strict=True)
        rows += [Row(place, folder, *others) for place, *others in cells]
    _check_alike(kinds)
    return rows


def _refuse_empty(table: Table, columns: Mapping[str, tuple[str | None, Sequence[str]]]) -> None:
    """Refuse columns without any value, which would leave images without the parts or groups that are expected."""
    for key, (name, cells) in columns.items():
        if name and not any(cells):
            raise GraftError(
                f"{table.path}: the column {name}, which is dataset.{key}, is empty; fill it in, or try "
                f"dataset.{key}=null, which does without"
            )


def _check_alike(kinds: Mapping[str, tuple[bool, bool]]) -> None:
    """Refuse tables of which some have parts, or groups, and others have not."""
    for place, (key, what) in enumerate((("split", "parts"), ("group", "groups"))):
        with_it = [file for file, has in kinds.items() if has[place]]
        lacking = [file for file, has in kinds.items() if not has[place]]
        if with_it and lacking:
            raise GraftError(
                f"{', '.join(with_it)} has {what}, and {', '.join(lacking)} has not; add a column to it, or try "
                f"dataset.{key}=null"
            )


def _part_of_name(path: Path) -> str:
    """Return the word of a table's name that is a part's: `test` of labels_test.csv; empty if none or several are."""
    words = [word for word in re.split(r"[\W_]+", path.stem) if PART_NAME.fullmatch(word)]
    return words[0] if len(words) == 1 else ""


def meaning_of_parts(splits: Sequence[str], words: str) -> dict[str, str]:
    """Return the part that each of the texts means, of those that mean one; none if all are empty.

    `eval`, and without a test part `valid`, are the test part, as for folders.

    Args:
        splits: texts such as Training, valid and test.
        words: the tables, for messages.

    Raises:
        GraftError: nothing is for training.
    """
    matches = {each: PART_NAME.fullmatch(each) for each in dict.fromkeys(splits) if each}
    if not matches:
        return {}
    found = {each: str(match.lastgroup) for each, match in matches.items() if match}
    evaluation = "val" if "test" in found.values() else "test"
    found = {each: evaluation if part == "eval" else part for each, part in found.items()}
    if "test" not in found.values() and "val" in found.values():
        named = ", ".join(each for each, part in found.items() if part == "val")
        log.info("%s has no test part: %s is the test set", words, named)
        found = {each: "test" if part == "val" else part for each, part in found.items()}
    if "train" not in found.values():
        raise GraftError(
            f"{words} has no row of a training part; its parts are {', '.join(matches)}: name one train, or try "
            "dataset.split=null"
        )
    return {each: found[each] for each in sorted(found, key=lambda each: PARTS.index(found[each]))}
