import struct
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pixel_files import write_png, write_tiff

from graft.reading.decode import Header, decode, header
from graft.reading.depth import Deep, White, find_white

Write = Callable[[Path, np.ndarray], object]


def in_pillow(suffix: str, **options: str) -> Write:
    def write(path: Path, values: np.ndarray) -> None:
        Image.fromarray(values[..., 0].astype(np.uint16)).save(path.with_suffix(suffix), **options)

    return write


# By name: what writes whole numbers, (height, width, 1); the most bits.
CONTAINERS: dict[str, tuple[Write, int]] = {
    "16-bit PNG": (lambda path, values: write_png(path.with_suffix(".png"), values), 16),
    "Pillow's PNG": (in_pillow(".png"), 16),
    "Pillow's TIFF": (in_pillow(".tif"), 16),
    "compressed TIFF": (in_pillow(".tif", compression="tiff_lzw"), 16),
    "JPEG 2000": (in_pillow(".jp2"), 16),
    **{
        f"TIFF {kind}": (
            lambda path, values, kind=kind: write_tiff(path.with_suffix(".tif"), values.astype(kind)),
            8 * np.dtype(kind).itemsize - (np.dtype(kind).kind == "i"),
        )
        for kind in ("<u2", ">u2", "<i2", ">i2", "<u4", "<i4", ">i4")
    },
}


def read(folder: Path, bits: int | str = "auto") -> np.ndarray:
    """Return the bytes, (height, width, channels), of a folder's only file, read as a data set of its own."""
    (path,) = folder.iterdir()
    found = header(path)
    assert isinstance(found, Header)
    assert found.deep is not None
    shape = (3 if found.color else 1, found.height, found.width)
    return decode(path, shape, white=find_white([found.deep], bits)).permute(1, 2, 0).numpy()


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(sorted(CONTAINERS)), st.sampled_from([8, 10, 12, 14, 16, 20, 32]), st.integers(0, 2**32), st.data()
)
def test_whole_numbers_are_scaled_by_the_bits_that_they_fill(container: str, bits: int, seed: int, data: st.DataObject):
    write, most = CONTAINERS[container]
    bits = min(bits, most)
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    values = np.random.default_rng(seed).integers(0, 2**bits, (height, width, 1))
    values.flat[-1] = 2**bits - 1
    with TemporaryDirectory() as folder:
        write(Path(folder) / "image", values)
        found = read(Path(folder))
    white = 2**16 - 1 if bits == 15 else 2**bits - 1  # signed 16 bits: 15 bits are none of a camera's depths
    assert np.array_equal(found, np.floor(values * 255 / white + 0.5))


@pytest.mark.parametrize(
    ("peak", "bits", "white"),
    [
        (0, "auto", 255),
        (1, "auto", 255),
        (255, "auto", 255),
        (256, "auto", 1023),
        (1023, "auto", 1023),
        (1024, "auto", 4095),
        (4095, "auto", 4095),
        (4096, "auto", 16383),
        (16384, "auto", 65535),
        (65536, "auto", 131071),
        (2**32 - 1, "auto", 2**32 - 1),
        (4095, 12, 4095),
        (15, 4, 15),
        (65535, 12, 4095),
    ],
)
def test_the_largest_value_of_all_files_decides(peak: int, bits: int | str, white: int):
    assert find_white([Deep("whole", 0), Deep("whole", peak), Deep("whole", peak // 2)], bits).whole == white


@pytest.mark.parametrize(
    ("peak", "bits", "white"),
    [(0.4, "auto", 1), (1, "auto", 1), (1.02, "auto", 1.02), (250, "auto", 250), (250, 8, 255), (0.4, 8, 1)],
)
def test_real_numbers_up_to_1_have_white_at_1_and_larger_ones_at_their_maximum(
    peak: float, bits: int | str, white: float
):
    assert find_white([Deep("real", peak), Deep("whole", 60000)], bits).real == white


@pytest.mark.parametrize("kind", ["<f4", ">f4"])
@pytest.mark.parametrize("scale", [1.0, 255.0, 3000.5])
def test_real_numbers_are_scaled(tmp_path: Path, kind: str, scale: float):
    values = (np.random.default_rng(0).random((5, 7, 1)) * scale).astype(kind)
    values[0, 0] = scale
    write_tiff(tmp_path / "image.tif", values)
    assert np.array_equal(read(tmp_path), np.rint(values.astype(float) * 255 / scale))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pillow_s_own_files_of_32_bits_are_scaled(tmp_path: Path, mode: str):
    values = np.array([[0, 1000, 70000], [100000, 131071, 65536]])
    Image.fromarray(values.astype(np.int32 if mode == "I" else np.float32)).save(tmp_path / "image.tif")
    assert np.array_equal(read(tmp_path)[..., 0], np.rint(values * 255 / 131071))


def test_values_above_a_given_depth_are_white_and_do_not_wrap(tmp_path: Path):
    write_tiff(tmp_path / "image.tif", np.array([[[100], [4095], [4096], [65535]]], np.uint16))
    assert read(tmp_path, 12)[..., 0].tolist() == [[6, 255, 255, 255]]


def test_signed_bytes_are_no_unsigned_ones(tmp_path: Path):
    write_tiff(tmp_path / "image.tif", np.array([[[0], [100], [127]]], np.int8))
    assert read(tmp_path)[..., 0].tolist() == [[0, 100, 127]]
    write_tiff(tmp_path / "image.tif", np.array([[[0], [-1]]], np.int8))
    assert header(tmp_path / "image.tif") == "it has negative values, down to -1, which no shade of gray stands for"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([-5, 9], "<i2"), "negative values, down to -5"),
        (np.array([-70000, 9], "<i4"), "negative values, down to -70000"),
        (np.array([-0.25, 1], "<f4"), "negative values, down to -0.25"),
        (np.array([0, np.nan], "<f4"), "no finite numbers"),
        (np.array([np.inf, 1], "<f4"), "no finite numbers"),
    ],
)
def test_what_no_shade_stands_for_is_refused_with_the_reason(tmp_path: Path, values: np.ndarray, reason: str):
    found = header(write_tiff(tmp_path / "image.tif", values[None, :, None]))
    assert isinstance(found, str)
    assert reason in found


@pytest.mark.parametrize("values", [np.array([0, 300, 4095], "<u2"), np.array([0, 0.25, 1], "<f4")])
def test_where_white_is_zero_pictures_are_no_negatives(tmp_path: Path, values: np.ndarray):
    black_is_zero, white_is_zero = tmp_path / "black", tmp_path / "white"
    for photometric, folder in enumerate((white_is_zero, black_is_zero)):
        folder.mkdir()
        write_tiff(folder / "image.tif", values[None, :, None], photometric)
    assert np.array_equal(read(white_is_zero), 255 - read(black_is_zero))


@pytest.mark.parametrize("color", [(1000,), (1000, 2000, 3000)])
def test_a_transparent_color_of_16_bits_is_white(tmp_path: Path, color: tuple[int, ...]):
    values = np.full((1, 2, len(color)), 65535)
    values[0, 0] = color
    values[0, 1] = [each + 256 for each in color]
    write_png(tmp_path / "image.png", values, transparent=color)
    found = read(tmp_path, 16)
    assert found[0, 0].tolist() == [255] * len(color)
    assert found[0, 1] == pytest.approx(values[0, 1] / 257, abs=1)


def test_files_of_8_bits_have_no_depth_to_find(tmp_path: Path):
    for mode in ("1", "L", "P", "RGB", "CMYK", "LAB", "YCbCr"):
        Image.new(mode, (3, 2)).save(tmp_path / "image.tif")
        found = header(tmp_path / "image.tif")
        assert isinstance(found, Header)
        assert found.deep is None


@pytest.mark.parametrize(("channels", "suffix"), [(3, "tif"), (3, "png"), (2, "png"), (4, "png")])
def test_16_bits_of_several_channels_are_read_at_their_upper_8(tmp_path: Path, channels: int, suffix: str):
    values = np.random.default_rng(0).integers(0, 65536, (3, 4, channels)).astype(np.uint16)
    if channels in (2, 4):
        values[..., -1] = 65535  # opaque
    path = tmp_path / f"image.{suffix}"
    write_tiff(path, values, photometric=2) if suffix == "tif" else write_png(path, values)
    colors = values[..., : 1 if channels == 2 else 3]
    found = header(path)
    assert isinstance(found, Header)
    expected = Deep("coarse", 256 * int(colors.max() >> 8) + 255)
    assert found.deep == expected
    assert find_white([expected], "auto") == White(65535, 1)
    assert np.array_equal(read(tmp_path), np.broadcast_to(colors >> 8, (3, 4, 3)))


def test_separate_planes_of_16_bits_which_pillow_misreads_are_refused(tmp_path: Path):
    values = np.random.default_rng(0).integers(0, 65536, (3, 4, 3)).astype(np.uint16)
    found = header(write_tiff(tmp_path / "image.tif", values, photometric=2, planes=2))
    assert found == "it has 16 bits in separate planes, which Pillow misreads; convert it to 8 bits"
    bytes_ = values.astype(np.uint8)
    assert isinstance(header(write_tiff(tmp_path / "bytes.tif", bytes_, photometric=2, planes=2)), Header)
    assert np.array_equal(decode(tmp_path / "bytes.tif", (3, 3, 4)).permute(1, 2, 0), bytes_)


def test_a_bitmap_of_5_6_and_5_bits_is_not_deep(tmp_path: Path):
    head = struct.pack("<2sIHHI", b"BM", 70, 0, 0, 66) + struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 16, 3, 4, 0, 0, 0, 0)
    content = struct.pack("<III", 0xF800, 0x07E0, 0x001F) + struct.pack("<HH", 0xF800, 0x001F)
    (tmp_path / "image.bmp").write_bytes(head + content)
    assert header(tmp_path / "image.bmp") == Header(1, 2, color=True)
    assert decode(tmp_path / "image.bmp", (3, 1, 2))[:, 0].T.tolist() == [[255, 0, 0], [0, 0, 255]]


def test_16_bits_of_an_sgi_are_noticed(tmp_path: Path):
    Image.new("RGB", (3, 2), (9, 8, 7)).save(tmp_path / "image.sgi", bpc=2)
    found = header(tmp_path / "image.sgi")
    assert isinstance(found, Header)
    assert found.deep == Deep("coarse", 9 * 256 + 255)


@pytest.mark.parametrize(("end", "refused"), [(4095, False), (65535, True)])
def test_color_of_a_ppm_is_scaled_by_its_own_range_but_not_where_that_is_too_large(
    tmp_path: Path, end: int, refused: bool
):
    values = np.array([[[0, 1000, 4095], [2000, 3000, 4000]]], ">u2")
    (tmp_path / "image.ppm").write_bytes(b"P6 2 1 %d\n" % end + values.tobytes())
    assert np.abs(read(tmp_path) - values * 255.0 / end).max() <= 1
    found = header(tmp_path / "image.ppm")
    assert isinstance(found, Header)
    assert found.deep is not None
    assert (find_white([found.deep], "auto").whole < 65535) is refused


def test_signed_numbers_of_fits_do_not_wrap(tmp_path: Path):
    cards = {"SIMPLE": "T", "BITPIX": 16, "NAXIS": 2, "NAXIS1": 3, "NAXIS2": 1}
    head = "".join(f"{name:<8}= {value:>20}".ljust(80) for name, value in cards.items()) + "END"
    for values in ([0, 1000, 4095], [0, 5, -1]):
        content = head.encode().ljust(2880) + np.array(values, ">i2").tobytes().ljust(2880, b"\0")
        (tmp_path / "image.fits").write_bytes(content)
        if min(values) < 0:
            assert "negative values, down to -1" in str(header(tmp_path / "image.fits"))
        else:
            assert read(tmp_path)[0, :, 0].tolist() == [0, 62, 255]
