"""Choosing classes by names and numbers."""

import re
from typing import Any

import pytest

from graft.data.class_choice import choose_classes
from graft.errors import ConfigError

PETS = ("bird", "cat", "dog", "fish")


@pytest.mark.parametrize(
    ("names", "small", "big", "expected"),
    [
        (PETS, "all", "rest", ([0, 1, 2, 3], [])),
        (PETS, ["dog", "bird"], "rest", ([2, 0], [1, 3])),
        (PETS, [3, "cat"], [0], ([3, 1], [0])),
        (PETS, [0, 1], [], ([0, 1], [])),
        (("1", "2", "3"), [1, 3], "rest", ([0, 2], [1])),
        (("1", "2", "3"), ["3", 2], ["1"], ([2, 1], [0])),
        (("false", "true"), [True, False], "rest", ([1, 0], [])),
        (("True", "False"), [True, False], "rest", ([0, 1], [])),
        (("1.5", "null"), [1.5, None], "rest", ([0, 1], [])),
    ],
)
def test_a_class_is_found_by_its_name_or_else_by_its_number(names: tuple, small: Any, big: Any, expected: tuple):
    found = choose_classes(names, small, big)
    assert tuple(each.tolist() for each in found) == expected


@pytest.mark.parametrize(
    ("names", "small", "big", "message"),
    [
        (("1", "2", "3", "4"), [0, 1], "rest", "dataset.small must be of the data's classes, 1, 2, 3, 4, got 0"),
        (("1", "x"), [0, 1], "rest", "of the data's classes, 1, x, got 0"),
        (PETS, ["cat", 1], "rest", "dataset.small must be different classes, but class cat is named and numbered"),
        (PETS, ["cat", "dog"], ["bird", 3, "fish"], "dataset.big must be different classes, but class fish"),
        (PETS, ["cat", "dog"], [1], "dataset.big must be without classes of dataset.small, where cat is, got [1]"),
        (PETS, [0, 3], ["fish", "cat", "bird"], "where fish, bird is, got [fish,cat,bird]; try dataset.big=[cat]"),
        (PETS, "all", ["cat"], "without classes of dataset.small, where cat is"),
        (PETS, [True, False], "rest", "of the data's classes, bird, cat, dog, fish, got true"),
        (PETS, ["cat", 4], "rest", "of the data's classes, bird, cat, dog, fish, got 4"),
        (PETS, ["cat", -1], "rest", "of the data's classes, bird, cat, dog, fish, got -1"),
        (PETS, ["Cat", "dog"], "rest", "of the data's classes, bird, cat, dog, fish, got Cat"),
        (PETS, ["cat"], "rest", "two or more classes to tell apart, of bird, cat, dog, fish, got [cat]"),
        (("cat",), "all", "rest", "two or more classes to tell apart, of cat, got all"),
    ],
)
def test_classes_named_twice_in_both_splits_or_unknown_are_refused(names: tuple, small: Any, big: Any, message: str):
    with pytest.raises(ConfigError, match=re.escape(message)):
        choose_classes(names, small, big)
