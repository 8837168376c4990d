from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graft.data.class_folders import list_folder
from graft.errors import GraftError

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


@pytest.mark.parametrize("files", [[], ["loose.png"], ["a/b/deep.png"]])
def test_a_folder_without_class_folders_is_refused_with_the_layout(write: Write, tmp_path: Path, files: list[str]):
    for name in files:
        write(name)
    with pytest.raises(GraftError, match=r"has no folders with images; expected DIR/<class>/<image>"):
        list_folder(str(tmp_path), False)


def test_a_missing_folder_is_refused():
    with pytest.raises(GraftError, match=r"dataset\.root=/nowhere is not a folder"):
        list_folder("/nowhere", False)


def test_the_identity_changes_with_a_file(write: Write, tmp_path: Path):
    path = write("cat/1.png")
    before = list_folder(str(tmp_path), False).identity
    list_folder.cache_clear()
    assert list_folder(str(tmp_path), False).identity == before
    path.write_bytes(path.read_bytes() + b" ")
    list_folder.cache_clear()
    assert list_folder(str(tmp_path), False).identity != before
