import csv
import io
import json
import sys
from pathlib import Path

import pytest

from graft.errors import GraftError
from graft.inference.predict import Row
from graft.inference.tables import COLUMNS, MORE, format_of, opened

ROWS = [
    Row('a, "b"\n.png', "cat", 0.987654321, "dog", 0.8),
    Row("été.png", error="empty file"),
    Row("c", "dog", 1.0, "cat"),
]
FORMATS = [
    (None, None, "csv"),
    (None, "jsonl", "jsonl"),
    ("p.jsonl", None, "jsonl"),
    ("p.CSV", None, "csv"),
    ("p", "csv", "csv"),
]


def test_a_csv_table_has_a_row_for_each_image_whatever_its_name(tmp_path: Path):
    printed = io.StringIO(newline="")
    for output in (None, tmp_path / "out" / "p.csv"):
        with opened(output, "csv", printed) as write:
            for row in ROWS:
                write(row)
    assert (tmp_path / "out" / "p.csv").read_bytes().decode() == printed.getvalue()
    header, *rows = csv.reader(io.StringIO(printed.getvalue(), newline=""))
    assert tuple(header) == COLUMNS
    assert rows == [
        ['a, "b"\n.png', "cat", "0.987654", "dog", "0.8", ""],
        ["été.png", "", "", "", "", "empty file"],
        ["c", "dog", "1", "cat", "", ""],
    ]


def test_a_line_of_json_has_null_for_what_is_empty(capsys: pytest.CaptureFixture[str]):
    with opened(None, "jsonl", sys.stdout) as write:
        for row in ROWS:
            write(row)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == {**dict.fromkeys(COLUMNS), "file": "été.png", "error": "empty file"}
    assert lines[2] == {**dict.fromkeys(COLUMNS), "file": "c", "class": "dog", "probability": 1.0, "second": "cat"}


def test_parquet_has_the_same_columns(tmp_path: Path):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    with opened(tmp_path / "p.parquet", "parquet", sys.stdout) as write:
        for row in ROWS * 3000:
            write(row)
    table = parquet.read_table(tmp_path / "p.parquet")
    assert tuple(table.column_names) == COLUMNS
    assert len(table) == 9000
    assert table.slice(1, 1).to_pylist() == [{**dict.fromkeys(COLUMNS), "file": "été.png", "error": "empty file"}]


def test_parquet_without_pyarrow_is_refused_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(GraftError, match=r"pip install -e .*parquet"):
        format_of(Path("p.parquet"), None)


def test_an_interrupted_table_does_not_replace_the_old_one(tmp_path: Path):
    (tmp_path / "p.csv").write_text("old")

    def interrupted() -> None:
        with opened(tmp_path / "p.csv", "csv", sys.stdout) as write:
            write(ROWS[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]
    assert (tmp_path / "p.csv").read_text() == "old"


@pytest.mark.parametrize(("output", "typed", "found"), FORMATS)
def test_the_format_is_typed_or_the_suffix(output: str | None, typed: str | None, found: str):
    assert format_of(Path(output) if output else None, typed) == found


@pytest.mark.parametrize(
    ("output", "typed", "said"),
    [
        ("p.csv", "jsonl", "try output=p.jsonl"),
        ("p.txt", None, "names no format"),
        (None, "parquet", "needs a file"),
        (".", None, "is a folder"),
    ],
)
def test_a_format_that_is_not_clear_is_refused(output: str | None, typed: str | None, said: str):
    with pytest.raises(GraftError, match=said):
        format_of(Path(output) if output else None, typed)


MEASURED = [
    Row("a", "cat", 0.5, "dog", 1.0, "", 'cat|"a|b"', 0.0, False),
    Row("b", "cat", 0.5, "dog", 1.0, "", "cat", 1.23456789, True),
]


def test_columns_that_are_asked_for_follow(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = [*MEASURED, Row("c", error="empty file")]
    with opened(None, "csv", sys.stdout, [*COLUMNS, *MORE]) as write:
        for row in rows:
            write(row)
    header, *lines = csv.reader(io.StringIO(capsys.readouterr().out, newline=""))
    assert header[6:] == ["set", "novelty", "novel"]
    assert [line[6:] for line in lines] == [['cat|"a|b"', "0", "false"], ["cat", "1.23457", "true"], ["", "", ""]]
    with opened(None, "jsonl", sys.stdout, [*COLUMNS, "novelty", "novel"]) as write:
        for row in rows:
            write(row)
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["novel"] for line in found] == [False, True, None]
    assert [line["novelty"] for line in found] == [0.0, 1.23456789, None]
    assert "set" not in found[0]


def test_parquet_has_the_columns_that_are_asked_for(tmp_path: Path):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    with opened(tmp_path / "p.parquet", "parquet", sys.stdout, [*COLUMNS, *MORE]) as write:
        for row in MEASURED:
            write(row)
    table = parquet.read_table(tmp_path / "p.parquet")
    assert table.column("novel").to_pylist() == [False, True]
    assert table.column("set").to_pylist() == ['cat|"a|b"', "cat"]
