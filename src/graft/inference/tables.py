"""Tables of predictions as CSV, JSON lines or Parquet, written row by row to standard output or into a file."""

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from graft.errors import GraftError
from graft.files import new_file
from graft.inference.predict import Row

COLUMNS = ("file", "class", "probability", "second", "agreement", "error")
MORE = ("set", "novelty", "novel")  # columns that are asked for
FORMATS = ("csv", "parquet", "jsonl")
ROWS_AT_ONCE = 4096  # of a Parquet file

Write = Callable[[Row], None]


def format_of(output: Path | None, typed: str | None) -> str:
    """Return the format of a table: the one that was typed, or that of the file's suffix, or CSV.

    Raises:
        GraftError: the two differ, or Parquet would go to the terminal, or cannot be written.
    """
    if output is None:
        if typed == "parquet":
            raise GraftError("format=parquet needs a file, as it is no text; try output=predictions.parquet")
        return typed or "csv"
    suffix = output.suffix.lower().removeprefix(".")
    if output.is_dir():
        raise GraftError(f"output={output} is a folder; try output={output / 'predictions.csv'}")
    if typed and suffix in FORMATS and typed != suffix:
        raise GraftError(f"format={typed} and output={output} differ; try output={output.with_suffix('.' + typed)}")
    if not typed and suffix not in FORMATS:
        raise GraftError(f"output={output} names no format; try output={output}.csv, or format=csv")
    found = typed or suffix
    if found == "parquet":
        _pyarrow()
    return found


@contextmanager
def opened(output: Path | None, kind: str, stdout: TextIO, columns: Sequence[str] = COLUMNS) -> Iterator[Write]:
    """Give a block a function that writes a row, and complete the table as it ends.

    Args:
        output: the file; it appears under its name when all rows are written. None: standard output.
        kind: one of `FORMATS`.
        stdout: standard output.
        columns: some of `COLUMNS` and `MORE`.
    """
    text = _csv if kind == "csv" else _jsonl
    if output is None:
        yield text(stdout, columns)
    elif kind == "parquet":
        with _parquet(output, columns) as write:
            yield write
    else:
        with new_file(output) as path, path.open("w", encoding="utf-8", newline="") as file:
            yield text(file, columns)


def _csv(file: TextIO, columns: Sequence[str]) -> Write:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)

    def write(row: Row) -> None:
        writer.writerow([_as_text(value) for value in nulled(row, columns).values()])

    return write


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else value  # None is written as nothing


def _jsonl(file: TextIO, columns: Sequence[str]) -> Write:
    def write(row: Row) -> None:
        file.write(json.dumps(nulled(row, columns), ensure_ascii=False) + "\n")

    return write


def nulled(row: Row, columns: Sequence[str]) -> dict[str, Any]:
    """Return a row's values by some of `COLUMNS` and `MORE`, None for what is empty."""
    values: dict[str, Any] = dict(zip((*COLUMNS, *MORE), row, strict=False))
    return {name: None if values[name] == "" else values[name] for name in columns}


@contextmanager
def _parquet(output: Path, columns: Sequence[str]) -> Iterator[Write]:
    arrow, parquet = _pyarrow()
    numbers = dict.fromkeys(("probability", "agreement", "novelty"), arrow.float64())
    kinds = numbers | {"novel": arrow.bool_()}
    schema = arrow.schema([(name, kinds.get(name, arrow.string())) for name in columns])
    rows: list[dict[str, Any]] = []
    with new_file(output) as path, parquet.ParquetWriter(os.fspath(path), schema) as writer:

        def flush() -> None:
            writer.write_table(arrow.Table.from_pylist(rows, schema))
            rows.clear()

        def write(row: Row) -> None:
            rows.append(nulled(row, columns))
            if len(rows) == ROWS_AT_ONCE:
                flush()

        yield write
        flush()


def _pyarrow() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet.

    Raises:
        GraftError: it is not installed.
    """
    try:
        import pyarrow  # pyright: ignore[reportMissingImports]
        from pyarrow import parquet  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise GraftError('Parquet needs pyarrow, which is not installed; try pip install -e ".[parquet]"') from None
    return pyarrow, parquet
