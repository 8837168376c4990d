"""The trivial control: colors and files' facts that tell the classes apart."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from graft.audit.control import control
from graft.data.dataset import ImageFolder
from graft.data.load import mnist5k
from graft.reading.shortcuts import Telling


def told(root: Path) -> dict[str, Telling]:
    images = ImageFolder("rest", "all", str(root), small_per_class=1, size=8).images
    colors = next(images.batches([torch.arange(len(images.labels))])).float().mean((2, 3)).numpy()
    each = np.arange(len(colors))
    return {one.fact: one for one in control(images, torch.arange(len(colors)), colors, images.labels.numpy(), each)}


def write(root: Path, redder: int, wider: int) -> None:
    random = np.random.default_rng(0)
    for name in ("cat", "dog", "pig"):
        (root / name).mkdir(parents=True)
        for index in range(40):
            pixels = random.integers(0, 200, (8, 8 + wider * (name == "dog"), 3))
            pixels[..., 0] += redder * (name == "dog")
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{index}.bmp")


def test_a_color_that_tells_a_class_is_a_shortcut_to_it(tmp_path: Path):
    write(tmp_path, redder=55, wider=0)
    found = told(tmp_path)
    assert set(found) == {"mean color"}  # nothing else varies
    assert found["mean color"].shortcut == 1


def test_a_width_that_tells_a_class_is_a_shortcut_to_it(tmp_path: Path):
    write(tmp_path, redder=0, wider=4)
    found = told(tmp_path)
    assert {name for name, each in found.items() if each.shortcut == 1} == {
        *("width", "aspect ratio", "size of the file", "combination of these facts"),
    }
    assert found["mean color"].shortcut is None


def test_digits_have_no_shortcut():
    images = mnist5k(None)
    colors = images.read(torch.arange(5000)).float().mean((2, 3)).numpy()  # type: ignore[union-attr]
    found = control(images, torch.arange(5000), np.repeat(colors, 3, 1), images.labels.numpy(), np.arange(5000))
    assert [(each.fact, each.shortcut) for each in found] == [("mean color", None)]
    assert found[0].above_chance  # ones have little ink


def test_a_color_of_each_patient_is_no_shortcut():
    random = np.random.default_rng(0)
    images, indices = mnist5k(None), torch.arange(360)
    patients = np.arange(360) // 30
    colors = random.integers(0, 255, (12, 3))[patients] + random.random((360, 3))
    labels = random.permutation(np.repeat([0, 1], 6))[patients]
    (alone,) = control(images, indices, colors, labels, np.arange(360))
    assert (alone.shortcut, round(alone.accuracy, 2)) == (0, 1.0)
    (told,) = control(images, indices, colors, labels, patients)
    assert (told.shortcut, told.above_chance) == (None, False)
    (certain,) = control(images, indices, np.repeat(labels[:, None] * 99.0, 3, 1), labels, np.arange(360) // 3)
    assert certain.shortcut is not None  # 60 groups of each class, of one color each
