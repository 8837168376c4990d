import logging
from pathlib import Path

import pytest
from folders import write_classes, write_picture

from graft.data.dataset import ImageFolder
from graft.data.dataset_table import Table
from graft.errors import GraftError
from graft.reading.class_folders import Folder, list_folder
from graft.tables.columns import Columns
from graft.tables.table_files import list_table, table_parts
from graft.tables.table_rows import Listing

HEADER = "path,label,split,patient"


def listed(where: Path, *rows: str, header: str = HEADER, skip: bool = False, **settings) -> Folder:
    (where / "labels.csv").write_text("\n".join([header, *rows]))
    list_table.cache_clear()
    return list_table(Listing((str(where / "labels.csv"),), **settings), skip)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for number in range(8):
        write_picture(tmp_path / f"{number}.bmp", number)
    return tmp_path


def test_rows_become_files(pictures: Path):
    rows = ["3.bmp,dog,train,b", "1.bmp,cat,test,c", "2.bmp,cat,train,a", "0.bmp,dog,test,d"]
    folder = listed(pictures, *rows)
    found = [(file.path.name, file.class_name, file.part, file.group) for file in folder.files]
    assert found == [
        ("2.bmp", "cat", "train", "a"),
        ("3.bmp", "dog", "train", "b"),
        ("1.bmp", "cat", "test", "c"),
        ("0.bmp", "dog", "test", "d"),
    ]
    again = listed(pictures, *reversed(rows))
    assert again.files == folder.files
    assert again.identity == folder.identity
    absolute = listed(pictures, *(f"{pictures}/{row}" for row in rows))
    assert absolute.identity == folder.identity


def test_a_table_of_class_folders_is_the_same_data(tmp_path: Path):
    write_classes(tmp_path, train_cat=6, train_dog=5, test_cat=3, test_dog=4)
    settings = {"big": [], "small": "all", "small_per_class": 3}
    folder = ImageFolder(root=str(tmp_path), **settings)
    paths = [path.relative_to(tmp_path) for path in folder.images.folder.paths]  # type: ignore[attr-defined]
    rows = [f"{path.parts[1]}\t{path}\t{path.parts[0]}" for path in paths[::-1]]
    (tmp_path / "labels.tsv").write_text("\n".join(["class\tfile\tset", *rows]))
    table = Table(file=str(tmp_path / "labels.tsv"), **settings)
    assert table.images.fingerprint == folder.images.fingerprint
    assert table.sample(3)[0].tolist() == folder.sample(3)[0].tolist()
    assert table.test.tolist() == folder.test.tolist()
    assert table.account() == folder.account()
    list_folder.cache_clear()


def test_every_faulty_row_is_named_in_one_message(pictures: Path):
    rows = [
        "1.bmp,cat,train,a",
        ",cat,train,a",
        "2.bmp,,train,a",
        "3.bmp,dog,holdout,a",
        "4.bmp,dog,,a",
        "5.bmp,dog,train,",
        "77.bmp,dog,train,a",
        "1.bmp,dog,test,b",
    ]
    with pytest.raises(GraftError) as caught:
        listed(pictures, *rows)
    message = str(caught.value).splitlines()
    assert "labels.csv has rows that cannot be used:" in message[0]
    assert message[1:] == [
        "1 without a path: line 3",
        "1 without a label: line 4",
        "1 without a group (dataset.group=null does without groups): line 7",
        "2 of no part: train, val and test are, and names like them (dataset.split=null does without parts): "
        "line 5 (holdout), line 6 (empty)",
        "1 files with two labels: 1.bmp (cat in line 2 and dog in line 9)",
        "1 files with two splits: 1.bmp (train in line 2 and test in line 9)",
        "1 files with two groups: 1.bmp (a in line 2 and b in line 9)",
        f"1 whose file does not exist, seen from {pictures}: 77.bmp (line 8); try dataset.root=DIR, or "
        "dataset.skip_unreadable=true leaves them out",
    ]


def test_ten_rows_are_named_and_the_others_counted(pictures: Path):
    rows = [f"{number}.bmp,a,train,b" for number in range(100, 130)]
    with pytest.raises(GraftError, match=r"30 whose file .*100.bmp \(line 2\), .*109.bmp \(line 11\) and 20 more; try"):
        listed(pictures, *rows, skip=True)


def test_missing_and_unreadable_files_are_skipped_and_counted(pictures: Path, caplog: pytest.LogCaptureFixture):
    (pictures / "5.bmp").write_bytes(b"no picture")
    rows = ["1.bmp,a", "2.bmp,b", "3.bmp,a", "5.bmp,b", "6.png,b"]
    with caplog.at_level(logging.WARNING):
        folder = listed(pictures, *rows, header="path,label", skip=True)
    assert [path.name for path in folder.paths] == ["1.bmp", "3.bmp", "2.bmp"]
    assert folder.ignored == {"missing": 1, "unreadable": 1}
    assert "left out 1 row without a file: 6.png (line 6)" in caplog.text
    with pytest.raises(GraftError, match=r"1 of the 4 files under dataset.file=.*labels.csv cannot be read"):
        listed(pictures, *rows[:4], header="path,label")


def test_one_file_in_two_rows_that_say_the_same_is_a_duplicate(pictures: Path):
    rows = ["path,label", "1.bmp,a", "./1.bmp,a", "2.bmp,b", "3.bmp,a", "4.bmp,b"]
    (pictures / "labels.csv").write_text("\n".join(rows))
    data = Table(file=str(pictures / "labels.csv"), big=[], small="all", small_per_class=1)
    assert data.account()["duplicates"] == {"other_part": 0, "same_part": 1, "two_classes": 0}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["1.bmp,a,train", "2.bmp,b,train", "3.bmp,c,test"], "classes without training images: c; .* are a, b"),
        (["1.bmp,a,train", "2.bmp,a,test"], "one class only, a"),
        (["1.bmp,a,test", "2.bmp,b,test"], "no row of a training part"),
    ],
)
def test_classes_and_parts_that_cannot_be_learned(pictures: Path, rows: list[str], message: str):
    with pytest.raises(GraftError, match=message):
        listed(pictures, *rows, header="path,label,split")


def test_a_root_and_a_suffix(tmp_path: Path):
    write_classes(tmp_path / "photos", cat=2, dog=2)
    (tmp_path / "labels").mkdir()
    rows = ["cat/00,a", "cat/01,a", "dog/00,b", "dog/01,b"]
    folder = listed(tmp_path / "labels", *rows, header="image_id,label", root=str(tmp_path / "photos"))
    assert len(folder.files) == 4
    assert folder.root == tmp_path / "photos"
    rows = [f"../photos/{row}".replace(",", ".bmp,") for row in rows]
    elsewhere = listed(tmp_path / "labels", *rows, header="path,label")
    assert elsewhere.root == tmp_path / "photos"
    assert sorted(file.path.name for file in elsewhere.files) == ["00.bmp", "00.bmp", "01.bmp", "01.bmp"]


def test_a_pattern_finds_groups_instead_of_a_column(pictures: Path):
    rows = ["1.bmp,a,train,x", "2.bmp,b,train,x", "3.bmp,a,train,y", "4.bmp,b,train,y"]
    folder = listed(pictures, *rows, group_pattern=r"(\d)\.bmp")
    assert [file.group for file in folder.files] == ["1", "3", "2", "4"]
    without = listed(pictures, *rows, columns=Columns(group=None))
    assert {file.group for file in without.files} == {""}


@pytest.mark.parametrize(("row", "name"), [("{}.bmp,{},train,", "patient"), ("{}.bmp,{},,p{}", "split")])
def test_an_empty_column_of_groups_or_parts_is_refused(pictures: Path, row: str, name: str):
    key = {"patient": "group", "split": "split"}[name]
    rows = [row.format(number, "ab"[number % 2], number) for number in range(4)]
    for columns in (Columns(), Columns()._replace(**{key: name})):
        with pytest.raises(GraftError, match=f"the column {name}, which is dataset.{key}, is empty"):
            listed(pictures, *rows, columns=columns)
    assert len(listed(pictures, *rows, columns=Columns()._replace(**{key: None})).files) == 4


def test_the_parts_without_reading_an_image(tmp_path: Path):
    (tmp_path / "labels.csv").write_text("path,label,split\n1.jpg,a,train\n2.jpg,a,valid\n3.jpg,b,test\n")
    assert table_parts(Listing((str(tmp_path / "labels.csv"),))) == {"train", "val", "test"}


def test_domains_are_read_and_faulty_ones_named(pictures: Path, caplog: pytest.LogCaptureFixture):
    def domains(*cells: str) -> list[str]:
        rows = [f"{number}.bmp,{'ab'[number % 2]},{cell}" for number, cell in enumerate(cells)]
        folder = listed(pictures, *rows, header="path,label,site", columns=Columns(domain="site"))
        return [file.domain for file in sorted(folder.files, key=lambda file: file.path)]

    assert domains("A", "B", " A", "B ") == ["A", "B", "A", "B"]
    assert domains("1.0", "2", "1", "2.0") == ["1", "2", "1", "2"]
    assert domains("1.0", "x", "y", "2") == ["1.0", "x", "y", "2"]
    assert not caplog.records
    assert domains("north", "North", "a  b", "A b") == ["north", "North", "a  b", "A b"]
    assert "north and North are different domains, whose names differ in case or spaces only" in caplog.text
    with pytest.raises(
        GraftError, match=r"\n2 without a value in the column site, .* \(fill it in, .*: line 3, line 5"
    ):
        domains("A", "", "B", " ")
    for cells in (("1", "01", "2", "2"), ("1", "1.0", "x", "x")):
        with pytest.raises(
            GraftError, match=r"dataset.domain=site has one number spelled in several ways, 0?1.* and 1"
        ):
            domains(*cells)
    rows = ["0.bmp,a,A", "1.bmp,b,A", "0.bmp,a,B"]
    with pytest.raises(GraftError, match=r"1 files with two domains: 0.bmp \(A in line 2 and B in line 4\)"):
        listed(pictures, *rows, header="path,label,site", columns=Columns(domain="site"))
