from pathlib import Path

import pytest

from graft.errors import GraftError
from graft.tables.columns import GUESSED, Columns
from graft.tables.located import Located
from graft.tables.table_rows import Listing, listing_of, meaning_of_parts, read_rows


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        ("", {}),
        ("train test", {"train": "train", "test": "test"}),
        ("Training valid TEST", {"Training": "train", "valid": "val", "TEST": "test"}),
        ("train dev", {"train": "train", "dev": "test"}),  # without a test part
        ("train eval", {"train": "train", "eval": "test"}),
        ("train eval test", {"train": "train", "eval": "val", "test": "test"}),
        ("train training", {"train": "train", "training": "train"}),
        ("train 1", {"train": "train"}),
    ],
)
def test_the_meaning_of_parts(splits: str, expected: dict[str, str]):
    assert meaning_of_parts(splits.split(), "dataset.file=a.csv") == expected


def test_nothing_to_train_on():
    with pytest.raises(GraftError, match="no row of a training part; its parts are test, val"):
        meaning_of_parts(["test", "val"], "dataset.file=a.csv")


def rows_of(root: Path, columns: Columns = GUESSED, **tables: str) -> list[tuple[str, str, str, str]]:
    for name, text in tables.items():
        (root / f"{name}.csv").write_text(text)
    files = tuple(str(root / f"{name}.csv") for name in tables)
    return [(row.where, row.label, row.split, row.group) for row in read_rows(Listing(files, None, columns), Located())]


def test_several_tables_have_the_parts_of_their_names(tmp_path: Path):
    found = rows_of(tmp_path, labels_train="path,label\n1.jpg,a\n", test="path,label\n2.jpg,b\n")
    assert found == [("line 2 of labels_train.csv", "a", "train", ""), ("line 2 of test.csv", "b", "test", "")]
    one = rows_of(tmp_path, train="path,label\n1.jpg,a\n")
    assert one == [("line 2", "a", "", "")]
    joined = rows_of(tmp_path, Columns(split=None), train="path,label\n1.jpg,a\n", test="path,label\n2.jpg,b\n")
    assert [row[2] for row in joined] == ["", ""]


def test_a_column_counts_more_than_a_table_s_name(tmp_path: Path):
    found = rows_of(tmp_path, train="path,label,split\n1.jpg,a,test\n", test="path,label\n2.jpg,b\n")
    assert [row[2] for row in found] == ["test", "test"]


def test_tables_that_differ_in_what_they_have(tmp_path: Path):
    with pytest.raises(GraftError, match=r"train.csv has parts, and .*more.csv has not; .* dataset.split=null"):
        rows_of(tmp_path, train="path,label\n1.jpg,a\n", more="path,label\n2.jpg,b\n")
    with pytest.raises(GraftError, match=r"a.csv has groups, and .*b.csv has not"):
        rows_of(tmp_path, a="path,label,patient\n1.jpg,a,1\n", b="path,label\n2.jpg,b\n")


def test_the_keys_of_a_configuration():
    assert listing_of({"file": "a.csv", "group": None}) == Listing(("a.csv",), columns=Columns(group=None))
    assert listing_of({"file": ["a.csv", "b.csv"], "root": "r"}) == Listing(("a.csv", "b.csv"), "r")


def test_a_first_line_that_names_a_file_is_no_header(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / "photos" / name).touch()
    with pytest.raises(GraftError, match=r"first line of .*a.csv names the file photos/1.jpg, so that it is no header"):
        rows_of(tmp_path, a="photos/1.jpg,cat\nphotos/2.jpg,dog\n")
