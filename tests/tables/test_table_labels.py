import logging

import pytest

from graft.errors import GraftError
from graft.tables.table_labels import class_names


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
