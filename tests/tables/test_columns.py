from pathlib import Path

import pytest

from graft.errors import GraftError
from graft.tables.columns import GUESSED, Columns, find_columns, in_words
from graft.tables.table import Table


def found(header: str, typed: Columns = GUESSED, cells: str = "1.jpg a b c d e f g") -> Columns:
    columns = header.split()
    table = Table(Path("labels.csv"), columns, [cells.split()[: len(columns)]], [2])
    return find_columns(table, typed, lambda cell: cell.endswith(".jpg"))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("path label", Columns("path", "label", None, None)),
        ("File_Name Class", Columns("File_Name", "Class", None, None)),
        ("image dx patient_id split", Columns("image", "dx", "split", "patient_id")),
        ("where diagnosis", Columns("where", "diagnosis", None, None)),  # its cells are files
        ("image_id finding", Columns("image_id", "finding", None, None)),  # the only other column
        ("image path species", Columns("image", "species", None, None)),  # both are names of paths, one has files
        ("id_code label age sex", Columns("id_code", "label", None, None)),
        ("path label fold", Columns("path", "label", None, None)),
    ],
)
def test_columns_that_are_obvious(header: str, expected: Columns):
    assert found(header) == expected


def test_typed_columns_count():
    typed = Columns("where", "age", "set", "ward")
    assert found("where age set ward label patient split", typed) == typed
    assert found("path label patient split", Columns(split=None, group=None)) == Columns("path", "label", None, None)


@pytest.mark.parametrize(
    ("header", "typed", "message"),
    [
        ("path label class", Columns(), "several columns that may be labels: label, class; try dataset.label=label"),
        ("path age sex", Columns(), "no column that is surely one of labels; its columns are path, age, sex"),
        ("x y z", Columns(image="y"), "surely one of labels"),
        ("path label patient subject", Columns(), "may be groups: patient, subject; .*patient, or dataset.group=null"),
        ("path label", Columns(group="patient"), "dataset.group must be a column of labels.csv: path, label, got pat"),
        ("path label site", Columns(domain="scanner"), "label, site, got scanner; try dataset.domain=site"),
        ("path label age site", Columns(domain="sites"), "got sites; try dataset.domain=site"),
        ("path label patient", Columns(domain="scanner"), "got scanner; try dataset.domain=COLUMN"),
        ("path label age", Columns(label="labels"), "got labels; try dataset.label=label"),
        ("path label", Columns("path", "path"), "column path cannot be dataset.label and another key"),
        ("path label label", Columns(), "several columns that may be labels"),
        ("path path label", Columns(image="path"), "several columns path"),
        ("path label split", Columns(label="split", split="split"), "cannot be dataset.label"),
    ],
)
def test_columns_without_a_clear_meaning(header: str, typed: Columns, message: str):
    with pytest.raises(GraftError, match=message):
        found(header, typed)


def test_values_in_place_of_a_header():
    with pytest.raises(GraftError, match="add a header if these are values"):
        found("photos/1.jpg cat", cells="photos/2.png dog")


def test_a_column_of_domains_is_used_where_it_is_typed_and_is_then_nothing_else():
    assert found("path label dataset patient").split == "dataset"
    typed = found("path label dataset patient", Columns(domain="dataset"))
    assert typed == Columns("path", "label", None, "patient", "dataset")
    assert found("path dx site", Columns(domain="site")) == Columns("path", "dx", None, None, "site")
    assert found("path label ward", Columns(group="ward", domain="ward")) == Columns(
        "path", "label", None, "ward", "ward"
    )
    with pytest.raises(GraftError, match=r"cannot be dataset.domain and dataset.split"):
        found("path label set", Columns(split="set", domain="set"))


def test_what_is_used_is_said():
    assert in_words(Columns("path", "dx", None, "patient")) == (
        "columns image=path, label=dx, group=patient (dataset.group=null leaves one unused)"
    )
