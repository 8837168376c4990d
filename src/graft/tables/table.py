"""Tables in files: CSV in any dialect and encoding, or Parquet, as rows of texts."""

import csv
import io
import itertools
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from graft.errors import GraftError

log = logging.getLogger("graft")

DELIMITERS = ",;\t|"
LOOKED_AT = 200  # records by which a delimiter is chosen
BYTE_ORDER = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # marks at a file's start


@dataclass(frozen=True)
class Table:
    """A table whose cells are texts; an empty text is a missing value, and `NA` is not.

    Attributes:
        path: of its file.
        columns: their names, in their order.
        rows: the cells of each row, as many as columns.
        lines: the number of each row: in a text file that of its last line, from 1, in Parquet its place, from 1.
    """

    path: Path
    columns: list[str]
    rows: list[list[str]]
    lines: list[int]

    @property
    def row_word(self) -> str:
        """What `lines` number."""
        return "row" if self.path.suffix.lower() == ".parquet" else "line"

    def column(self, name: str) -> list[str]:
        """Return a column's cells, without spaces around them."""
        place = self.columns.index(name)
        return [row[place].strip() for row in self.rows]


def read_table(path: Path) -> Table:
    """Read a table with a header; rows without any value are left out, as empty lines are.

    Raises:
        GraftError: the file cannot be read, has no rows, or some row has other columns than the header.
    """
    if not path.is_file():
        wrong = "is a folder" if path.is_dir() else "does not exist"
        raise GraftError(f"the table {path} {wrong}; expected a file .csv, .tsv or .parquet with a row for each image")
    numbered = _parquet_rows(path) if path.suffix.lower() == ".parquet" else _text_rows(path)
    header, records = numbered[0][1], [(line, row) for line, row in numbered[1:] if any(map(str.strip, row))]
    if not records:
        raise GraftError(f"the table {path} has no rows below its header, {', '.join(header)}; expected one each image")
    columns = [name.strip() for name in header]
    table = Table(path, columns, [row for _, row in records], [line for line, _ in records])
    ragged = [(line, row) for line, row in records if len(row) != len(columns)]
    if ragged:
        few = ", ".join(f"{table.row_word} {line} has {len(row)}" for line, row in ragged[:10])
        raise GraftError(
            f"{len(ragged):,} rows of {path} do not have the {len(columns)} cells of its header: {few}; put texts that "
            "contain the delimiter into double quotes, and complete rows that are cut off"
        )
    return table


def _text_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the number and the cells of each row of a text file, the header first."""
    text = re.sub(r"\Asep=.(?=\r?\n)", "", _decoded(path))  # Excel's line before the header
    try:
        rows = list(_records(text, *_dialect(text, "\t" if path.suffix.lower() == ".tsv" else DELIMITERS)))
    except csv.Error as error:
        raise GraftError(f"the table {path} cannot be read as CSV ({error}); save it again, as CSV in UTF-8") from None
    if not rows:
        raise GraftError(f"the table {path} is empty; expected a header and a row for each image")
    return rows


def _decoded(path: Path) -> str:
    """Return the text of a file in UTF-8, UTF-16 with its mark, or else in Windows' alphabet for Western Europe."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GraftError(f"the table {path} cannot be read: {error.strerror}; change that, or copy it") from None
    mark = next((name for start, name in BYTE_ORDER.items() if content.startswith(start)), None)
    for encoding in (mark,) if mark else ("utf-8", "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        if encoding == "cp1252":
            log.warning("%s is not UTF-8 and was read as cp1252, Windows' Western European; if names look wrong, "
                        "save it as UTF-8", path)  # fmt: skip
        return text
    raise GraftError(f"the table {path} is no text in UTF-8, UTF-16 or cp1252; save it as CSV in UTF-8")


def _dialect(text: str, delimiters: str) -> tuple[str, bool]:
    """Return the delimiter, and whether spaces follow it: most of the first rows then have as many cells as the header.

    Of several such dialects it is the one with most cells, and without spaces, which may belong to names, unless double
    quotes follow them.
    """

    def merit(dialect: tuple[str, bool]) -> tuple[float, int, int]:
        try:
            rows = [row for _, row in itertools.islice(_records(text, *dialect), LOOKED_AT)]
        except csv.Error:
            return 0.0, 0, 0
        if not rows or len(rows[0]) == 1:
            return 0.0, 0, 0
        alike = sum(len(row) == len(rows[0]) for row in rows)
        quoted = sum(bool(re.match(' +"', cell)) for row in rows for cell in row)
        return alike / len(rows), len(rows[0]), -quoted

    return max(((delimiter, spaces) for delimiter in delimiters for spaces in (False, True)), key=merit)


def _records(text: str, delimiter: str, spaces: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each row that has any.

    Raises:
        csv.Error: a quoted text does not end, or goes on after its end.
    """
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=spaces)
    for row in reader:
        if row:
            yield reader.line_num, row


def _parquet_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the place and the cells of each row of a Parquet file, the header first."""
    try:
        from pyarrow import ArrowException, parquet  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise GraftError('Parquet needs pyarrow, which is not installed; try pip install -e ".[parquet]"') from None
    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise GraftError(f"the table {path} cannot be read as Parquet ({reason}); write it again, or as CSV") from None

    columns = [_texts(name, table.column(name).to_pylist()) for name in table.column_names]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return [(0, list(table.column_names)), *enumerate(rows, 1)]


def _texts(name: str, values: Sequence[object]) -> list[str]:
    """Return values as texts: 3.0 is "3" in a column of whole numbers, as columns with missing numbers have them."""
    held = next((value for value in values if isinstance(value, dict | list | bytes)), None)
    if held is not None:
        return [f"<{type(held).__name__}>"] * len(values)  # never a path, a class or a group
    given = [value for value in values if value is not None and value == value]
    whole = all(isinstance(value, float) and value.is_integer() for value in given)
    return [
        "" if value is None or value != value else str(int(value) if whole else value)  # type: ignore[call-overload]
        for value in values
    ]
