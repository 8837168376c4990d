"""Images that the user left out by marking them in an audit's table, `dataset.exclude=audit.csv`.

Do not import torch here: `--help` must answer in under a second.
"""

import csv
import hashlib
import io
from pathlib import Path

from graft.errors import GraftError

MARKS = {"x", "1", "yes", "true", "y"}  # in the column `exclude`, in upper or lower case
UNMARKED = {"", "0", "no", "false", "n"}
ADVICE = "python src/audit.py writes one; mark rows with x in its column exclude"


def marked(path: str | Path) -> dict[str, str]:
    """Return the marked images of a table: their names, and the digests of their contents where the table has them.

    Args:
        path: a CSV file with the columns `file` and `exclude`, and perhaps `hash`; spreadsheets may have saved it
            with semicolons or tabs.

    Raises:
        GraftError: the file cannot be read, lacks a column, has an unclear mark, or marks nothing.
    """
    where = Path(path).expanduser()
    try:
        text = where.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise GraftError(f"dataset.exclude={path} cannot be read ({why}); {ADVICE}") from None
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    missing = {"file", "exclude"} - set(rows.fieldnames or ())
    if missing:
        raise GraftError(f"dataset.exclude={path} has no column {' and '.join(sorted(missing))}; {ADVICE}")
    found: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        mark = (row["exclude"] or "").strip().lower()
        if mark not in MARKS | UNMARKED:
            raise GraftError(
                f"dataset.exclude={path} has {row['exclude']!r} in its column exclude, line {number}; "
                "mark what is left out with x, and leave the others empty"
            )
        if mark in MARKS and not row["file"]:
            raise GraftError(f"dataset.exclude={path} marks line {number}, which names no file; unmark it")
        if mark in MARKS:
            found[row["file"]] = row.get("hash") or ""
    if not found:
        raise GraftError(f"dataset.exclude={path} marks nothing; {ADVICE}, or try dataset.exclude=null")
    return found


def marks_digest(path: str | Path) -> str:
    """Return a digest of what a table marks, wherever it is and whatever else is in it."""
    return hashlib.sha256("\n".join(sorted(marked(path))).encode()).hexdigest()[:32]
