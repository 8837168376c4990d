import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from folders import settle, write_classes, write_picture
from PIL import Image

from graft.errors import GraftError
from graft.reading.class_folders import list_folder

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a picture under tmp_path whose left half is dark and whose right half is bright."""

    def write(name: str, size: tuple[int, int] = (12, 8), mode: str = "RGB", **options) -> Path:
        array = np.full((size[1], size[0]), 50, dtype=np.uint8)
        array[:, size[0] // 2 :] = 200
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).convert(mode).save(path, **options)
        return path

    return write


def test_files_are_listed_by_class_and_name(write: Write, tmp_path: Path):
    for name in ("dog/b.png", "dog/a.jpg", "cat/z.bmp", "cat/c.webp", "cat/.hidden.png"):
        write(name)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "readme.md").write_text("no folder")
    folder = list_folder(str(tmp_path), False)
    assert [str(path.relative_to(tmp_path)) for path in folder.paths] == [
        "cat/c.webp", "cat/z.bmp", "dog/a.jpg", "dog/b.png",
    ]  # fmt: skip
    assert [file.class_name for file in folder.files] == ["cat", "cat", "dog", "dog"]
    assert {file.part for file in folder.files} == {"train"}
    assert folder.shapes == [(8, 12)]
    assert folder.color


def test_train_val_and_test_folders_are_parts_but_classes_may_have_these_names(write: Write, tmp_path: Path):
    for part in ("train", "val", "test"):
        write(f"parts/{part}/cat/1.png")
    assert [file.part for file in list_folder(str(tmp_path / "parts"), False).files] == ["train", "val", "test"]
    for name in ("train", "test", "plane"):
        write(f"toys/{name}/1.png")
    files = list_folder(str(tmp_path / "toys"), False).files
    assert [file.class_name for file in files] == ["plane", "test", "train"]
    assert {file.part for file in files} == {"train"}


def test_unreadable_files_are_named_and_refused_or_skipped(
    write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    good = write("cat/good.png")
    truncated = write("cat/truncated.jpg", size=(300, 300))
    truncated.write_bytes(truncated.read_bytes()[:-1000])
    (tmp_path / "cat" / "empty.png").touch()
    (tmp_path / "cat" / "junk.gif").write_bytes(b"junk")
    with pytest.raises(
        GraftError,
        match=r"2 of the 4 files.*: cat/empty.png \(empty file\), cat/junk.gif \(its content is no image.*skip",
    ):
        list_folder(str(tmp_path), False)
    assert list_folder(str(tmp_path), True).paths == [good]
    assert "skipped 3 unreadable files: cat/empty.png (empty file), cat/junk.gif (its content is no" in caplog.text
    assert "cat/truncated.jpg (image file is truncated" in caplog.text


def test_a_folder_without_any_readable_file_is_refused_even_if_unreadable_ones_are_skipped(tmp_path: Path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "junk.png").write_bytes(b"junk")
    for skip in (False, True):
        with pytest.raises(GraftError, match=r"2 of the 2 files .* cannot be read .*; repair or remove them$"):
            list_folder(str(tmp_path), skip)


@pytest.mark.parametrize(
    ("files", "ignored"),
    [([], ""), (["loose.png"], "; 1 file ignored: 1 in no class folder"), (["a/b/.hidden.png"], "")],
)
def test_a_folder_without_class_folders_is_refused_with_the_layout(
    write: Write, tmp_path: Path, files: list[str], ignored: str
):
    for name in files:
        write(name)
    with pytest.raises(GraftError, match=f"has no folders with images{ignored}; expected DIR/<class>/<image>"):
        list_folder(str(tmp_path), False)


def test_every_file_is_accounted_for_in_one_line(write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    for name in ("cat/1.png", "cat/2.png", "dog/3.png"):
        write(name)
    for name in ("cat/4.heic", "dog/5.HEIC", "dog/notes.txt"):
        (tmp_path / name).touch()
    folder = list_folder(str(tmp_path), False)
    line = "3 images of 2 classes (2, 1); 3 files ignored: 2 .heic (pip install pillow-heif), 1 .txt"
    assert line in caplog.messages
    assert folder.ignored == {".heic": 2, ".txt": 1}


def test_many_classes_are_counted_by_their_range(write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    for number in range(12):
        write(f"{number}/1.png")
    write("3/2.png")
    list_folder(str(tmp_path), False)
    assert "13 images of 12 classes (1 to 2 each)" in caplog.messages


@pytest.mark.parametrize(
    ("files", "held"),
    [
        ([], r"bird \(an empty folder\)"),
        (["bird/deep/.hidden.png"], r"bird \(an empty folder\)"),
        (["bird/1.heic", "bird/2.heic"], r"bird \(2 .heic \(pip install pillow-heif\)\)"),
        (["bird/1.txt", "fish/1"], r"bird \(1 .txt\), fish \(1 without suffix\)"),
    ],
)
@pytest.mark.parametrize("skip_unreadable", [True, False])
def test_a_class_that_would_vanish_is_refused(
    write: Write, tmp_path: Path, files: list[str], held: str, skip_unreadable: bool
):
    write("cat/1.png")
    write("dog/1.png")
    (tmp_path / "bird").mkdir()
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    with pytest.raises(GraftError, match=f"classes without a readable image under dataset.root={tmp_path}: {held};"):
        list_folder(str(tmp_path), skip_unreadable)


def test_a_class_does_not_vanish_by_skipping_its_files(write: Write, tmp_path: Path):
    write("cat/1.png")
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "1.png").touch()
    with pytest.raises(GraftError, match=r"without a readable image .*: dog \(1 unreadable\)"):
        list_folder(str(tmp_path), True)


def test_classes_that_training_lacks_are_refused(write: Write, tmp_path: Path):
    for name in ("train/cat/1.png", "train/dog/1.png", "test/Cat/1.png", "test/dog/1.png", "val/bird/1.png"):
        write(name)
    with pytest.raises(
        GraftError, match=r"without training images .*: Cat, bird; training images' classes are cat, dog"
    ):
        list_folder(str(tmp_path), False)


@pytest.mark.parametrize(
    ("files", "held"),
    [(["Testing/cat/"], "an empty folder"), (["Testing/cat/1.heic"], r"1 .heic \(pip install pillow-heif\)")],
)
def test_a_part_that_would_vanish_is_refused(write: Write, tmp_path: Path, files: list[str], held: str):
    for name in ("train/cat/1.png", "train/dog/1.png"):
        write(name)
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).touch()
    with pytest.raises(GraftError, match=rf"the folder Testing under .* has no readable images \({held}\); add"):
        list_folder(str(tmp_path), False)


def test_an_archive_is_no_folder(tmp_path: Path):
    (tmp_path / "photos.zip").touch()
    with pytest.raises(GraftError, match=r"photos.zip is a file, not a folder; unpack it"):
        list_folder(str(tmp_path / "photos.zip"), False)


def test_a_missing_folder_is_refused():
    with pytest.raises(GraftError, match=r"dataset\.root=/nowhere is not a folder"):
        list_folder("/nowhere", False)


def listed(root: Path, memo: Path | None = None) -> str:
    """Return a folder's identity as a new process finds it."""
    list_folder.cache_clear()
    return list_folder(str(root), False, cache=memo).identity


@pytest.mark.parametrize("memo", [True, False])
def test_the_identity_follows_from_names_and_contents(tmp_path: Path, memo: bool):
    known = tmp_path / "cache" if memo else None
    write_classes(tmp_path / "one", cat=2, dog=1)
    settle(tmp_path / "one")
    before = listed(tmp_path / "one", known)
    assert listed(tmp_path / "one", known) == before
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert listed(tmp_path / "two", known) == before
    settle(tmp_path / "two")
    (tmp_path / "one" / "cat" / "00.bmp").touch()
    assert listed(tmp_path / "one", known) == before
    (tmp_path / "one" / "cat" / "00.bmp").rename(tmp_path / "one" / "cat" / "02.bmp")
    assert len({before, listed(tmp_path / "one", known), listed(tmp_path / "two", known)}) == 2


@pytest.mark.parametrize("memo", [True, False])
def test_swapped_contents_of_equal_size_and_old_times_are_another_identity(tmp_path: Path, memo: bool):
    known = tmp_path / "cache" if memo else None
    root = tmp_path / "root"
    write_classes(root, cat=2, dog=2)
    settle(root)
    before = listed(root, known)
    for name in ("00.bmp", "01.bmp"):
        cat, dog = root / "cat" / name, root / "dog" / name
        times = [(path.stat().st_atime_ns, path.stat().st_mtime_ns) for path in (cat, dog)]
        contents = cat.read_bytes(), dog.read_bytes()
        assert len(contents[0]) == len(contents[1])
        cat.write_bytes(contents[1])
        dog.write_bytes(contents[0])
        for path, old in zip((cat, dog), times, strict=True):
            os.utime(path, ns=old)
    assert listed(root, known) != before


def test_roots_with_equal_names_sizes_and_times_but_other_pictures_differ(tmp_path: Path):
    for root, first in (("one", 0), ("two", 10)):
        for number, name in enumerate(("cat/1.bmp", "dog/1.bmp"), start=first):
            write_picture(tmp_path / root / name, number)
            os.utime(tmp_path / root / name, (1e9, 1e9))
    known = tmp_path / "cache"
    assert listed(tmp_path / "one", known) != listed(tmp_path / "two", known)


def test_names_that_are_not_utf_8_have_an_identity(tmp_path: Path):
    write_classes(tmp_path, cat=1, dog=1)
    before = listed(tmp_path)
    os.rename(tmp_path / "cat" / "00.bmp", os.fsencode(tmp_path / "cat") + b"/\xff.bmp")
    assert listed(tmp_path, tmp_path / "cache") == listed(tmp_path, tmp_path / "cache") != before


def test_folders_that_every_class_has_may_be_the_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    for number, name in enumerate(("fold1/cat", "fold1/dog", "fold2/cat", "fold2/dog")):
        write_picture(tmp_path / "folds" / name / "1.bmp", number)
    list_folder(str(tmp_path / "folds"), False)
    assert "the classes are fold1, fold2, and each has the folders cat, dog: if these are meant" in caplog.text
    caplog.clear()
    for number, name in enumerate(("cat/2023", "cat/2024", "dog/2023", "dog")):  # only dates, and not everywhere
        write_picture(tmp_path / "dates" / name / "1.bmp", number)
    list_folder(str(tmp_path / "dates"), False)
    assert "each has the folders" not in caplog.text
