import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pixel_files import write_png, write_tiff

from graft.data.images import ImageFiles
from graft.data.load import Where, image_folder
from graft.errors import GraftError
from graft.reading.class_folders import list_folder
from graft.reading.decode import Reading
from graft.reading.remarks import warn_of_class_names


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.INFO)
    yield
    image_folder.cache_clear()
    list_folder.cache_clear()


def read(root: Path, size: int | None = None, **reading) -> np.ndarray:
    """Return all images of a folder, (images, height, width, channels)."""
    found = image_folder(Where(str(root), False, False, size, Reading(**reading)))
    assert isinstance(found, ImageFiles)
    pixels = found.read(torch.arange(len(found.labels)))
    assert isinstance(pixels, torch.Tensor)
    return pixels.permute(0, 2, 3, 1).numpy()


def write(root: Path, values: np.ndarray) -> Path:
    """Write images, (images, height, width), alternately into the classes cat and dog."""
    for number, image in enumerate(values):
        folder = root / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number // 2}.{'png' if image.dtype.itemsize < 4 else 'tif'}")
    return root


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_all_files_are_scaled_by_one_depth_which_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture, bits: int):
    values = np.random.default_rng(0).integers(0, 2**bits // 16, (4, 3, 5)).astype(np.uint16)
    values[1, 0, 0] = 2**bits - 1  # in one file; the others are dark, and stay so
    found = read(write(tmp_path, values))
    expected = np.rint(values[[0, 2, 1, 3]] * 255.0 / (2**bits - 1))
    assert np.array_equal(found[..., 0], expected)
    white = f"{2**bits - 1:,}"
    said = f"files with more than 8 bits a channel (4): their largest value is {white}, and {white} is white"
    assert said in caplog.text
    assert "WARNING" not in caplog.text


def test_a_test_folder_is_scaled_as_the_training_folder_is(tmp_path: Path):
    for part, level in (("train", 1000), ("test", 4000)):
        write(tmp_path / part, np.full((2, 3, 5), level, dtype=np.uint16))
    assert sorted(np.unique(read(tmp_path)).tolist()) == [round(1000 * 255 / 4095), round(4000 * 255 / 4095)]


def test_a_given_depth_is_used_and_what_it_cuts_or_darkens_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write(tmp_path, np.array([[[0, 4095]], [[5000, 100]]], dtype=np.uint16))
    assert read(tmp_path, bits=12)[..., 0].tolist() == [[[0, 255]], [[255, 6]]]
    assert "values above white are cut off in 1 of 2 such files; try dataset.bits=auto" in caplog.text
    caplog.clear()
    read(tmp_path, bits=16)
    assert "look black, because their largest value is 5,000, and 65,535 is white; try dataset.bits=13" in caplog.text


def test_labels_of_a_few_levels_look_black_which_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write(tmp_path, np.array([[[0, 3]], [[1, 2]]], dtype=np.uint16))
    read(tmp_path)
    assert "look black, because their largest value is 3, and 255 is white; try dataset.bits=2" in caplog.text
    assert read(tmp_path, bits=2)[..., 0].tolist() == [[[0, 255]], [[85, 170]]]


def test_floating_point_files_have_a_scale_of_their_own(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write(tmp_path, np.array([[[0, 0.5]], [[1, 0.25]]], dtype=np.float32))
    Image.fromarray(np.array([[4095, 0]], dtype=np.uint16)).save(tmp_path / "dog" / "9.png")
    assert read(tmp_path)[..., 0].tolist() == [[[0, 128]], [[255, 64]], [[255, 0]]]
    assert "files with floating-point pixels (2): their largest value is 1, and 1 is white" in caplog.text
    assert "files with more than 8 bits a channel (1): their largest value is 4,095" in caplog.text


def test_color_of_16_bits_is_refused_unless_it_fills_them(tmp_path: Path):
    values = np.random.default_rng(0).integers(0, 4096, (2, 3, 3))
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
    write_png(tmp_path / "cat" / "1.png", values)
    write_tiff(tmp_path / "dog" / "1.tif", values.astype(np.uint16), photometric=2)
    with pytest.raises(GraftError, match=r"2 files .* 4,095 is white: cat/1.png, dog/1.tif; convert them to 8 bits"):
        read(tmp_path)
    assert np.array_equal(read(tmp_path, bits=16), [values >> 8] * 2)
    write_png(tmp_path / "cat" / "1.png", values * 16)
    list_folder.cache_clear()
    assert np.array_equal(read(tmp_path)[0], values >> 4)


def test_negative_values_are_refused_with_the_file_and_the_reason(tmp_path: Path):
    write(tmp_path, np.array([[[0, 5]], [[-3, 7]]], dtype=np.int32))
    with pytest.raises(GraftError, match=r"1 of the 2 files .*: dog/0.tif \(it has negative values, down to -3"):
        read(tmp_path)


def test_further_frames_are_said_with_names_and_a_phone_s_preview_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    frames = [Image.new("L", (5, 4), level) for level in (10, 200)]
    write(tmp_path, np.zeros((2, 4, 5), dtype=np.uint8))
    for name in ("cat/a.gif", "dog/b.tif", "dog/c.mpo"):
        frames[0].convert("RGB").save(tmp_path / name, save_all=True, append_images=frames[1:])
    read(tmp_path)
    assert "only the first of several frames or pages is read in 2 files: cat/a.gif, dog/b.tif\n" in caplog.text


@pytest.mark.parametrize(("fit", "warned"), [("crop", True), ("squash", False), ("pad", False)])
def test_pictures_of_which_more_than_half_is_cut_off_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fit: str, warned: bool
):
    for name, size in (("cat/half", (20, 10)), ("cat/wide", (21, 10)), ("dog/line", (1000, 1)), ("dog/tall", (1, 9))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", size, 99).save(tmp_path / f"{name}.png")
    assert read(tmp_path, size=8, fit=fit).shape == (4, 8, 8, 1)
    said = (
        "crop cuts off more than half of 3 of 4 pictures: cat/wide.png, dog/line.png, dog/tall.png; try dataset.fit=pad"
    )
    assert (said in caplog.text) is warned
    assert ("WARNING" in caplog.text) is warned


def test_pictures_that_keep_their_one_shape_lose_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write(tmp_path, np.zeros((2, 4, 50), dtype=np.uint8))
    assert read(tmp_path).shape == (2, 4, 50, 1)
    assert "WARNING" not in caplog.text
    read(tmp_path, size=32)  # preprocessing crops them
    assert "more than half of 2 of 2 pictures" in caplog.text


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("Cat", "cat", "dog"), "'Cat' and 'cat';"),
        (("golden retriever", "Golden_Retriever", "golden-retriever"), "'Golden_Retriever' and 'golden retriever' and"),
        (("a", "A", "b", "B"), "'A' and 'a'; 'B' and 'b';"),
        (("cafe\u0301", "caf\u00e9", "tea"), "'cafe\u0301' and 'caf\u00e9';"),
        (("a", "A", "b", "B", "c", "C", "d", "D"), "'C' and 'c'; 1 more;"),
        (("cat", "cats", "1", "01", "-", "+"), None),
    ],
)
def test_class_names_that_differ_in_case_or_signs_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, names: tuple[str, ...], said: str | None
):
    for number, name in enumerate(names):
        (tmp_path / name).mkdir()
        Image.new("L", (4, 4), number).save(tmp_path / name / "x.png")
    if len(list(tmp_path.iterdir())) < len(names):
        pytest.skip("this file system takes some of these names for one")
    read(tmp_path)
    assert ("are different classes" in caplog.text) is (said is not None)
    assert said is None or said in caplog.text


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (["cat", "dog", "bird, small"], ""),
        (["cat", "Cat ", "dog"], "different classes: 'Cat ' and 'cat'; if"),
        (["caf\u00e9", "cafe\u0301"], "different classes: 'cafe\u0301' and 'caf\u00e9'; if"),
        (["dog", "cat|dog", "cat"], "one class, and 'cat|dog', whose parts are classes, too, is one of its own"),
        (["dog", "cat; dog", "cat", "cat+dog"], "'cat+dog', 'cat; dog', whose parts are classes, too, are each one"),
    ],
)
def test_classes_that_may_be_one_or_several_are_told(classes: list[str], said: str, caplog: pytest.LogCaptureFixture):
    warn_of_class_names(classes)
    assert bool(caplog.messages) == bool(said)
    assert said in caplog.text
