"""The exported predict.py reads files as Graft does."""

import csv
import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pixel_files import write_png, write_tiff

from graft.export import standalone
from graft.reading.decode import pixels_or_reason

NOISE = np.random.default_rng(0)


def how(channels: int, fit: str = "crop", interpolation: str = "bilinear") -> dict[str, Any]:
    return {"image": [channels, 24, 20], "fit": fit, "interpolation": interpolation, "white": None, "network": {}}


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
    "tall.png": lambda path: Image.fromarray(noise(300, 41, 3)).save(path),
    "line.png": lambda path: Image.fromarray(noise(1, 300, 3)).save(path),
    "few_colors.png": lambda path: Image.fromarray(noise(33, 44) // 64).convert("P").save(path, bits=2),
    "photo.webp": lambda path: Image.fromarray(noise(33, 44, 3)).save(path),
    "photo.bmp": lambda path: Image.fromarray(noise(33, 44, 3)).save(path),
    "photo.ppm": lambda path: Image.fromarray(noise(33, 44, 3)).save(path),
    "photo.tif": lambda path: write_tiff(path, noise(33, 44, 3), photometric=2, orientation=6),
    "negative.tif": lambda path: write_tiff(path, noise(33, 44, 1), photometric=0),
}
UNUSUAL: dict[str, Callable[[Path], object]] = {
    "deep.png": lambda path: write_png(path, 256 * noise(33, 44, 1).astype(np.uint16)),
    "deep_rgb.png": lambda path: write_png(path, 256 * noise(33, 44, 3).astype(np.uint16)),
    "deep_alpha.png": lambda path: write_png(path, 256 * noise(33, 44, 4).astype(np.uint16)),
    "deep_hole.png": lambda path: write_png(path, 257 * noise(33, 44, 3).astype(np.uint16), (257, 257, 257)),
    "two_bits.png": lambda path: write_png(path, noise(33, 44, 1).astype(np.uint16) // 64, (1,), bits=2),
    "four_bits.png": lambda path: write_png(path, noise(33, 44, 1).astype(np.uint16) // 16, (7,), bits=4),
    "real.tif": lambda path: write_tiff(path, noise(33, 44, 1).astype("<f4") / 255),
    "whole.tif": lambda path: write_tiff(path, noise(33, 44, 1).astype("<u2"), photometric=0, orientation=6),
    "signed.tif": lambda path: write_tiff(path, noise(33, 44, 1).astype("i1")),
    "signed_16.tif": lambda path: write_tiff(path, noise(33, 44, 1).astype("<i2")),
    "whole_32.tif": lambda path: write_tiff(path, noise(33, 44, 1).astype("<u4")),
    "no_number.tif": lambda path: write_tiff(path, np.full((9, 9, 1), np.nan, "<f4")),
    "deep_rgb.tif": lambda path: write_tiff(path, noise(33, 44, 3).astype("<u2"), photometric=2),
    "planes.tif": lambda path: write_tiff(path, noise(33, 44, 3).astype(">u2"), photometric=2, planes=2),
    "deep.ppm": lambda path: path.write_bytes(b"P6 9 8 4095\n" + noise(8, 9, 6).tobytes()),
    "deep.pgm": lambda path: path.write_bytes(b"P5 9 8 65535\n" + noise(8, 9, 2).tobytes()),
    "deep.sgi": lambda path: Image.fromarray(noise(33, 44, 3)).save(path, bpc=2),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_an_ordinary_file_is_read_as_in_training(
    tmp_path: Path, name: str, channels: int, fit: str, interpolation: str
):
    WRITERS[name](tmp_path / name)
    expected = pixels_or_reason(tmp_path / name, (channels, 24, 20), fit, None, interpolation)
    assert not isinstance(expected, str)
    found = standalone.read(tmp_path / name, how(channels, fit, interpolation))
    np.testing.assert_array_equal(found, expected.expand(3, -1, -1).permute(1, 2, 0).numpy())


@pytest.mark.parametrize("name", UNUSUAL)
def test_a_file_of_other_numbers_than_bytes_is_refused_rather_than_read_in_another_way(tmp_path: Path, name: str):
    UNUSUAL[name](tmp_path / name)
    with pytest.raises(ValueError, match="it is no picture of 8 bits a channel; convert it"):
        standalone.read(tmp_path / name, how(1))


class Session:
    """Stands for ONNX Runtime's: all images are dogs."""

    def __init__(self, path: Path, providers: list[str]):
        assert path.name == "model.onnx"

    def get_modelmeta(self) -> SimpleNamespace:
        about = {"classes": ["cat", "dog"], "preprocessing": how(3), "temperature": None}
        return SimpleNamespace(custom_metadata_map={key: json.dumps(value) for key, value in about.items()})

    def run(self, _: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert inputs["images"].shape == (1, 24, 20, 3)
        return [np.array([[0.25, 0.75]])]


STAND_IN = """
import json
from types import SimpleNamespace

import numpy as np

how = {"image": [3, 24, 20], "fit": "crop", "interpolation": "bilinear"}
about = {"classes": ["cat", "dog"], "preprocessing": how}
texts = SimpleNamespace(custom_metadata_map={key: json.dumps(value) for key, value in about.items()})


class InferenceSession:
    def __init__(self, path, providers):
        self.get_modelmeta = lambda: texts

    def run(self, names, inputs):
        return [np.array([[0.25, 0.75]])]
"""


def test_each_image_gets_a_row_and_unreadable_ones_their_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    shutil.copy(standalone.__file__, tmp_path / "predict.py")
    (tmp_path / "model.onnx").touch()
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=Session))  # type: ignore[arg-type]
    Image.fromarray(noise(9, 9, 3)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"GIF89a")
    UNUSUAL["deep.png"](tmp_path / "deep.png")

    def run(*names: object) -> tuple[object, list[list[str]]]:
        monkeypatch.setattr(sys, "argv", ["predict.py", *map(str, names)])
        with pytest.raises(SystemExit) as ending:
            runpy.run_path(str(tmp_path / "predict.py"), run_name="__main__")
        return ending.value.code, list(csv.reader(capsys.readouterr().out.splitlines()))

    names = [str(tmp_path / name) for name in ("b.png", "a.png", "deep.png", "none.png", ".")]
    status, (header, broken, first, *others) = run(*names)
    assert status == 0
    assert header == ["file", "class", "probability", "error"]
    assert first == [names[1], "dog", "0.750000", ""]
    assert [row[:3] for row in (broken, *others)] == [[name, "", ""] for name in (names[0], *names[2:])]
    assert all(row[3] for row in (broken, *others))
    assert run(tmp_path)[0] == 1  # no image was predicted
    status, rows = run()
    assert "python predict.py IMAGE" in str(status)
    assert not rows


def test_a_closed_output_ends_it_quietly(tmp_path: Path):
    shutil.copy(standalone.__file__, tmp_path / "predict.py")
    (tmp_path / "onnxruntime.py").write_text(STAND_IN)
    Image.fromarray(noise(9, 9, 3)).save(tmp_path / "a.png")
    command = [sys.executable, str(tmp_path / "predict.py"), *[str(tmp_path / "a.png")] * 2000]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"file,")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141  # as shells have it
