"""Layouts of folders: what a person may have in one, and what Graft makes of it."""

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.errors import GraftError
from graft.reading.layout import read_layout


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def read(root: Path) -> dict[str, tuple[str, str]]:
    """Return each image's class and part by its name."""
    files = read_layout(root).files
    return {file.path.relative_to(root).as_posix(): (file.class_name, file.part) for file in files if not file.reason}


def ignored(root: Path) -> dict[str, int]:
    return dict(Counter(file.reason for file in read_layout(root).files if file.reason))


def test_images_may_lie_deeper_in_a_class_folder(tmp_path: Path):
    touch(tmp_path, "dog/1.png", "dog/2023/2.PNG", "dog/2023/may/3.jpeg", "cat/4.png")
    assert read(tmp_path) == {
        "cat/4.png": ("cat", "train"),
        "dog/1.png": ("dog", "train"),
        "dog/2023/2.PNG": ("dog", "train"),
        "dog/2023/may/3.jpeg": ("dog", "train"),
    }


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        ("train test", "train test"),
        ("Train Testing", "train test"),
        ("TRAIN valid TEST", "train val test"),
        ("training validation test", "train val test"),
        ("train_set val-images test data", None),  # no name of a part: "data" is ignored
        ("train_data dev eval", "train val test"),
        ("train eval", "train test"),
        ("train test eval", "train test val"),
        ("train val eval", "train val test"),
        ("train", "train"),
        ("train val", "train test"),
        ("train Valid", "train test"),
        ("Training dev", "train test"),
    ],
)
def test_parts_are_recognized_by_their_names(tmp_path: Path, folders: str, parts: str | None):
    names = folders.split()
    for name in names:
        touch(tmp_path, f"{name}/cat/1.png", f"{name}/dog/1.png")
    found = {name.split("/")[0]: part for name, (_, part) in read(tmp_path).items()}
    if parts is None:
        assert found == {"train_set": "train", "val-images": "val", "test": "test"}
        assert ignored(tmp_path) == {"in data/": 2}
    else:
        assert found == dict(zip(names, parts.split(), strict=True))


def test_a_validation_folder_that_is_the_test_set_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    touch(tmp_path, "Train/cat/1.png", "valid/cat/1.png")
    read(tmp_path)
    assert "there is no test/ beside Train/: valid/ is the test set" in caplog.text


def test_folders_beside_the_parts_are_named_and_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    touch(tmp_path, "train/cat/1.png", "test/cat/2.png", "masks/1.png", "unlabelled/deep/2.png", "README.txt")
    touch(tmp_path, "train/stray.png", "train/labels.csv", "loose.png")
    assert set(read(tmp_path)) == {"train/cat/1.png", "test/cat/2.png"}
    assert f"ignored masks/ and unlabelled/ beside train/ and test/ under dataset.root={tmp_path}" in caplog.text
    assert ignored(tmp_path) == {
        ".txt": 1, ".csv": 1, "in no class folder": 2, "in masks/": 1, "in unlabelled/": 1,
    }  # fmt: skip


def test_a_test_folder_without_class_folders_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    touch(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/1.png", "test/2.png")
    assert {part for _, part in read(tmp_path).values()} == {"train"}
    assert "ignored test/ beside train/" in caplog.text
    assert ignored(tmp_path) == {"in test/": 2}


def test_classes_may_be_called_like_parts_which_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    touch(tmp_path, "train/1.png", "test/1.png", "plane/1.png")
    assert read_layout(tmp_path).classes == ["plane", "test", "train"]
    assert "test/ and train/: taken for classes, because they contain no class folders" in caplog.text


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train/1.png", "test/2.png"], "has test/ and train/ without class folders in them; expected DIR/train/"),
        (["train/a/1.png", "val/a/1.png", "valid/a/1.png"], "two folders for the val part, val/ and valid/; merge"),
        (["Train/a/1.png", "train/a/1.png"], "two folders for the train part, Train/ and train/"),
        (
            ["train/a/1.png", "test/a/1.png", "val/a/1.png", "eval/a/1.png"],
            "two folders for the val part, val/ and eval",
        ),
        (["cat/1.png", "dog/1.png", "test/cat/2.png"], "has test/ with class folders, but no train/; move the other"),
        (["val/cat/1.png", "test/cat/2.png"], "has test/ and val/ with class folders, but no train/"),
        (
            ["cat/train/1.png", "cat/test/2.png", "dog/train/3.png"],
            "class folder cat contains test/ and train/; .*DIR/train/",
        ),
    ],
)
def test_layouts_without_a_clear_meaning_are_refused(tmp_path: Path, files: list[str], message: str):
    touch(tmp_path, *files)
    with pytest.raises(GraftError, match=message):
        read_layout(tmp_path)


def test_hidden_files_and_those_of_operating_systems_are_not_counted(tmp_path: Path):
    touch(tmp_path, "cat/1.png", "cat/.DS_Store", "cat/Thumbs.db", "cat/@eaDir/1.png/thumb.jpg", "cat/.x/1.png")
    touch(tmp_path, ".ipynb_checkpoints/1.png", "__MACOSX/cat/._1.png", "desktop.ini")
    assert set(read(tmp_path)) == {"cat/1.png"}
    assert read_layout(tmp_path).classes == ["cat"]
    assert ignored(tmp_path) == {}


def test_links_are_followed_without_loops(tmp_path: Path):
    root = tmp_path / "root"
    touch(tmp_path, "elsewhere/1.png", "elsewhere/deep/2.png")
    touch(root, "cat/3.png")
    (root / "dog").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "itself").symlink_to(root / "cat")
    (root / "cat" / "up").symlink_to(root)
    (root / "cat" / "twice").symlink_to(root / "cat" / "itself")
    (root / "cat" / "broken.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(root / "cat" / "pipe.png")
    assert set(read(root)) == {"cat/3.png", "cat/broken.png", "dog/1.png", "dog/deep/2.png"}
    (root / "above").symlink_to(tmp_path)
    assert all(class_name != "above" for class_name, _ in read(root).values())
    assert "above" in read_layout(root).classes


def test_names_that_are_not_utf_8(tmp_path: Path):
    touch(tmp_path, os.fsdecode(b"cat/\xff.png"), os.fsdecode(b"cat/\xe9.h\xe9ic"), "cat/a b\u00e9.png")
    assert len(read(tmp_path)) == 2
    assert ignored(tmp_path) == {".h\\xe9ic": 1}
    touch(tmp_path, os.fsdecode(b"d\xf6g/1.png"))
    with pytest.raises(GraftError, match=r"the class folder d\\xf6g has a name that is not UTF-8; rename it"):
        read_layout(tmp_path)


def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    touch(tmp_path, "cat/1.png")

    def refuse(path: Path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)  # the tests may run as root, who may read every folder
    with pytest.raises(GraftError, match=r"the folder .* cannot be read: Permission denied"):
        read_layout(tmp_path)


NAMES = st.sampled_from(["a", "b", "c d", "\u00e9", "1", "Zz"])
FILES = st.sampled_from(["1.png", "2.JPG", "x.bmp", "n.txt", "h.heic", "none", "t.tar.gz", ".hidden.png", "Thumbs.db"])
DEEPER = st.lists(st.sampled_from(["2023", "x.png", ".cache"]), max_size=2)
PICTURES = (".png", ".jpg", ".bmp")


@settings(max_examples=40, derandomize=True, deadline=None)
@given(
    parts=st.sampled_from([[""], ["train/"], ["train/", "test/"], ["Training/", "valid/", "TEST/"]]),
    entries=st.lists(st.tuples(st.integers(0, 2), NAMES, DEEPER, FILES), max_size=12),
    loose=st.lists(FILES, max_size=3),
)
def test_generated_layouts_are_read_as_a_plain_reading_of_the_tree(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], entries: list, loose: list[str]
):
    root = tmp_path_factory.mktemp("layout")
    for part in parts:  # a class that keeps a part from being empty
        touch(root, f"{part}always/0.png")
    paths = {f"{parts[p % len(parts)]}{name}/{'/'.join([*deeper, file])}" for p, name, deeper, file in entries}
    touch(root, *paths, *loose)
    found = read_layout(root)
    expected, hidden = {}, 0
    for where, _, files in os.walk(root):
        for file in files:
            relative = Path(where, file).relative_to(root).as_posix()
            if any(each.startswith(".") or each == "Thumbs.db" for each in relative.split("/")):
                hidden += 1
            elif file.lower().endswith(PICTURES) and "/" in relative:
                inside = relative.split("/")[len(parts[0]) > 0 :]
                part = {"Training": "train", "valid": "val", "TEST": "test"}.get(relative.split("/")[0])
                expected[relative] = (inside[0], part or (relative.split("/")[0] if parts[0] else "train"))
    assert read(root) == expected
    assert len(found.files) == sum(len(files) for _, _, files in os.walk(root)) - hidden
