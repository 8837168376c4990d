import csv
import io
import logging
from pathlib import Path

import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graft.errors import GraftError
from graft.tables.table import read_table

CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12) | st.sampled_from(
    ["a,b", "c;d", 'say "cat"', "two\nlines", "photos\\cat\\1.jpg", "NA", "None", "007", "Ω日本 ", "x|y", "1\t2"]
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, st.just("") | CELLS), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    newline=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_a_table_is_read_as_pandas_reads_it(tmp_path: Path, rows, delimiter, encoding, newline, quoting):
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=newline, quoting=quoting)
    writer.writerow(["path", "label", "patient"])
    writer.writerows(rows)
    path = tmp_path / "labels.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    kept = [row for row in rows if any(map(str.strip, row))]
    if not kept:
        return
    table = read_table(path)
    expected = pandas.read_csv(
        path, sep=delimiter, encoding=encoding, dtype=str, keep_default_na=False, skip_blank_lines=False
    )
    expected = expected[expected.map(str.strip).any(axis=1)]
    assert table.columns == ["path", "label", "patient"]
    assert table.rows == expected.to_numpy().tolist()


def test_lines_are_those_of_the_file(tmp_path: Path):
    (tmp_path / "a.csv").write_text('path,label\n1.jpg,"a\nb"\n\n2.jpg,c\n,\n3.jpg,d\n')
    table = read_table(tmp_path / "a.csv")
    assert table.column("label") == ["a\nb", "c", "d"]
    assert table.lines == [3, 5, 7]


def test_spaces_after_a_delimiter_belong_to_no_quotes(tmp_path: Path):
    (tmp_path / "a.csv").write_text('path, label\n1.jpg, "cat, old"\n2.jpg, dog\n')
    table = read_table(tmp_path / "a.csv")
    assert table.columns == ["path", "label"]
    assert table.column("label") == ["cat, old", "dog"]
    (tmp_path / "a.csv").write_text('path, "label"\n1.jpg, "cat"\n 2.jpg, dog\n')  # no cell holds the delimiter
    table = read_table(tmp_path / "a.csv")
    assert table.columns == ["path", "label"]
    assert table.column("label") == ["cat", "dog"]
    (tmp_path / "a.csv").write_text('path, label\n1.jpg, 5" pipe\n')
    assert read_table(tmp_path / "a.csv").rows == [["1.jpg", ' 5" pipe']]


def test_a_table_from_windows(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "a.csv"
    path.write_bytes("path;label\r\nbär.jpg;Größe\r\n".encode("cp1252"))
    with caplog.at_level(logging.WARNING):
        assert read_table(path).rows == [["bär.jpg", "Größe"]]
    assert "not UTF-8 and was read as cp1252" in caplog.text


@pytest.mark.parametrize(("end", "encoding"), [("\r\n", "utf-8-sig"), ("\n", "utf-16")])
def test_the_line_with_which_excel_names_the_delimiter_is_no_header(tmp_path: Path, end: str, encoding: str):
    path = tmp_path / "labels.csv"
    path.write_bytes(end.join(["sep=;", "path;label", "1.png;a,b", "2.png;c"]).encode(encoding))
    table = read_table(path)
    assert (table.columns, table.rows, table.lines) == (["path", "label"], [["1.png", "a,b"], ["2.png", "c"]], [3, 4])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"path,label\n", "has no rows below its header, path, label"),
        (b"path,label\n1.jpg,a,b\n2.jpg\n", "2 rows .* line 2 has 3, line 3 has 1; put texts"),
        (b'path,label\n"1.jpg,a\n', "cannot be read as CSV"),
        (b"\x00\x01\x02", "is no text"),
        ("path,label\n1.jpg,a\n".encode("utf-16-le"), "is no text"),
        (b"\x81\x8d\x8f,label\n\xff,a\n", "is no text"),
    ],
)
def test_a_file_that_is_no_table(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(GraftError, match=message):
        read_table(tmp_path / "a.csv")


def test_no_file_a_folder_and_a_damaged_parquet_file(tmp_path: Path):
    with pytest.raises(GraftError, match="does not exist"):
        read_table(tmp_path / "a.csv")
    with pytest.raises(GraftError, match="is a folder"):
        read_table(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(GraftError, match="cannot be read as Parquet"):
        read_table(tmp_path / "a.parquet")


def test_parquet_values_are_texts(tmp_path: Path):
    frame = pandas.DataFrame({
        "path": ["1.jpg", "2.jpg", "3.jpg"],
        "label": [1.0, None, 3.0],
        "code": ["01", "NA", None],
        "score": [0.5, 1.0, None],
        "picture": [{"bytes": b"1"}, {"bytes": b"2"}, None],
    })  # fmt: skip
    frame.to_parquet(tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    assert table.column("label") == ["1", "", "3"]
    assert table.column("code") == ["01", "NA", ""]
    assert table.column("score") == ["0.5", "1.0", ""]
    assert set(table.column("picture")) == {"<dict>"}
    assert table.lines == [1, 2, 3]
    assert table.row_word == "row"
