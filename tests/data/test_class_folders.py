from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from graft.data.class_folders import decode, list_folder
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


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "LA", "1"])
def test_every_mode_decodes_to_the_same_image(write: Write, mode: str):
    suffix = "tif" if mode == "CMYK" else "png"
    pixels = decode(write(f"a/1.{suffix}", mode=mode), (3, 8, 12)).float()
    assert pixels.shape == (3, 8, 12)
    assert pixels[..., :6].mean() < pixels[..., 6:].mean()
    if mode != "1":
        assert pixels[..., 0].unique().tolist() == [50]


def test_sixteen_bits_are_scaled_and_not_truncated(tmp_path: Path):
    values = np.array([[0, 255, 256], [1000, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert decode(tmp_path / "deep.png", (1, 2, 3))[0].tolist() == [[0, 0, 1], [3, 128, 255]]


def test_images_are_turned_upright_by_their_exif_orientation(write: Write, tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees: left becomes top
    path = write("a/1.png", exif=exif)
    assert list_folder(str(tmp_path), False).shapes == [(12, 8)]
    upright = decode(path, (3, 12, 8)).float()
    assert upright[:, :6].mean() < upright[:, 6:].mean()
    assert upright.std(-1).max() == 0


def test_larger_images_are_shrunk_and_center_cropped(write: Write):
    pixels = decode(write("a/1.jpg", size=(400, 100), quality=95), (3, 10, 10))
    assert pixels.shape == (3, 10, 10)
    assert pixels[..., 0].float().mean() == pytest.approx(50, abs=3)
    assert pixels[..., -1].float().mean() == pytest.approx(200, abs=3)


def test_unreadable_files_are_named_and_refused_or_skipped(
    write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    good = write("cat/good.png")
    truncated = write("cat/truncated.jpg", size=(300, 300))
    truncated.write_bytes(truncated.read_bytes()[:-1000])
    (tmp_path / "cat" / "empty.png").touch()
    (tmp_path / "cat" / "junk.gif").write_bytes(b"junk")
    with pytest.raises(GraftError, match=r"2 of the 4 files.*: cat/empty.png, cat/junk.gif;.*skip_unreadable=true"):
        list_folder(str(tmp_path), False)
    assert list_folder(str(tmp_path), True).paths == [good]
    assert "skipped 3 unreadable files: cat/empty.png, cat/junk.gif, cat/truncated.jpg" in caplog.text


def test_a_folder_without_any_readable_file_is_refused_even_if_unreadable_ones_are_skipped(tmp_path: Path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "junk.png").write_bytes(b"junk")
    for skip in (False, True):
        with pytest.raises(GraftError, match=r"2 of the 2 files .* cannot be read .*; repair or remove them$"):
            list_folder(str(tmp_path), skip)


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


def test_decoded_images_are_bytes(write: Write):
    assert decode(write("a/1.png", mode="L"), (1, 8, 12)).dtype == torch.uint8
