"""The exported predict.py reads files as Graft does."""

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pixel_files import write_png, write_tiff

from graft.export import standalone
from graft.reading.decode import pixels_or_reason
from graft.reading.depth import White

NOISE = np.random.default_rng(0)


def about(channels: int, fit: str = "crop", white: dict[str, float] | None = None) -> dict[str, Any]:
    how = {"image": [channels, 24, 20], "fit": fit, "white": white}
    return {"classes": ["cat", "dog"], "preprocessing": how}


def noise(*shape: int) -> np.ndarray:
    return NOISE.integers(0, 256, shape, dtype=np.uint8)


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(40, 61, 3)).save(path, exif=exif)


WRITERS: dict[str, Callable[[Path], object]] = {
    "turned.jpg": turned,
    "large.jpg": lambda path: Image.fromarray(noise(400, 300, 3)).save(path),
    "gray.jpg": lambda path: Image.fromarray(noise(50, 30)).save(path),
    "cmyk.jpg": lambda path: Image.fromarray(noise(33, 44, 3)).convert("CMYK").save(path),
    "palette.gif": lambda path: Image.fromarray(noise(33, 44, 3)).convert("P").save(path, transparency=3),
    "alpha.png": lambda path: Image.fromarray(noise(33, 44, 4)).save(path),
    "gray_alpha.png": lambda path: Image.fromarray(noise(33, 44, 2)).save(path),
    "one_bit.png": lambda path: Image.fromarray(noise(33, 44)).convert("1").save(path),
    "same.png": lambda path: Image.fromarray(noise(24, 20, 3)).save(path),
    "deep.png": lambda path: write_png(path, 256 * noise(33, 44, 1).astype(np.uint16)),
    "deep_rgb.png": lambda path: write_png(path, 256 * noise(33, 44, 3).astype(np.uint16)),
    "real.tif": lambda path: write_tiff(path, noise(33, 44, 1).astype("<f4") / 255),
    "whole.tif": lambda path: write_tiff(path, noise(33, 44, 1).astype("<u2"), photometric=0, orientation=6),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_a_file_is_read_as_in_training(tmp_path: Path, name: str, channels: int, fit: str):
    WRITERS[name](tmp_path / name)
    whole = {"deep.png": 4095, "whole.tif": 65535, "real.tif": 65535}.get(name)
    white = {"whole": whole, "real": 1.0} if whole else None
    expected = pixels_or_reason(tmp_path / name, (channels, 24, 20), fit, White(**white) if white else None)
    assert not isinstance(expected, str)
    found = standalone.read(tmp_path / name, about(channels, fit, white))
    np.testing.assert_array_equal(found, expected.expand(3, -1, -1).permute(1, 2, 0).numpy())


def test_values_that_are_no_shades_are_refused(tmp_path: Path):
    for values in (np.full((9, 9, 1), -1, "<i4"), np.full((9, 9, 1), np.nan, "<f4")):
        path = write_tiff(tmp_path / "a.tif", values)
        assert isinstance(pixels_or_reason(path, (1, 24, 20), "crop", None), str)
        with pytest.raises(ValueError, match="negative or no finite"):
            standalone.read(path, about(1))


@pytest.mark.parametrize("name", ["deep.png", "real.tif", "whole.tif"])
def test_a_gray_file_of_more_bits_than_training_had_is_refused(tmp_path: Path, name: str):
    WRITERS[name](tmp_path / name)
    assert "its white is unknown" in str(pixels_or_reason(tmp_path / name, (1, 24, 20), "crop", None))
    with pytest.raises(ValueError, match="its white is unknown"):
        standalone.read(tmp_path / name, about(1))


def test_each_image_gets_a_row_and_unreadable_ones_their_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    Image.fromarray(noise(9, 9, 3)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"GIF89a")
    names = [str(tmp_path / name) for name in ("a.png", "b.png", "none.png")]
    monkeypatch.setattr(sys, "argv", ["predict.py", *names])
    monkeypatch.setattr(standalone, "__file__", str(tmp_path / "predict.py"))
    (tmp_path / "model.onnx").touch()
    monkeypatch.setattr(standalone, "load", lambda path: (about(3), lambda pixels: np.array([[0.25, 0.75]])))
    assert standalone.main() == 0
    header, first, *others = csv.reader(capsys.readouterr().out.splitlines())
    assert header == ["file", "class", "probability", "error"]
    assert first == [names[0], "dog", "0.750000", ""]
    assert [row[:3] for row in others] == [[name, "", ""] for name in names[1:]]
    assert all(row[3] for row in others)
    monkeypatch.setattr(sys, "argv", ["predict.py", str(tmp_path)])
    assert standalone.main() == 1
    assert "it is a folder; try" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["predict.py"])
    with pytest.raises(SystemExit, match="no image is named"):
        standalone.main()
