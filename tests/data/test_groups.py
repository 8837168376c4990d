"""Groups: no division, draw or fold has images of one on two sides."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from folders import forget, write_classes
from grouped_images import Given, groups_of, patients
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from graft.data.dataset import ImageFolder
from graft.errors import ConfigError, GraftError


@st.composite
def images(draw) -> tuple[list[int], list[str]]:
    """Draw images of two or three classes in up to 12 groups of different sizes; a group may have several classes."""
    num_classes, num_groups = draw(st.integers(2, 3)), draw(st.integers(2, 12))
    pairs = st.tuples(st.integers(0, num_classes - 1), st.integers(0, num_groups - 1))
    rows = draw(st.lists(pairs, min_size=6, max_size=60))
    return [label for label, _ in rows], [f"p{group}" for _, group in rows]


@st.composite
def tables(draw) -> tuple[list[int], list[str], str, str]:
    """Draw images with parts and domains; groups are of unequal sizes, and of one part each, unless one is parted."""
    labels, groups = draw(images())
    part_of = {group: draw(st.sampled_from("ttttev")) for group in sorted(set(groups))}
    parts = "".join(part_of[group] for group in groups) if draw(st.booleans()) else ""
    if parts and draw(st.integers(0, 4)) == 0:
        parts = draw(st.sampled_from("tev")) + parts[1:]
    domains = "".join(draw(st.sampled_from("AAAB")) for _ in groups) if draw(st.booleans()) else ""
    return labels, groups, parts, domains


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "val_per_class": st.integers(0, 2),
        "test_per_class": st.integers(1, 3),
        "folds": st.integers(2, 4),
        "short": st.just("use"),
        "draw": st.just("first"),
        "small": st.just([0, 1]),
        "small_total": st.integers(2, 12),
        "small_per_class": st.integers(1, 4) | st.sampled_from(["all", 0.5, 0.9]),
    },
)


@settings(max_examples=300, deadline=None)
@given(found=images() | tables(), options=SETTINGS)
def test_no_group_is_on_two_sides_in_any_configuration(found: tuple, options: dict[str, Any]):
    assume(not {"folds", "test_per_class"} <= options.keys() and set(found[0]) >= {0, 1})
    try:
        data = Given(*found, **options)
        trials = [(*data.sample(seed), data.tested(seed)) for seed in range(6)]
    except (ConfigError, GraftError):
        return  # a division that is impossible is refused in words; other tests say which
    pretrained = groups_of(data, data.big)
    drawn = {image for trial in trials for image in torch.cat(trial).tolist()}
    assert not data.of_domains or {data.of_domains[image] for image in drawn} == {"A"}
    for train, val, test in trials:
        sides = [groups_of(data, indices) for indices in (train, val, test)]
        assert len(set.union(*sides)) == sum(map(len, sides))
        assert not pretrained & (sides[1] | sides[2])
        assert len(train) == sum(data.counts)
        assert len({len(each) for _, each, _ in trials}) == 1
    if data.folds is not None:
        assert torch.equal(
            torch.cat([data.tested(seed) for seed in range(data.folds.num_folds)]).sort().values, data.test
        )


def test_at_least_a_fifth_of_each_class_is_held_out_and_not_much_more():
    shares = []
    for count in (5, 10, 40, 200):
        data = Given(*patients(count))
        for label in (0, 1):
            tested = (data.images.labels[data.test] == label).sum() / (data.images.labels == label).sum()
            shares.append(float(tested))
    assert min(shares) >= 0.2
    assert max(shares) <= 0.2 + 1e-6


def test_the_division_does_not_depend_on_the_order_of_images_or_other_settings():
    labels, groups = patients(20)
    order = np.random.default_rng(0).permutation(len(labels))
    first = Given(labels, groups)
    other = Given([labels[place] for place in order], [groups[place] for place in order], small_per_class=5)
    assert groups_of(first, first.test) == groups_of(other, other.test)


def test_a_new_group_or_image_moves_few_others():
    labels, groups = patients(50)
    first = Given(labels, groups)
    more = Given([*labels, 0], [*groups, "patient7"])
    assert len(groups_of(first, first.test) ^ groups_of(more, more.test)) <= 1
    moved = []
    for number in range(30):
        added = Given([*labels, 0, 1], [*groups, *[f"new{number}"] * 2])
        moved.append(len((groups_of(first, first.test) ^ groups_of(added, added.test)) - {f"new{number}"}))
    assert max(moved) <= 2


def test_folds_are_as_even_as_scikit_learn_s():
    random = np.random.default_rng(0)
    sizes = random.integers(1, 30, 40)
    groups = np.repeat([f"p{number}" for number in range(40)], sizes)
    labels = np.concatenate([random.random(size) < random.random() for size in sizes]).astype(int)
    data = Given(labels.tolist(), groups.tolist(), folds=5)
    theirs = [len(test) for _, test in StratifiedGroupKFold(5).split(labels, labels, groups)]
    ours = [len(data.tested(seed)) for seed in range(5)]
    assert sum(ours) == len(labels)
    assert np.std(ours) <= np.std(theirs) + 0.02 * len(labels)
    rates = [labels[data.tested(seed)].mean() for seed in range(5)]
    assert np.ptp(rates) < 0.1
    assert groups_of(data, data.tested(0)) != groups_of(data, data.tested(5))  # another repeat


def test_validation_has_groups_of_its_own_and_varies():
    data = Given(*patients(20), val_per_class=6, small_per_class=9)
    seen = Counter(group for seed in range(20) for group in groups_of(data, data.sample(seed)[1]))
    assert len(seen) > 10
    first = Given(*patients(20), val_per_class=6, small_per_class=9, draw="first")
    assert all(torch.equal(first.sample(0)[place], first.sample(5)[place]) for place in (0, 1))


def test_the_data_s_own_parts_that_part_groups_are_refused_with_names():
    labels, groups = [0, 1, 0, 1, 0, 1], ["a", "a", "b", "c", "a", "c"]
    words = r"2 groups of the data with images in several of its parts: a \(train and test\), c \(train and test\); "
    with pytest.raises(GraftError, match=words + ".*split=null"):
        Given(labels, groups, "ttttee")
    with pytest.raises(
        GraftError, match=r"^1 group of the data with images in several of its parts: a \(val and test\)"
    ):
        Given([0, 1, 0, 1, 0, 1], ["x", "x", "b", "b", "a", "a"], "ttttve")
    data = Given([0, 1, 0, 1], ["x", "x", "b", "b"], "ttee")
    assert groups_of(data, data.test) == {"b"}


@pytest.mark.parametrize(
    ("found", "options", "message"),
    [
        (([0, 0, 1, 1], ["a", "b", "c", "c"]), {}, "two groups or more, one to train and one to test on; b lacks them"),
        (([0, 1, 0, 1], ["a", "a", "b", "b"]), {"folds": 3}, "at most the groups of each class.*: a has 2, b has 2"),
        (patients(4), {"val_per_class": 9}, "val_per_class must be below 9, .*; try dataset.val_per_class=4"),
        (patients(2), {"val_per_class": 1}, "val_per_class must be fewer, because the trial of seed 0 finds no groups"),
        (
            patients(3),
            {"test_per_class": 7},
            "that they have 7 images of each class .*; try dataset.test_per_class=3, fewer",
        ),
        (([0, 1, 0, 1], ["a", "b", "b", "a"]), {"folds": 2, "small_per_class": 2}, "small_per_class must be at most 1"),
    ],
)
def test_groups_that_cannot_be_divided(found, options: dict[str, Any], message: str):
    with pytest.raises(GraftError, match=message):
        Given(*found, **options).sample(0)


def test_nothing_is_pretrained_on_groups_that_are_tested():
    labels, groups = patients(10, classes=3)
    data = Given(labels, groups, small=[0, 1], big=[2])
    assert len(data.big) == 16  # two images of each of the eight patients that are not held out
    assert not groups_of(data, data.big) & groups_of(data, data.test)
    assert not len(Given(labels, groups, small=[0, 1], big=[2], folds=2).big)


def test_groups_are_part_of_what_images_are(tmp_path: Path):
    write_classes(tmp_path, p1_cat=3, p2_cat=3)
    for name in ("p1", "p2"):
        (tmp_path / name / "dog").mkdir()
    labels, groups = patients(4)
    alone = Given(labels, [""] * 0)
    assert alone.groups is None
    assert alone.images.fingerprint != Given(labels, groups).images.fingerprint
    assert Given(labels, groups).images.fingerprint == Given(labels, groups).images.fingerprint
    for_networks = {given.images.as_read for given in (alone, Given(labels, groups), Given(labels, groups[::-1]))}
    assert for_networks == {alone.images.fingerprint}  # so that a column of groups stores no feature again
    assert Given([*labels[:-1], 0], groups).images.as_read not in for_networks


def test_a_folder_s_groups_by_their_names(tmp_path: Path):
    write_classes(tmp_path, cat_p1=4, cat_p2=4, cat_p3=4, dog_p1=4, dog_p2=4, dog_p3=4)
    forget()
    options = {"root": str(tmp_path), "big": [], "small": "all", "small_per_class": 2}
    data = ImageFolder(**options, group_pattern=r"/(?P<group>p\d)/")
    assert data.images.groups == tuple(["p1"] * 4 + ["p2"] * 4 + ["p3"] * 4) * 2
    assert data.account()["groups"] == {"pool": 2, "test": 1}
    assert "groups" not in ImageFolder(**options).account()
