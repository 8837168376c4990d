"""The columns of a table of images: which one has the paths, the labels, the parts, the groups and the domains."""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from graft.errors import ConfigError, Fault, GraftError, as_typed, nearest
from graft.tables.table import Table

log = logging.getLogger("graft")

AUTO = "auto"  # a column that is looked for
NAMES = {  # by which a column is known, in lower case and without signs
    "image": "path file filename filepath image imagename imagefile imagefilename imagepath imageid "
    "img imgpath imgname photo picture",
    "label": "label labels class classname classlabel category target diagnosis dx species breed",
    "split": "split set subset partition part phase dataset",
    "group": "group groupid patient patientid subject subjectid participant participantid",
    "domain": "",  # is never looked for
}
KEYS = tuple(NAMES)
LOOKED_AT = 20  # rows in which a column of paths is looked for


class Columns(NamedTuple):
    """The columns' names. As they are typed, `auto` looks for one; None does without."""

    image: str = AUTO
    label: str = AUTO
    split: str | None = AUTO
    group: str | None = AUTO
    domain: str | None = None


GUESSED = Columns()


def find_columns(table: Table, typed: Columns, exists: Callable[[str], bool]) -> Columns:
    """Return a table's columns: those that are typed, and others if their names, or their files, leave no doubt.

    Args:
        table: the table.
        typed: the keys.
        exists: whether a cell is the path of a file.

    Raises:
        GraftError: a column is missing, stands twice, or there are several that may be meant.
    """
    check_typed(table.path, table.columns, typed)
    taken = [name for name in typed if name not in (None, AUTO)]
    free = [name for name in table.columns if name not in taken]
    image = _image(table, typed.image, free, exists)
    free = [name for name in free if name != image]
    split, group = (_optional(table, key, getattr(typed, key), free) for key in ("split", "group"))
    label = _label(table, typed.label, [name for name in free if name not in (split, group)])
    found = Columns(image, label, split, group, typed.domain)
    _check_apart(table, found)
    return found


def check_typed(place: object, names: Sequence[str], typed: Columns) -> None:
    """Refuse columns that are typed and do not exist.

    Args:
        place: where they should be, for the message.
        names: of the columns there.
        typed: the keys.

    Raises:
        ConfigError: names the column.
    """
    for key, name in zip(KEYS, typed, strict=True):
        if name not in (None, AUTO, *names):
            expected, near = f"a column of {place}: {_listed(names)}", _example(key, name, names, typed)
            raise ConfigError([Fault(f"dataset.{key}", name, expected, f"dataset.{key}={near}")])


def _check_apart(table: Table, found: Columns) -> None:
    """Refuse columns that the table has twice, or that two keys name which must not share one.

    Raises:
        GraftError: names the column.
    """
    twice = [name for name in found if name is not None and table.columns.count(name) > 1]
    if twice:
        raise GraftError(f"{table.path} has several columns {twice[0]}; rename them in its header")
    if found.label in (found.image, found.split, found.group):
        raise GraftError(
            f"{table.path}: the column {found.label} cannot be dataset.label and another key; name another one"
        )
    if found.domain is not None and found.domain in found[:3]:
        key = next(key for key in KEYS if getattr(found, key) == found.domain)
        raise GraftError(
            f"{table.path}: the column {found.domain} cannot be dataset.domain and dataset.{key}; name another column"
        )


def in_words(found: Columns) -> str:
    """Return which columns are used, and how a group or a part is left out: image=path, label=diagnosis."""
    named = [f"{key}={name}" for key, name in zip(KEYS, found, strict=True) if name is not None]
    optional = [f"dataset.{key}=null" for key in ("split", "group") if getattr(found, key) is not None]
    return f"columns {', '.join(named)}" + (f" ({' or '.join(optional)} leaves one unused)" if optional else "")


def _image(table: Table, typed: str, free: Sequence[str], exists: Callable[[str], bool]) -> str:
    if typed != AUTO:
        return typed
    candidates = matching("image", free)
    if len(candidates) != 1:
        candidates = [name for name in candidates or free if any(map(exists, table.column(name)[:LOOKED_AT]))]
    if len(candidates) != 1:
        raise _unclear(table, "image", "paths of images", candidates)
    return candidates[0]


def _label(table: Table, typed: str, free: Sequence[str]) -> str:
    if typed != AUTO:
        return typed
    candidates = matching("label", free) or (list(free) if len(free) == 1 else [])
    if len(candidates) != 1:
        raise _unclear(table, "label", "labels", candidates)
    return candidates[0]


def _optional(table: Table, key: str, typed: str | None, free: Sequence[str]) -> str | None:
    if typed != AUTO:
        return typed
    candidates = matching(key, free)
    if len(candidates) > 1:
        raise _unclear(table, key, f"{key}s", candidates, f", or dataset.{key}=null")
    return candidates[0] if candidates else None


def matching(key: str, names: Sequence[str]) -> list[str]:
    """Return the names by which a key's column is known."""
    known = NAMES[key].split()
    return [name for name in names if "".join(each for each in name.casefold() if each.isalnum()) in known]


def _unclear(table: Table, key: str, what: str, candidates: Sequence[str], more: str = "") -> GraftError:
    if candidates:
        return GraftError(
            f"{table.path} has several columns that may be {what}: {_listed(candidates)}; "
            f"try dataset.{key}={as_typed(candidates[0])}{more}"
        )
    return GraftError(
        f"{table.path} has no column that is surely one of {what}; its columns are {_listed(table.columns)}: "
        f"try dataset.{key}=COLUMN, or add a header if these are values"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name or "(without a name)" for name in names[:20]) + (", ..." if len(names) > 20 else "")


def _example(key: str, wrong: object, names: Sequence[str], typed: Columns) -> str:
    """Return a column that a key may mean: the nearest to what was typed, and none that another key needs."""
    others = {name for each in KEYS if each != key for name in matching(each, names)} | {*typed}
    free = [name for name in names if name and name not in others]
    return [*nearest(str(wrong), free, similarity=0.6), *matching(key, free), *free, "COLUMN"][0]
