"""Class folders divided by contents: equal files, and which images are held out to test."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from folders import forget, write_classes, write_picture
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.data.dataset import ImageFolder
from graft.data.images import ImageFiles
from graft.errors import GraftError


def load(root: Path, **options: Any) -> ImageFolder:
    forget()
    return ImageFolder(**{"big": "rest", "small": "all", "root": str(root), "small_per_class": 1, **options})


def files(data: ImageFolder, indices: torch.Tensor) -> set[str]:
    """Return the names of images, relative to the root."""
    assert isinstance(data.images, ImageFiles)
    folder = data.images.folder
    return {str(folder.paths[index].relative_to(folder.root)) for index in indices.tolist()}


def test_about_a_fifth_of_each_class_is_held_out(tmp_path: Path):
    write_classes(tmp_path, cat=400, dog=100, bird=5)
    data = load(tmp_path)
    counts = data.account()["by_class"]["test"]
    assert list(counts) == ["bird", "cat", "dog"]
    for count, expected in zip(counts.values(), (1, 80, 20), strict=True):
        assert count >= 1
        assert abs(count - expected) <= 4 * (0.8 * expected) ** 0.5  # standard deviations of a binomial distribution
    assert data.test.tolist() == sorted(data.test.tolist())
    assert not files(data, data.test) & files(data, torch.cat(data.pool))
    assert len(data.test) + sum(map(len, data.pool)) == 505


def test_an_added_a_removed_and_a_renamed_file_move_no_other_one(tmp_path: Path):
    write_classes(tmp_path, cat=60, dog=60)
    before = load(tmp_path)
    held_out = files(before, before.test)
    for number in range(10):
        write_picture(tmp_path / "cat" / f"{number}-new.bmp", 10**9 + number)
    added = load(tmp_path)
    assert {name for name in files(added, added.test) if "new" not in name} == held_out
    for number in range(10):
        (tmp_path / "cat" / f"{number}-new.bmp").unlink()
    (tmp_path / "dog" / "07.bmp").unlink()
    removed = load(tmp_path)
    assert files(removed, removed.test) == held_out - {"dog/07.bmp"}
    (tmp_path / "cat" / "00.bmp").rename(tmp_path / "cat" / "zz.bmp")
    renamed = load(tmp_path)
    assert {"cat/00.bmp" if name == "cat/zz.bmp" else name for name in files(renamed, renamed.test)} == files(
        removed, removed.test
    )
    shutil.copytree(tmp_path / "cat", tmp_path / "elsewhere" / "cat")
    write_classes(tmp_path / "elsewhere", fish=3)
    moved = load(tmp_path / "elsewhere")
    assert {name for name in files(moved, moved.test) if "cat" in name} == {
        name for name in files(renamed, renamed.test) if "cat" in name
    }


def test_a_number_of_test_images_is_kept_exactly_and_the_smaller_sets_are_in_the_larger(tmp_path: Path):
    write_classes(tmp_path, cat=30, dog=30)
    nested = [files(data, data.test) for data in (load(tmp_path, test_per_class=count) for count in (1, 5, 20))]
    assert [len(each) for each in nested] == [2, 10, 40]
    assert nested[0] < nested[1] < nested[2]
    write_classes(tmp_path / "parts", train_cat=3, train_dog=3, test_cat=30, test_dog=30)
    data = load(tmp_path / "parts", test_per_class=4)
    assert Counter(name.split("/")[1] for name in files(data, data.test)) == {"cat": 4, "dog": 4}
    assert data.account()["ignored"] == {"not chosen": 52}


@settings(max_examples=15, derandomize=True, deadline=None)
@given(drawn=st.lists(st.lists(st.integers(0, 15), max_size=12), min_size=3, max_size=3), test=st.booleans())
def test_generated_classes_are_divided_as_a_plain_reading_says(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[list[int]], test: bool
):
    root = tmp_path_factory.mktemp("classes")
    numbers = {
        name: [*some, *(100 * place + extra for extra in range(2))]
        for place, (name, some) in enumerate(zip("abc", drawn, strict=True), 1)
    }
    for name, each in numbers.items():
        for index, number in enumerate(each):  # equal numbers are equal files
            write_picture(root / ("train" if test else "") / name / f"{index:02}.bmp", number)
        if test:
            for index, number in enumerate([*each, ord(name) * 1000]):  # copies of all, and one of its own
                write_picture(root / "test" / name / f"{index:02}.bmp", number)
    data = load(root)
    kept = {
        name: {n for n in each if sum(n in other for other in numbers.values()) == 1} for name, each in numbers.items()
    }
    tested = [int.from_bytes(read(data, index), "big") for index in data.test.tolist()]
    for name, pool in zip("abc", data.pool, strict=True):
        trained = [int.from_bytes(read(data, index), "big") for index in pool.tolist()]
        assert len(trained) == len(set(trained))
        if test:
            assert set(trained) == kept[name]
        else:
            held_out = kept[name] - set(trained)
            assert held_out
            assert held_out < kept[name]
            assert held_out == kept[name] & set(tested)
    assert not test or sorted(tested) == [1000 * ord(name) for name in "abc"]


def read(data: ImageFolder, index: int) -> bytes:
    """Return the pixels of an image as bytes."""
    pixels = data.images.read(torch.tensor([index]))
    assert isinstance(pixels, torch.Tensor)
    return bytes(pixels.flatten().tolist())


def parts(root: Path) -> None:
    """Write a folder with equal files: of the same class in training and test, in one part, and in two classes."""
    write_classes(root, train_cat=4, train_dog=4, val_cat=2, val_dog=2, test_cat=3, test_dog=3)
    for origin, copy in (
        ("train/cat/00", "test/cat/leaked"),
        ("train/cat/01", "val/cat/leaked"),
        ("val/dog/00", "test/dog/from_val"),
        ("train/dog/02", "train/dog/again"),
        ("test/dog/00", "test/dog/again"),
        ("train/cat/03", "train/dog/wrong"),
        ("test/cat/01", "train/dog/cheat"),
    ):
        shutil.copy(root / f"{origin}.bmp", root / f"{copy}.bmp")


def test_equal_files_count_once_and_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    parts(tmp_path)
    data = load(tmp_path)
    tested = ("cat/00", "cat/02", "dog/00", "dog/01", "dog/02")
    assert files(data, data.test) == {f"test/{name}.bmp" for name in tested}
    assert files(data, data.val) == {f"val/{name}.bmp" for name in ("cat/00", "cat/01", "dog/00", "dog/01")}
    assert files(data, data.pool[0]) == {f"train/cat/0{number}.bmp" for number in range(3)}
    assert files(data, data.pool[1]) == {f"train/dog/{name}.bmp" for name in ("00", "01", "02", "03")}
    account = data.account()
    assert account["duplicates"] == {"other_part": 3, "same_part": 2, "two_classes": 4}
    assert account["ignored"] == {"equal to another file": 5, "under two classes": 4}
    assert account["found"] == account["used"] + sum(account["ignored"].values()) == 25
    assert (
        "equal to one of the same class in an earlier part: 3 (test/cat/leaked.bmp = train/cat/00.bmp, " in caplog.text
    )
    assert "test/dog/from_val.bmp = val/dog/00.bmp" in caplog.text
    assert "a label must be wrong: 4 (" in caplog.text
    assert "left out; dataset.duplicates=keep uses them" in caplog.text


def test_equal_files_may_be_kept_and_are_told_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    parts(tmp_path)
    data = load(tmp_path, duplicates="keep")
    account = data.account()
    assert (account["found"], account["used"], account["ignored"]) == (25, 25, {})
    assert account["duplicates"] == {"other_part": 3, "same_part": 2, "two_classes": 4}
    assert "a label must be wrong: 4 (" in caplog.text
    assert "used, because of dataset.duplicates=keep: where one is trained on and another" in caplog.text


def test_copies_of_held_out_images_are_held_out_with_them(tmp_path: Path):
    write_classes(tmp_path, cat=30, dog=30)
    for path in sorted((tmp_path / "cat").iterdir()):
        shutil.copy(path, path.with_name(f"copy-{path.name}"))
    for duplicates in ("drop", "keep"):
        data = load(tmp_path, duplicates=duplicates)
        assert isinstance(data.images, ImageFiles)
        digests = data.images.digests
        tested = {digests[index] for index in data.test.tolist()}
        assert not tested & {digests[index] for pool in data.pool for index in pool.tolist()}
        assert sum(map(len, (*data.pool, data.test))) == (60 if duplicates == "drop" else 90)


def test_only_the_chosen_classes_count(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_classes(tmp_path, cat=10, dog=10)
    for name in ("cat", "dog"):
        shutil.copytree(tmp_path / name, tmp_path / "everything", dirs_exist_ok=True)
    data = load(tmp_path, small=["cat", "dog"], big=[])
    assert data.account()["duplicates"] == {"other_part": 0, "same_part": 0, "two_classes": 0}
    assert data.account()["ignored"] == {"not chosen": 10}
    assert "equal" not in caplog.text
    expected = r"classes with training images; dog, everything lack them, equal files counted once, got"
    with pytest.raises(GraftError, match=expected):
        load(tmp_path)
    write_classes(tmp_path, fish=1)
    with pytest.raises(GraftError, match=r"fish lacks them, got"):  # those of `everything` are not dropped, but unused
        load(tmp_path, small=["cat", "fish"], big=[])


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        (
            {"cat": 10, "dog": 1, "fish": 1},
            {},
            "dataset.small must be classes with two images or more, one to train and one to test on; dog, fish lack "
            r"them, got \[cat,dog,fish\]; try leaving out dog, fish, or dataset.short=use",
        ),
        (
            {"train_cat": 9, "train_dog": 9, "test_cat": 2},
            {},
            r"classes with test images; dog lacks them, .*, or dataset.short=use",
        ),
        ({"cat": 1, "dog": 1}, {"short": "use"}, "classes with two images or more.*; try leaving out cat, dog$"),
        (
            {"cat": 9, "dog": 30},
            {"small_per_class": 12},
            r"at most [5-8], .* class cat, got 12; .*=[5-8], or dataset.short=use",
        ),
        ({"cat": 9, "dog": 30}, {"test_per_class": 12}, "test_per_class must be below 9, the images of class cat"),
    ],
)
def test_classes_with_too_few_images_are_named(tmp_path: Path, counts: dict[str, int], options: dict, message: str):
    write_classes(tmp_path, **counts)
    with pytest.raises(GraftError, match=message):
        load(tmp_path, **options)


def test_short_classes_give_what_they_have(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_classes(tmp_path, bird=1, cat=12, dog=400)
    data = load(tmp_path, short="use", small_per_class=200, val_per_class=40)
    train, val = data.sample(0)
    pool = len(data.pool[1])
    counts = data.images.labels[train].bincount(minlength=3).tolist()
    assert counts == [1, pool * 200 // 240, 200]
    assert data.images.labels[val].bincount(minlength=3).tolist() == [0, pool - counts[1], 40]
    assert data.account()["by_class"]["small"] == {"bird": 1, "cat": counts[1], "dog": 200}
    assert data.account()["by_class"]["test"]["bird"] == 0
    words = "bird has 1 of 200 training images and 0 of 40 validation images and no test image, cat has "
    words += f"{counts[1]} of 200 training images and {pool - counts[1]} of 40 validation images"
    assert f"dataset.short=use: {words}" in caplog.messages
    assert len(load(tmp_path, short="use", small_per_class=1, test_per_class=50).test) in range(50, 62)


def test_short_classes_with_test_images_of_their_own(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_classes(tmp_path, train_cat=3, train_dog=30, train_fish=5, test_cat=2, test_dog=9)
    data = load(tmp_path, short="use", small_per_class=10, test_per_class=5)
    assert data.account()["by_class"] == {
        "small": {"cat": 3, "dog": 10, "fish": 5},
        "pool": {"cat": 3, "dog": 30, "fish": 5},
        "test": {"cat": 2, "dog": 5, "fish": 0},
    }
    assert "cat has 3 of 10 training images, fish has 5 of 10 training images and no test image" in caplog.text


def test_a_total_without_a_number_per_class(tmp_path: Path):
    write_classes(tmp_path, cat=30, dog=30)
    data = load(tmp_path, small_per_class=None, small_total=11)
    assert data.counts == [6, 5]
    with pytest.raises(GraftError, match=r"small_per_class must be a number without dataset.small_total, got null"):
        load(tmp_path, small_per_class=None)
