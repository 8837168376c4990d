import numpy as np
import pandas
import pytest
import torch
from endless import Endless

from graft.api.given_labels import class_names, group_names, plain
from graft.errors import GraftError

THREE = range(3)  # images


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 0],
        (0, 1, 0),
        np.array([0, 1, 0], np.uint8),
        torch.tensor([0, 1, 0]),
        [np.int64(0), np.int32(1), np.uint8(0)],
        [torch.tensor(0), torch.tensor(1), 0],
        pandas.Series([0, 1, 0], index=[5, 9, 7]),
    ],
)
def test_whole_numbers_of_any_kind_are_numbers(labels: object):
    assert class_names(THREE, labels) == ["0", "1", "0"]
    assert class_names(THREE, labels, ["cat", "dog"]) == ["cat", "dog", "cat"]
    assert group_names(THREE, labels) == ["0", "1", "0"]


def test_numbers_of_libraries_print_themselves_as_python_s():
    given = (np.float64(0), [np.int64(3), torch.tensor(2)], np.str_("cat"), (8, None), np.True_)
    assert repr(plain(given)) == "(0.0, [3, 2], 'cat', (8, None), True)"
    assert plain(THREE) is THREE


def test_groups_may_come_one_after_the_other():
    assert group_names(THREE, (name for name in "aba")) == ["a", "b", "a"]


def test_names_of_numbers_are_in_their_order_whatever_an_index_says():
    names = pandas.Series(["cat", "dog", "owl"], index=[2, 1, 0])
    assert class_names(THREE, [0, 1, 2], names) == ["cat", "dog", "owl"]
    assert class_names(THREE, [True, False, True]) == ["True", "False", "True"]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["cat", "dog", "cat"], "different names, but 0 and 2 are both 'cat'"),
        ([1, "dog", "1"], "have the text '1' and the value 1"),
        (["cat", "", "dog"], "one for each label, got ''"),
        (["cat", None, "dog"], "one for each label, got None"),
        ("abc", "a list of names, those of the labels 0, 1, 2, ..., got str"),
        ({"cat", "dog", "owl"}, "a list of names, .* got set"),
        ({0: "cat", 1: "dog", 2: "owl"}, "a list of names, .* got dict"),
        (3, "a list of names, .* got int"),
        ([], "a list of names, .* got none"),
        (["cat", "dog"], "names 2 classes, for the labels 0 to 1, but a label is 2"),
    ],
)
def test_names_without_a_clear_meaning_are_refused(classes: object, message: str):
    with pytest.raises(GraftError, match=message):
        class_names(THREE, [0, 1, 2], classes)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["1", 1, "2"], "labels have the text '1' and the value 1; make both one or the other"),
        (["True", True, False], "labels have the text 'True' and the value True"),
        (["cat", " ", "dog"], "got ' '"),
        ([0, None, 1], "got None"),
        ([0, float("nan"), 1], "got nan"),
        (np.zeros((3, 40)), "got a list"),
        ({"cat": 0, "dog": 1, "owl": 2}, "one label for each image, got range and dict"),
        ({0, 1, 2}, "got range and set"),
        ("abc", "got range and str"),
        (np.array(3), "got range and ndarray"),
    ],
)
def test_labels_without_a_clear_meaning_are_refused(labels: object, message: str):
    with pytest.raises(GraftError, match=message):
        class_names(THREE, labels)


@pytest.mark.parametrize(("groups", "given"), [(3, "int"), ("abc", "str"), ({1, 2, 3}, "set")])
def test_groups_that_are_no_list_are_refused(groups: object, given: str):
    with pytest.raises(GraftError, match=f"one group for each image, got {given}"):
        group_names(THREE, groups)


def test_what_has_an_item_for_every_index_is_refused():
    with pytest.raises(GraftError, match="one label for each image, got range and Endless"):
        class_names(THREE, Endless(3))
    with pytest.raises(GraftError, match=r"a list of names, .* got Endless"):
        class_names(THREE, [0, 1, 2], Endless(3))
    with pytest.raises(GraftError, match="one group for each image, got Endless"):
        group_names(THREE, Endless(3))
