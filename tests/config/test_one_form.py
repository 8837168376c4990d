import pytest

from graft.config.one_form import changed, domains_of, in_one_form, leaves, without_places


def test_leaves_are_values_by_dotted_keys():
    assert leaves({"a": 1, "b": {"c": [2], "d": {"e": None}}, "f": {}}) == {"a": 1, "b.c": [2], "b.d.e": None}


def test_each_leaf_is_changed_under_its_dotted_key():
    assert changed({"a": 1, "b": {"c": 2}}, lambda key, value: f"{key}={value}") == {"a": "a=1", "b": {"c": "b.c=2"}}


def test_numbers_are_written_in_one_way_where_that_changes_nothing():
    typed = {"lr": 1, "epochs": 5, "regularize": {"mixup": 0, "clip": None}, "augment": {"rotate": 15.0, "shear": 0.5}}
    assert repr(in_one_form(typed)) == repr({
        "lr": 1.0, "epochs": 5, "regularize": {"mixup": 0.0, "clip": None}, "augment": {"rotate": 15, "shear": 0.5},
    })  # fmt: skip
    kept = {"lr": "auto", "optimizer": {"fused": True, "mine": 1}, "trainer": {"limit_train_batches": 1.0}}
    assert repr(in_one_form(kept)) == repr(kept)


def test_classes_are_named_and_digits_are_numbers():
    def small(*classes: int | str, of: str) -> list:
        return in_one_form({"dataset": {"small": list(classes)}}, of.split())["dataset"]["small"]

    assert small(0, "dog", of="cat dog fox") == ["cat", "dog"]
    assert small("1", 3, of="0 1 2 3") == [1, 3]
    assert small(2, "01", of="01 2") == [2, "01"]  # a class may be called 2, or 01, which is not 1
    assert small(7, "bird", of="cat dog") == [7, "bird"]  # no such class: the data set refuses it


@pytest.mark.parametrize(
    ("small", "big", "small_form", "big_form"),
    [
        ("all", "rest", "all", "rest"),
        (["cat", 1, "fox"], [], "all", "rest"),
        ([0, "dog"], "rest", ["cat", "dog"], ["fox"]),
        ([0, "dog"], [2], ["cat", "dog"], ["fox"]),
        ([0, "dog"], [], ["cat", "dog"], []),  # nothing to pre-train on is not all that is left
        (["dog", "cat", "fox"], "rest", ["dog", "cat", "fox"], "rest"),  # another order of the logits
    ],
)
def test_a_list_of_all_classes_is_all_of_them(small, big, small_form, big_form):
    formed = in_one_form({"dataset": {"small": small, "big": big, "pad": 1}}, ["cat", "dog", "fox"])
    assert formed == {"dataset": {"small": small_form, "big": big_form, "pad": 1}}


def test_places_of_files_do_not_count():
    assert without_places({"seed": 0, "dataset": {"root": "a", "size": 3}}) == {
        "seed": 0, "dataset": {"root": None, "size": 3},
    }  # fmt: skip
    assert without_places({"dataset": {"root": "a", "download": False}}) == {
        "dataset": {"root": "outputs/data", "download": True}
    }
    assert without_places({"seed": 0}) == {"seed": 0}


@pytest.mark.parametrize(
    ("typed", "form"),
    [("B", ["B"]), (["B", "A"], ["A", "B"]), (1, ["1"]), (1.0, ["1"]), (["01", 1], ["01", "1"]), (True, ["true"])],
)
def test_domains_are_sorted_texts(typed, form):
    assert domains_of(typed) == form
    dataset = {"domain": "site", "small_domain": typed, "big_domain": "rest", "small": "all", "big": "rest"}
    formed = in_one_form({"dataset": dataset}, ["cat", "dog"])["dataset"]
    assert formed == {**dataset, "small_domain": form}


def test_the_rest_is_no_list_of_classes_where_domains_make_the_splits():
    def big(typed: object) -> object:
        dataset = {"domain": "site", "small_domain": "B", "small": ["cat", "dog"], "big": typed}
        return in_one_form({"dataset": dataset}, ["cat", "dog", "fox"])["dataset"]["big"]

    assert [big("rest"), big(["fox"]), big([])] == ["rest", ["fox"], []]
