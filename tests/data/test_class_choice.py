"""Choosing classes by names and numbers, and domains by the values of a column."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest
from domain_tables import SITES, files, split, used, write_sites

from graft.data.class_choice import choose_classes
from graft.errors import ConfigError, GraftError

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
        (
            PETS,
            ["Cat", "dog"],
            "rest",
            "of the data's classes, bird, cat, dog, fish, got Cat; try dataset.small=[cat,dog]",
        ),
        (PETS, ["cats", "dog", "bird"], "rest", "got cats; try dataset.small=[cat,dog,bird]"),
        (PETS, ["zebra", "dog"], "rest", "got zebra; try dataset.small=[bird,cat]"),
        ([f"class{number}" for number in range(99)], ["x", "y"], "rest", "class11 and 87 more, got x; try "),
        (PETS, ["cat"], "rest", "two or more classes to tell apart, of bird, cat, dog, fish, got [cat]"),
        (("cat",), "all", "rest", "two or more classes to tell apart, of cat, got all"),
    ],
)
def test_classes_named_twice_in_both_splits_or_unknown_are_refused(names: tuple, small: Any, big: Any, message: str):
    with pytest.raises(ConfigError, match=re.escape(message)):
        choose_classes(names, small, big)


@pytest.mark.parametrize(
    ("settings", "big", "small"),
    [
        ({}, {"north", "west"}, {"south"}),
        ({"big_domain": "west"}, {"west"}, {"south"}),
        ({"big_domain": ["west"], "small_domain": ["south", "north"]}, {"west"}, {"south", "north"}),
        ({"small_domain": list(SITES)}, set(), set(SITES)),
        ({"big": ["a"], "small": ["b", "a"]}, {"north", "west"}, {"south"}),
        ({"folds": 3}, {"north", "west"}, {"south"}),
        ({"val_per_class": 4, "test_per_class": 5}, {"north", "west"}, {"south"}),
    ],
)
def test_the_splits_are_those_of_pandas(tmp_path: Path, settings: dict, big: set, small: set):
    table = write_sites(tmp_path)
    data = split(tmp_path, small_per_class="all", **settings)
    of_big = table[table["site"].isin(sorted(big)) & table["label"].isin(settings.get("big", ["a", "b"]))]
    of_small = table[table["site"].isin(sorted(small))]
    assert files(data, data.big) == set(of_big["file"])
    assert used(data, range(6)) == set(of_small["file"])
    data.train_on_all()
    assert files(data, data.sample(0)[0]) == set(of_small["file"])
    counts = table["site"].value_counts()
    assert data.account()["domains"] == {
        "big": {name: counts[name] for name in sorted(big)},
        "small": {name: counts[name] for name in sorted(small)},
        "neither": {name: counts[name] for name in sorted(set(SITES) - big - small)},
    }


def test_the_column_changes_no_draw_of_a_table_of_one_domain(tmp_path: Path):
    table = write_sites(tmp_path)
    both = split(tmp_path, val_per_class=2)
    table[table["site"] == "south"].to_csv(tmp_path / "labels.csv", index=False)
    alone = split(tmp_path, domain=None, small_domain=None, val_per_class=2)
    assert files(both, both.test) == files(alone, alone.test)
    assert files(both, both.sample(3)[0]) == files(alone, alone.sample(3)[0])
    assert files(both, both.sample(3)[1]) == files(alone, alone.sample(3)[1])


def test_parts_of_the_data_s_own_stay_apart(tmp_path: Path):
    table = write_sites(tmp_path)
    table["split"] = ["test" if number % 5 == 0 else "val" if number % 5 == 1 else "train" for number in table.index]
    table.to_csv(tmp_path / "labels.csv", index=False)
    data = split(tmp_path, small_domain="south", big_domain="north")
    train = table[table["split"] == "train"]
    assert files(data, data.big) == set(train[train["site"] == "north"]["file"])
    south = table[table["site"] == "south"]
    own = {part: set(south[south["split"] == part]["file"]) for part in ("train", "val", "test")}
    assert files(data, data.test) == own["test"]
    assert files(data, data.val) == own["val"]
    assert files(data, data.sample(0)[0]) <= own["train"]
    folded = split(tmp_path, small_domain="south", big_domain="north", folds=3)
    assert folded.account()["ignored"]["test images, which dataset.folds does not use"] == len(own["test"])
    table.loc[table["site"] == "south", "split"] = "train"
    table.to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(ConfigError, match=r"classes with test images in dataset.small_domain=\[south\]; .*split=null"):
        split(tmp_path)


def test_a_patient_of_both_domains_pre_trains_nothing_if_it_is_tested(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    table = write_sites(tmp_path, patients=5).set_index("file")
    data = split(tmp_path)
    tested, pretrained = (set(table.loc[sorted(files(data, part))]["patient"]) for part in (data.test, data.big))
    assert tested
    assert not tested & pretrained
    assert files(data, data.big) == set(
        table[(table["site"] != "south") & ~table["patient"].isin(sorted(tested))].index
    )
    assert "images of the big split are not used: trials test, or validate, on their groups" in caplog.text
    assert len(split(tmp_path, folds=5).big) == 0  # each patient is tested in some fold


def test_equal_files_of_two_domains_count_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    table = write_sites(tmp_path)
    copied = table[table["site"] == "north"]["file"].tolist()[:4]
    for name in copied:
        (tmp_path / f"1{name[1:]}").write_bytes((tmp_path / name).read_bytes())
    data = split(tmp_path, small_per_class="all")
    assert not {name[1:] for name in files(data, data.big) if name[0] == "0"} & {
        name[1:] for name in used(data) if name[1:] in {each[1:] for each in copied}
    }
    assert "equal to another one of the same class and part: 4" in caplog.text
    digests = data.images.digests
    assert not {digests[index] for index in data.big} & {digests[index] for index in data.test}


def test_what_is_left_out_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    write_sites(tmp_path)
    split(tmp_path, big_domain="west")
    words = (
        "dataset.domain=site: big split west (30 images); small split south (30 images); in neither north (30 images)"
    )
    assert words in caplog.text


@pytest.mark.parametrize(
    ("sites", "typed", "small"),
    [
        (("1", "2"), 1, "1"),
        (("1.0", "2.0"), 1, "1"),  # as a program writes whole numbers beside missing ones
        (("1.0", "2.0"), 1.0, "1"),
        (("01", "02"), "01", "01"),
        (("TRUE", "FALSE"), True, "TRUE"),
        (("rest", "other"), ["rest"], "rest"),
        (("NA", "EU"), "NA", "NA"),
        (("0.5", "1"), 0.5, "0.5"),
        (("two words", "x,y"), "x,y", "x,y"),
    ],
)
def test_domains_that_look_like_something_else(tmp_path: Path, sites: tuple, typed: Any, small: str):
    table = write_sites(tmp_path, sites)
    data = split(tmp_path, small_domain=typed)
    assert list(data.choice.domains["small"]) == [small]
    cell = {"1": sites[0]}.get(small, small)
    assert used(data) <= set(table[table["site"] == cell]["file"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"small_domain": "South"},
            "site, north, south, west, got South; try dataset.small_domain=south",
        ),
        ({"small_domain": ["south", "east"]}, "dataset.small_domain must be of the values .*, got east"),
        ({"big_domain": "east"}, "dataset.big_domain must be of the values .*, got east"),
        ({"big_domain": "south"}, "dataset.big_domain must be without values of dataset.small_domain, where south is"),
        ({"big_domain": ["west", "south"]}, "where south is, got .*try dataset.big_domain=rest"),
        ({"domain": None}, "dataset.domain must be the column that has dataset.small_domain=south"),
        ({"small_domain": None, "big_domain": "west"}, "dataset.small_domain must be given with dataset.big_domain"),
        ({"domain": "town"}, r"dataset.domain must be a column of .*: file, label, site, got town"),
        ({"domain": "label", "label": "label"}, "the column label cannot be dataset.domain and dataset.label"),
        ({"domain": "file", "image": "file"}, "the column file cannot be dataset.domain and dataset.image"),
        ({"small": ["a"]}, "two or more classes to tell apart"),
        ({"small": ["a", "c"]}, "dataset.small must be of the data's classes, a, b, got c"),
    ],
)
def test_domains_without_a_clear_meaning_are_refused(tmp_path: Path, settings: dict, message: str):
    write_sites(tmp_path)
    with pytest.raises(GraftError, match=message):
        split(tmp_path, **settings)


def test_a_class_that_a_domain_lacks_is_named(tmp_path: Path):
    table = write_sites(tmp_path, classes=("a", "b", "c"))
    table[(table["site"] != "south") | (table["label"] != "c")].to_csv(tmp_path / "labels.csv", index=False)
    lacks = r"with images in dataset.small_domain=\[south\]; c lacks them, got \[a,b,c\]; try dataset.small=\[a,b\]"
    with pytest.raises(ConfigError, match=lacks):
        split(tmp_path)
    data = split(tmp_path, small=["a", "b"])
    assert data.big_classes.tolist() == [0, 1, 2]
    other = split(tmp_path, small_domain=["north", "west"])
    assert other.big_classes.tolist() == [0, 1]  # the classes that the big domain has
    with pytest.raises(ConfigError, match=r"dataset.big must be classes with images in dataset.big_domain=\[south\]"):
        split(tmp_path, small_domain=["north", "west"], big=["a", "c"])
