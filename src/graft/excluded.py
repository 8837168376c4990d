"""Images that the user left out by marking them in an audit's table, `dataset.exclude=audit.csv`.

Do not import torch here: `--help` must answer in under a second.
"""

import csv
import hashlib
import io
from pathlib import Path

from graft.errors import GraftError

MARKS = {"x", "1", "1.0", "yes", "true", "y"}  # in the column `exclude`, in upper or lower case
UNMARKED = {"", "0", "0.0", "no", "false", "n"}
UNREADABLE, IGNORED = "unreadable", "ignored"  # findings about files; ignored ones are in no data set, marked or not
ADVICE = "python src/audit.py writes one; mark rows with x in its column exclude"


def marked(path: str | Path) -> dict[str, str]:
    """Return the marked files of a table: their names, and the digests of their contents where the table has them.

    Args:
        path: a CSV file with the columns `file` and `exclude`, and perhaps `hash`; spreadsheets may have saved it
            with semicolons or tabs.

    Raises:
        GraftError: the file cannot be read, lacks a column or has it twice, has an unclear mark, or marks nothing.
    """
    return {name: digest for name, digest, _ in _marks(path)}


def marked_unreadable(path: str | Path) -> set[str]:
    """Return the names of a table's marked files of which an audit says only that they cannot be read.

    They may be none of the data set's, which leaves out what it cannot read and the table marks.
    """
    marks = _marks(path)
    return {name for name, _, finding in marks if finding == UNREADABLE} - {
        name for name, _, finding in marks if finding != UNREADABLE
    }


def _marks(path: str | Path) -> list[tuple[str, str, str]]:
    """Return the name, the digest and the finding of each marked row, without ignored files."""
    columns, rows = _read(path)
    found: list[tuple[str, str, str]] = []
    in_none = False
    for line, cells in rows:
        row = dict(zip(columns, cells, strict=False))  # programs leave out empty cells at the end
        mark = row.get("exclude", "").strip().lower()
        if mark not in MARKS | UNMARKED:
            raise GraftError(
                f"dataset.exclude={path} has {row['exclude']!r} in its column exclude, line {line}; "
                "mark what is left out with x, and leave the others empty"
            )
        if mark in MARKS and not row.get("file"):
            raise GraftError(f"dataset.exclude={path} marks line {line}, which names no file; unmark it")
        if mark in MARKS and row.get("finding") == IGNORED:
            in_none = True
        elif mark in MARKS:
            found.append((row["file"], row.get("hash", ""), row.get("finding", "")))
    if not found:
        what = "no image, only files that no data set has" if in_none else "nothing"
        raise GraftError(f"dataset.exclude={path} marks {what}; {ADVICE}, or try dataset.exclude=null")
    return found


def _read(path: str | Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return a table's columns, and the line and the cells of each row.

    Raises:
        GraftError: it cannot be read, or has not each of the columns once.
    """
    where = Path(path).expanduser()
    try:
        text = where.read_bytes().decode("utf-8-sig")
        if "\0" in text:
            raise UnicodeError
        head = text.partition("\n")[0]
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True)
        columns = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num, cells) for cells in reader]
    except (OSError, UnicodeError, csv.Error) as error:
        why = f"CSV: {error}" if isinstance(error, csv.Error) else getattr(error, "strerror", "it is not UTF-8")
        raise GraftError(f"dataset.exclude={path} cannot be read ({why}); {ADVICE}") from None
    missing = {"file", "exclude"} - set(columns)
    if missing:
        raise GraftError(f"dataset.exclude={path} has no column {' and '.join(sorted(missing))}; {ADVICE}")
    twice = [name for name in ("file", "exclude", "hash") if columns.count(name) > 1]
    if twice:
        raise GraftError(f"dataset.exclude={path} has several columns {twice[0]}; leave one of them")
    long = [line for line, cells in rows if any(cells[len(columns) :])]
    if long:
        raise GraftError(
            f"dataset.exclude={path} has more cells than its header in line {long[0]}; put names that contain the "
            "delimiter into double quotes"
        )
    return columns, rows


def marks_digest(path: str | Path) -> str:
    """Return a digest of what a table marks, wherever it is and whatever else is in it."""
    return hashlib.sha256("\n".join(sorted(marked(path))).encode()).hexdigest()[:32]
