import os
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from pixel_files import write_png, write_tiff

from graft.reading import decode as module
from graft.reading.decode import Header, decode, header, named, pixel_limit

RANDOM = np.random.default_rng(0)
METHODS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
QUICK = settings(max_examples=40, deadline=None, derandomize=True, database=None)
HALVES = np.full((8, 12), 50, dtype=np.uint8)
HALVES[:, 6:] = 200


def seen(path: Path, *how) -> np.ndarray:
    """Return what is decoded at the file's own size, (height, width, channels)."""
    found = header(path)
    assert isinstance(found, Header), found
    return decode(path, (3 if found.color else 1, found.height, found.width), *how).permute(1, 2, 0).numpy()


def on_white(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return colors, (height, width, channels), under alpha, (height, width), laid on white paper."""
    opaque = alpha[..., None] / 255
    return color * opaque + 255 * (1 - opaque)


# What each mode is saved as. The values of those below are compared one by one, the others' in tests of their own.
@QUICK
@given(
    st.sampled_from([
        ("1", "png"), ("1", "tif"), ("L", "png"), ("L", "bmp"), ("L", "tif"), ("L", "jp2"), ("L", "tga"), ("L", "pgm"),
        ("RGB", "png"), ("RGB", "bmp"), ("RGB", "tif"), ("RGB", "ppm"), ("RGB", "sgi"), ("RGBX", "tif"),
        ("LA", "png"), ("LA", "tif"), ("RGBA", "png"), ("RGBA", "tif"), ("RGBA", "webp"), ("RGBA", "tga"),
        ("PA", "tif"), ("CMYK", "tif"),
    ]),
    st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32),
)  # fmt: skip
def test_what_a_person_sees_is_what_is_decoded(kind: tuple[str, str], height: int, width: int, seed: int):
    mode, suffix = kind
    channels = {"1": 1, "L": 1, "LA": 2, "PA": 2, "RGB": 3, "RGBX": 4, "RGBA": 4, "CMYK": 4}[mode]
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    image = Image.frombytes("L" if mode == "1" else mode, (width, height), values.tobytes())
    if mode == "1":
        values = 255 * (values > 127).astype(np.uint8)
        image = Image.fromarray(values[..., 0]).convert("1")
    palette = RANDOM.integers(0, 256, (256, 3), dtype=np.uint8)
    if mode == "PA":
        image.putpalette(palette.tobytes())
        values = np.concatenate([palette[values[..., 0]], values[..., 1:]], axis=-1)
    expected = {
        "LA": lambda: on_white(values[..., :1], values[..., 1]),
        "PA": lambda: on_white(values[..., :3], values[..., 3]),
        "RGBA": lambda: on_white(values[..., :3], values[..., 3]),
        "RGBX": lambda: values[..., :3],
        "CMYK": lambda: (255.0 - values[..., :3]) * (255.0 - values[..., 3:]) / 255,
    }.get(mode, lambda: values)()
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"image.{suffix}"
        image.save(path, lossless=True, exact=True)  # WebP's options, which other formats ignore
        found = seen(path)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= (1 if channels in (2, 4) else 0)


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("colors", ["gray", "color"])
def test_a_palette_s_colors_are_seen_and_its_transparent_ones_are_white(tmp_path: Path, colors: str, transparent: bool):
    palette = RANDOM.integers(0, 255, (4, 3), dtype=np.uint8)
    palette = palette[:, :1].repeat(3, axis=1) if colors == "gray" else palette
    indices = np.array([[0, 1, 2], [3, 2, 1]], dtype=np.uint8)
    image = Image.frombytes("P", (3, 2), indices.tobytes())
    image.putpalette(palette.tobytes())
    for name, transparency in (("image.gif", 2), ("one.png", 2), ("many.png", bytes([255, 255, 0, 255]))):
        options: dict[str, Any] = {"transparency": transparency} if transparent else {}
        image.save(tmp_path / name, **options)
    expected = palette[indices]
    expected[indices == 2] = 255 if transparent else palette[2]
    for path in tmp_path.iterdir():
        assert np.array_equal(seen(path), expected), path


@pytest.mark.parametrize(("mode", "color"), [("1", 1), ("L", 77), ("RGB", (10, 20, 30))])
def test_a_single_transparent_color_is_white(tmp_path: Path, mode: str, color):
    image = Image.new(mode, (3, 2), color)
    image.putpixel((1, 1), 0)
    image.save(tmp_path / "image.png", transparency=0 if mode != "RGB" else (0, 0, 0))
    found = seen(tmp_path / "image.png")
    assert (found[1, 1] == 255).all()
    assert found[0, 0].tolist() == {"1": [255], "L": [77], "RGB": [10, 20, 30]}[mode]


def test_a_hidden_color_is_not_learned(tmp_path: Path):
    hidden = [Image.new("RGBA", (3, 2), (*color, 0)) for color in ((255, 0, 0), (0, 0, 255))]
    for number, image in enumerate(hidden):
        image.save(tmp_path / f"{number}.png")
    assert np.array_equal(seen(tmp_path / "0.png"), seen(tmp_path / "1.png"))


@pytest.mark.parametrize(("mode", "pixel", "expected"), [
    ("YCbCr", (128, 128, 128), (128, 128, 128)),
    ("YCbCr", (76, 85, 255), (255, 0, 0)),
    ("LAB", (255, 128, 128), (255, 255, 255)),
    ("LAB", (136, 128 + 81, 128 + 70), (255, 0, 0)),  # L*=53, a*=81, b*=70: red under D50
])  # fmt: skip
def test_other_color_spaces_become_rgb(tmp_path: Path, mode: str, pixel: tuple, expected: tuple):
    Image.new(mode, (3, 2), pixel).save(tmp_path / "image.tif")
    found = seen(tmp_path / "image.tif")[0, 0].astype(int)
    assert np.abs(found - expected).max() <= 6


@pytest.mark.parametrize(("mode", "pixel", "expected"), [
    ("HSV", (0, 255, 255), [255, 0, 0]),
    ("HSV", (85, 255, 255), [0, 255, 0]),
    ("RGBa", (50, 0, 0, 128), [177, 127, 127]),  # half-transparent red
    ("La", (0, 128), [127]),
    ("La", (128, 128), [255]),
])  # fmt: skip
def test_modes_that_no_writer_of_pillow_s_knows_are_seen_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, pixel: tuple, expected: list[int]
):
    path = tmp_path / "image.png"
    path.touch()
    monkeypatch.setattr(module.Image, "open", lambda _: Image.new(mode, (3, 2), pixel))
    assert np.abs(decode(path, (len(expected), 2, 3))[:, 0, 0].numpy().astype(int) - expected).max() <= 1


def test_decoded_images_are_bytes(tmp_path: Path):
    Image.fromarray(HALVES).save(tmp_path / "image.png")
    assert decode(tmp_path / "image.png", (1, 8, 12)).dtype == torch.uint8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp", "gray.tif", "deep.png", "deep.tif"])
def test_images_are_turned_upright_by_their_exif_orientation(tmp_path: Path, kind: str, orientation: int):
    corners = np.full((16, 24), 100, dtype=np.uint8)
    corners[:8, :8], corners[:8, 16:] = 0, 250  # dark top left, bright top right
    turned = {
        1: corners, 2: corners[:, ::-1], 3: corners[::-1, ::-1], 4: corners[::-1], 5: corners.T, 6: corners.T[:, ::-1],
        7: corners.T[::-1, ::-1], 8: corners.T[::-1],
    }[orientation]  # fmt: skip
    path = tmp_path / f"image.{kind}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    if kind.startswith("deep"):
        values = corners.astype(np.uint16) * 257
        if kind.endswith("tif"):
            write_tiff(path, values[..., None], orientation=orientation)
        else:
            Image.fromarray(values).save(path, exif=exif)
    elif kind == "gray.tif":
        write_tiff(path, corners[..., None], orientation=orientation)
    else:
        Image.fromarray(corners).convert("RGB").save(path, exif=exif, quality=100)
    found = seen(path)
    assert found.shape[:2] == turned.shape
    assert np.abs(found[..., 0].astype(int) - turned).max() <= (0 if "png" in kind or "tif" in kind else 12)


def test_larger_images_are_shrunk_and_center_cropped(tmp_path: Path):
    Image.fromarray(np.repeat(np.repeat(HALVES, 20, 0), 40, 1)).save(tmp_path / "image.jpg", quality=95)
    pixels = decode(tmp_path / "image.jpg", (3, 10, 10))
    assert pixels.shape == (3, 10, 10)
    assert pixels[..., 0].float().mean() == pytest.approx(50, abs=3)
    assert pixels[..., -1].float().mean() == pytest.approx(200, abs=3)


@QUICK
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), st.sampled_from(["crop", "squash", "pad"]))
def test_a_picture_is_cropped_squashed_or_padded(height: int, width: int, size: int, fit: str):
    values = RANDOM.integers(1, 256, (height, width), dtype=np.uint8)
    with TemporaryDirectory() as folder:
        Image.fromarray(values).save(Path(folder) / "image.png")
        found = decode(Path(folder) / "image.png", (1, size, size), fit)[0].numpy()
    image = Image.fromarray(values)
    if fit == "crop" and height != width:
        short, extra = min(height, width), abs(height - width) / 2
        box = (extra, 0, extra + short, short) if width > height else (0, extra, short, extra + short)
        expected = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))
    elif fit == "pad" and height != width:
        long = max(height, width)
        inner = (max(1, round(size / long * width)), max(1, round(size / long * height)))
        top, left = (size - inner[1]) // 2, (size - inner[0]) // 2
        expected = np.zeros((size, size), dtype=np.uint8)
        resized = np.asarray(image.resize(inner, Image.Resampling.BILINEAR))
        expected[top : top + inner[1], left : left + inner[0]] = resized
    else:
        expected = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [9, 60])
def test_a_picture_is_resized_with_the_interpolation_that_is_asked_for(tmp_path: Path, fit: str, size: int):
    image = Image.fromarray(RANDOM.integers(0, 256, (30, 30), dtype=np.uint8))
    image.save(tmp_path / "image.png")
    found = {how: decode(tmp_path / "image.png", (1, size, size), fit, interpolation=how)[0] for how in METHODS}
    for how, method in METHODS.items():
        np.testing.assert_array_equal(found[how], np.asarray(image.resize((size, size), method)))
    assert (found["bilinear"] != found["bicubic"]).any()


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(10000, 10), (10, 10000)])
def test_a_line_of_10000_pixels_is_read(tmp_path: Path, size: tuple[int, int], fit: str):
    Image.new("L", size, 200).save(tmp_path / "image.png")
    pixels = decode(tmp_path / "image.png", (1, 64, 64), fit)
    assert (pixels == 200).sum() == (64 if fit == "pad" else 64 * 64)


@pytest.mark.parametrize("suffix", ["gif", "tif", "png", "webp", "mpo"])
def test_further_frames_are_noticed_and_the_first_is_read(tmp_path: Path, suffix: str):
    several = suffix != "mpo"  # a photo with a preview
    first, *others = [Image.new("RGB", (9, 7), color) for color in ((10, 10, 10), (200, 0, 0), (0, 200, 0))]
    for name, frames in (("one", []), ("three", others)):
        first.save(tmp_path / f"{name}.{suffix}", save_all=True, append_images=frames)
    found = [header(tmp_path / f"{name}.{suffix}") for name in ("one", "three")]
    assert [each.several for each in found if isinstance(each, Header)] == [False, several]
    assert np.abs(seen(tmp_path / f"three.{suffix}").astype(int) - 10).max() <= 1


def test_the_reason_is_given_for_each_kind_of_failure(tmp_path: Path):
    noise = Image.fromarray(RANDOM.integers(0, 256, (90, 90), dtype=np.uint8))
    for name in ("short.png", "short.jpg", "short.tif", "deep.png"):
        (noise.convert("I;16") if name.startswith("deep") else noise).save(tmp_path / name)
        os.truncate(tmp_path / name, (tmp_path / name).stat().st_size - 2000)
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.png").mkdir()
    assert {path.name: module.failure(path) for path in tmp_path.iterdir()} == {
        "short.png": "image file is truncated",
        "short.jpg": module.failure(tmp_path / "short.jpg"),
        "short.tif": module.failure(tmp_path / "short.tif"),
        "deep.png": "image file is truncated",
        "empty.png": "empty file",
        "text.jpg": "its content is no image that Pillow reads",
        "dangling.png": "No such file or directory",
        "folder.png": "Is a directory",
    }
    for name in ("short.jpg", "short.tif"):
        assert "truncated" in str(module.failure(tmp_path / name))


def test_a_wrong_suffix_does_not_matter(tmp_path: Path):
    Image.fromarray(HALVES).save(tmp_path / "image.png")
    (tmp_path / "image.png").rename(tmp_path / "image.jpg")
    assert np.array_equal(seen(tmp_path / "image.jpg")[..., 0], HALVES)


def test_a_picture_above_the_limit_says_which_key_allows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    Image.fromarray(HALVES).save(tmp_path / "image.png")
    reason = "96 pixels, above the limit of 80; dataset.max_pixels=96 allows it"
    assert header(tmp_path / "image.png") == module.failure(tmp_path / "image.png") == reason
    with warnings.catch_warnings(action="error"), pixel_limit(96):
        assert isinstance(header(tmp_path / "image.png"), Header)
    with pixel_limit(94):
        assert header(tmp_path / "image.png") == reason.replace("80", "94")
    with pixel_limit(None):
        assert header(tmp_path / "image.png") == reason
    assert Image.MAX_IMAGE_PIXELS == 40


def test_truncated_files_stay_refused():
    assert not ImageFile.LOAD_TRUNCATED_IMAGES  # a setting of Pillow's own that would fill what is missing with gray


def test_ten_names_are_listed(tmp_path: Path):
    paths = [tmp_path / f"{number:02}.png" for number in range(12)]
    assert named(tmp_path, paths).endswith("08.png, 09.png and 2 more")
    assert named(tmp_path, {paths[0]: "empty file"}) == "00.png (empty file)"


def test_the_upper_bits_of_transparent_16_bit_color_are_seen(tmp_path: Path):
    values = np.full((2, 2, 4), 65535)
    values[0, 0] = (60000, 0, 0, 0)
    assert (seen(write_png(tmp_path / "image.png", values)) == 255).all()


@pytest.mark.parametrize("bits", [2, 4])
def test_the_transparent_shade_of_a_few_bits_is_white(tmp_path: Path, bits: int):
    values = np.arange(2**bits)[None, :, None]
    path = write_png(tmp_path / "image.png", values, transparent=(1,), bits=bits)
    expected = values[0, :, 0] * 255 // (2**bits - 1)
    expected[1] = 255
    assert seen(path)[0, :, 0].tolist() == expected.tolist()
