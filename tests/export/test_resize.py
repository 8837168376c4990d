import numpy as np
import pytest
import torch
from PIL import Image

from graft.data.preprocess import Preprocess
from graft.export.resize import fitted
from graft.reading.decode import decode

SHAPES = [(50, 90), (31, 47), (224, 320), (1, 3), (20, 20), (40, 41)]  # wide: Pillow resamples their rows first
TALL = [(90, 50), (300, 41), (5, 1)]  # here newer versions of Pillow resample columns first


def read(tmp_path, pixels: np.ndarray, size: tuple[int, int], fit: str, interpolation: str) -> torch.Tensor:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return decode(tmp_path / "a.png", (3, *size), fit, interpolation=interpolation)


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(32, 32), (64, 64), (20, 41)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_picture_becomes_what_pillow_makes_of_it(tmp_path, fit: str, size: tuple[int, int], interpolation: str):
    numbers = np.random.default_rng(0)
    for shape in SHAPES + TALL:
        pixels = numbers.integers(0, 256, (*shape, 3), dtype=np.uint8)
        found = fitted(torch.from_numpy(pixels).permute(2, 0, 1)[None].double(), *size, fit, interpolation)[0]
        difference = (found - read(tmp_path, pixels, size, fit, interpolation).double()).abs()
        exact = shape in SHAPES and (fit == "crop" or size[0] == size[1]) and shape != (1, 3)
        cut = shape in TALL and interpolation == "bicubic"  # what overshoots after the columns is cut before the rows
        assert difference.max() <= (0 if exact and fit != "squash" else 20 if cut else 1)
        assert difference.mean() < 0.5


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [16, 40])
def test_it_resizes_as_the_preprocessing_does_but_for_rounding(interpolation: str, size: int):
    pixels = torch.randint(0, 256, (2, 3, 28, 28), dtype=torch.uint8)
    expected = Preprocess([3, 28, 28], size=size, interpolation=interpolation)(pixels) * 255
    found = fitted(pixels.double(), size, size, "squash", interpolation)
    assert (found - expected).abs().max() <= 2
    assert (found != expected.round()).double().mean() < 0.05 or interpolation == "bilinear"


def test_an_image_of_the_right_size_stays_as_it_is():
    pixels = torch.randint(0, 256, (2, 1, 17, 23), dtype=torch.uint8).double()
    for fit in ("crop", "squash", "pad"):
        torch.testing.assert_close(fitted(pixels, 17, 23, fit), pixels, rtol=0, atol=0)
