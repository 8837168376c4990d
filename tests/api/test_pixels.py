import io
import warnings

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from sklearn.preprocessing import MinMaxScaler

from graft.api.pixels import as_array, as_bytes, is_unit, png, to_bytes
from graft.errors import GraftError

GRAY = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5) * 6
COLOR = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)


def test_layouts():
    assert torch.equal(as_bytes(GRAY), torch.from_numpy(GRAY)[:, None])
    assert torch.equal(as_bytes(GRAY[..., None]), torch.from_numpy(GRAY)[:, None])
    channels_first = torch.from_numpy(COLOR).permute(0, 3, 1, 2)
    assert torch.equal(as_bytes(COLOR), channels_first)
    assert torch.equal(as_bytes(channels_first), channels_first)
    assert torch.equal(as_bytes(list(COLOR)), channels_first)
    assert torch.equal(as_bytes([Image.fromarray(each) for each in COLOR]), channels_first)
    assert torch.equal(as_bytes([Image.fromarray(each) for each in GRAY]), torch.from_numpy(GRAY)[:, None])
    assert as_bytes(torch.rand(2, 3, 4, 5).requires_grad_(True)).shape == (2, 3, 4, 5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((4, 5), np.uint8), r"images must be .* got \(4, 5\)"),
        (np.zeros((2, 4, 5, 4), np.uint8), r"leave out transparency.* got \(2, 4, 5, 4\)"),
        (np.zeros((2, 3, 5, 3), np.uint8), r"got \(2, 3, 5, 3\)"),  # channels first or last?
        (np.zeros((4, 5, 3), np.uint8), r"\[image\] for one image; got \(4, 5, 3\)"),
        (np.zeros((0, 4, 5), np.uint8), "there are no images"),
        (np.array(["a"]), "arrays of numbers"),
        ([GRAY[0], GRAY[0, :3]], r"the images have 2 shapes, such as \(3, 5\) and \(4, 5\)"),
        ([Image.new("RGBA", (4, 4))], "mode L or RGB, got RGBA"),
    ],
)
def test_other_shapes_are_refused(images: object, message: str):
    with pytest.raises(GraftError, match=message):
        as_bytes(images)


def test_a_read_only_array_is_copied_without_a_warning(recwarn: pytest.WarningsRecorder):
    values = np.frombuffer(bytes(range(16)), np.uint8).reshape(1, 4, 4)
    assert torch.equal(as_bytes(values)[0, 0], torch.arange(16, dtype=torch.uint8).view(4, 4))
    assert not recwarn.list


def test_floats_are_from_0_to_1_or_to_255_and_rounded():
    unit = np.array([0.0, 0.25, 0.5, 1.0])
    assert to_bytes(unit).tolist() == [0, 64, 128, 255]
    assert to_bytes(unit.astype(np.float32)).tolist() == [0, 64, 128, 255]
    assert to_bytes(np.array([0.0, 130.4, 254.6])).tolist() == [0, 130, 255]
    assert to_bytes(np.array([0, 7, 200], np.int64)).tolist() == [0, 7, 200]
    assert to_bytes(np.array([True, False])).tolist() == [255, 0]
    assert to_bytes(np.array([0, 1], np.uint8)).tolist() == [0, 1]  # bytes are what they are
    assert to_bytes(np.array([0.0, 1.0]), unit=True).tolist() == [0, 255]


def test_a_range_that_is_left_by_rounding_is_kept():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 300))
    scaled = MinMaxScaler().fit_transform(pixels)
    assert scaled.max() > 1
    assert np.array_equal(to_bytes(scaled), np.rint(scaled.clip(0, 1) * 255))
    assert np.array_equal(to_bytes(scaled, unit=True), to_bytes(scaled))
    assert to_bytes(np.array([-1e-7, 0.5, 1])).tolist() == [0, 128, 255]
    assert to_bytes(np.array([-0.2, 0.5001, 255.2])).tolist() == [0, 1, 255]


@pytest.mark.parametrize(
    "values",
    [[0.0, 1.0], [0.0, 16.0, 3.0], [-0.5, 0.5, 0.2], [0.0, 0.5, 1.02], [0.0, 300.0]],
    ids=["two values", "16 levels", "normalized", "overshoot", "more than a byte"],
)
def test_values_without_a_clear_white_are_refused(values: list[float]):
    with pytest.raises(GraftError, match="what is white is unclear"):
        is_unit(np.array(values))


def test_other_images_of_a_known_range_are_taken_by_it():
    with pytest.raises(GraftError, match="pixels must be from 0 to 1, got 0 to 200"):
        to_bytes(np.array([0.0, 200.0]), unit=True)
    assert to_bytes(np.array([0.0, 3.0]), unit=False).tolist() == [0, 3]
    assert as_array(torch.ones(2, 2)).tolist() == [[1, 1], [1, 1]]


def test_a_picture_becomes_a_file_that_shows_it():
    """More than 8 bits are kept, and what is transparent stays so: nothing is cut off, no hidden color appears."""
    shades = np.arange(0, 4000, 10).reshape(20, 20)
    for dtype in (">u2", "<u2", np.int32):
        with Image.open(io.BytesIO(png(Image.fromarray(shades.astype(dtype))))) as stored:
            assert np.array_equal(np.asarray(stored), shades)
    gray = Image.fromarray((shades // 16).astype(np.uint8))
    for mode in ("RGBa", "La", "PA"):
        through = {"RGBa": "RGBA", "La": "LA", "PA": "P"}[mode]
        with Image.open(io.BytesIO(png(gray.convert(through).convert(mode)))) as stored:
            assert stored.has_transparency_data
    with Image.open(io.BytesIO(png(gray.convert("CMYK")))) as stored:
        assert stored.mode == "RGB"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0, 0.5]], np.float32), "what is white in a picture of mode F is unclear"),
        (np.array([[0, 70_000]], np.int32), "values from 0 to 65535, got 0 to 70000"),
        (np.array([[-1, 7]], np.int32), "got -1 to 7"),
    ],
)
def test_pictures_without_a_file_that_shows_them_are_refused(values: np.ndarray, message: str):
    with pytest.raises(GraftError, match=message):
        png(Image.fromarray(values))


def test_tensors_of_any_kind_are_arrays():
    values = torch.rand(2, 4, 4)
    expected = as_bytes(values)
    assert torch.equal(as_bytes([each.requires_grad_() for each in values.clone()]), expected)
    assert torch.equal(as_bytes(values.to_sparse()), expected)
    assert (as_bytes(list(values.bfloat16())).int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize("floats", [np.float32, np.float64])
def test_bytes_and_floats_in_one_list_are_refused(floats: type):
    image = np.random.default_rng(0).integers(0, 256, (4, 4), dtype=np.uint8)
    for other in (image, Image.fromarray(image), torch.from_numpy(image)):
        with pytest.raises(GraftError, match=r"images of one list must be of one kind, got float.* and uint8"):
            as_bytes([other, (image / 255).astype(floats)])
    assert torch.equal(as_bytes([image, Image.fromarray(image)])[0], as_bytes([image])[0])


def test_images_that_look_like_another_scale_are_told():
    image = np.random.default_rng(0).random((4, 4))
    with pytest.warns(UserWarning, match="2 images of 3 have no pixel above 1, where others reach 255: if 1 stands"):
        as_bytes([image, 255 * image / image.max(), image])
    with warnings.catch_warnings(action="error"):
        as_bytes([image, image / 2])  # all from 0 to 1
        as_bytes([255 * image / image.max(), 0 * image])  # one is black
        as_bytes(np.array([image * 255, image * 2]).round().astype(np.uint8))


class Dataset(torch.utils.data.Dataset):
    """Has a length, and an item for every index, as many data sets do."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.rand(3, 4, 4)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (Dataset(), r"got Dataset; try \[images\[i\]\[0\] for i in range\(len\(images\)\)\]"),
        (iter([1]), r"got list_iterator; try list\(images\)"),
        (Image.new("L", (4, 4)), r"got Image; try \[image\] for one image"),
        (np.array(["a.png"]), r"got <U5; try list\(images\)"),
        ({"images": 1}, "or a list of Pillow's pictures, got dict"),
        (pandas.Series([np.zeros((4, 4))] * 2), r"got object; try list\(images\)"),
        (pandas.DataFrame({"file": ["a.jpg"]}), r'got .*; try list\(images\["COLUMN"\]\)'),
        ([[[1, 2], [3]]], "the rows of one have several lengths"),
        (np.array([[[0.5, np.nan]]]), "some are NaN or infinite"),
    ],
)
def test_what_is_no_array_of_images_is_refused(images: object, message: str):
    with pytest.raises(GraftError, match=message):
        as_bytes(images)
