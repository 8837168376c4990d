import logging

import pytest

from graft.errors import GraftError
from graft.tables.table_labels import class_names, group_names


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("cat dog cat", "cat dog cat"),
        ("0 1 1", "0 1 1"),
        ("1.0 2.0 1.0", "1 2 1"),
        ("1 1.0 2", "1 1 2"),
        ("01 02 01", "01 02 01"),
        ("-1 1 1", "-1 1 1"),
        ("1 2 other", "1 2 other"),
    ],
)
def test_names_of_classes(labels: str, expected: str):
    assert class_names(labels.split(), "labels.csv") == expected.split()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.5, 1.5, 0.5], "measured or counted numbers, such as 0.5, 1.5"),
        (range(100), "counted numbers, 100 in 100 rows"),
        ([f"name {number}" for number in range(50)], "50 different labels in 50 rows, such as name 0, name 1"),
        (["1", "01", "2"], "spelled in several ways, 01 and 1"),
        (["0,0", "0,33", "1,0"], "measured or counted numbers, such as 0,33"),  # as some spreadsheets write them
        (["1", "1,0", "2"], "spelled in several ways, 1 and 1,0"),
        (["1", "1.0", "other"], "spelled in several ways, 1 and 1.0"),
        (["cat", "cat"], "one class only, cat"),
    ],
)
def test_labels_that_are_no_classes(labels, message: str):
    with pytest.raises(GraftError, match=message):
        class_names(list(map(str, labels)), "labels.csv")


def test_a_word_for_a_missing_label_is_said(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        assert class_names(["NA", "None", "cat"], "labels.csv") == ["NA", "None", "cat"]
    assert "NA (1), None (1) is a class's name" in caplog.text


@pytest.mark.parametrize(
    ("cells", "names", "said"),
    [
        (["1", "1.0", "2"], ["1", "1", "2"], ""),  # of two tables, one of which had missing numbers
        (["1.0", "2.0"], ["1.0", "2.0"], ""),  # a name is changed only where two become one
        (["7", "007", "8"], ["7", "007", "8"], "7 and 007; if they are one"),
        (["P1", "p1", "P2"], ["P1", "p1", "P2"], "P1 and p1; if they are one"),
        (["caf\u00e9", "cafe\u0301"], ["caf\u00e9", "cafe\u0301"], "caf\u00e9 and cafe\u0301"),
        (["P1", "nan", "NA"], ["P1", "nan", "NA"], "a group is called NA and nan; if its images have no group"),
        (["P1", "P10", "P 1"], ["P1", "P10", "P 1"], ""),
    ],
)
def test_groups_that_may_be_one_are_said(
    caplog: pytest.LogCaptureFixture, cells: list[str], names: list[str], said: str
):
    assert group_names(cells) == names
    assert said in caplog.text
    assert bool(caplog.text) is bool(said)
