"""Thumbnails: of files of any size and mode, and of images in memory."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from graft.audit.thumbnails import pictures, thumbnails
from graft.data.dataset import ImageFolder, MNIST5k


def test_files_become_small_pictures_and_broken_ones_have_reasons(tmp_path: Path):
    for name, green in (("a", 50), ("b", 90)):
        (tmp_path / name).mkdir()
        for index, size in enumerate([(8, 8), (300, 200)]):
            Image.new("RGB", size, (10 + 100 * index, green, 200)).save(tmp_path / name / f"{index}.png")
    Image.new("I;16", (20, 10), 65535).save(tmp_path / "a/deep.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "b/broken.jpg")
    (tmp_path / "b/broken.jpg").write_bytes((tmp_path / "b/broken.jpg").read_bytes()[:2000])
    images = ImageFolder("rest", "all", str(tmp_path), small_per_class=1, size=8).images
    small = thumbnails(images, torch.arange(6), tmp_path / "cache")
    assert small.pixels.shape == (6, 3, 32, 32)
    colors = small.pixels.float().mean((2, 3)).round().tolist()
    assert colors[:5] == [[10, 50, 200], [110, 50, 200], [255, 255, 255], [10, 90, 200], [110, 90, 200]]
    assert list(small.reasons) == [5]
    assert small.readable.tolist() == [True] * 5 + [False]
    again = thumbnails(images, torch.arange(6), tmp_path / "cache")
    assert torch.equal(again.tiny, small.tiny)
    assert again.reasons == small.reasons
    assert [tuple(each.shape) for each in pictures(images, torch.tensor([0, 1]))] == [(3, 8, 8), (3, 64, 64)]


def test_images_in_memory_are_as_pillow_resizes_them():
    images = MNIST5k([], "all").images
    small = thumbnails(images, torch.arange(0, 5000, 500), Path("none"))
    assert small.reasons == {}
    for place, index in enumerate(range(0, 5000, 500)):
        digit = Image.fromarray(next(images.batches([torch.tensor([index])]))[0, 0].numpy())
        for found, side in ((small.pixels, 32), (small.tiny, 8)):
            expected = torch.from_numpy(np.array(digit.resize((side, side), Image.Resampling.BILINEAR))).float()
            assert (found[place].float() - expected).abs().max() < 2
    shown = pictures(images, torch.tensor([7, 3]))
    (digit,) = next(images.batches([torch.tensor([7])]))
    assert torch.equal(shown[0], digit.expand(3, -1, -1).float())
