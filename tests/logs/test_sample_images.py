import math

import numpy as np
import pytest
import torch
from PIL import Image

from graft.data.augment import Distort
from graft.data.datamodule import SmallDataModule
from graft.data.dataset import MNIST5k
from graft.data.preprocess import Preprocess
from graft.data.views import Views
from graft.logs.sample_images import GRAY, grid, sample_images

PLAIN = Preprocess((1, 28, 28))


def tiles(picture: np.ndarray, count: int = 8, side: int = 28) -> np.ndarray:
    """Cut a row of images out of its gray frame, (images, side, side)."""
    starts = [2 + image * (side + 2) for image in range(count)]
    return np.stack([picture[2 : 2 + side, start : start + side, 0] for start in starts])


@pytest.mark.parametrize("augmented", [False, True])
def test_the_pictures_are_what_the_first_steps_of_the_first_four_trials_see(digits: MNIST5k, augmented: bool):
    augment = Distort(rotate=20, noise=0.1) if augmented else None
    module = SmallDataModule(digits, range(6), batch_size=4, augment=augment)
    found = sample_images(module, PLAIN)
    done = "augmented, preprocessed" if augmented else "preprocessed"
    assert list(found) == [f"training images/trial {trial}, {done}" for trial in range(4)]
    module.setup("fit")  # as training reads them
    batches = iter(module.train_dataloader())
    seen = torch.cat([next(batches).inputs for _ in range(2)], 1)[:, :, 0]  # (trials, images, height, width)
    for trial, picture in enumerate(found.values()):
        assert np.abs(tiles(picture) - seen[trial].numpy()).max() <= 0.5  # of whole bytes


def test_a_picture_that_is_drawn_changes_no_batch_of_the_training(digits: MNIST5k):
    modules = [SmallDataModule(digits, range(2), 4, augment=Distort(rotate=20)) for _ in range(2)]
    sample_images(modules[0], PLAIN)
    for module in modules:
        module.setup("fit")
    for one, other in zip(*(module.train_dataloader() for module in modules), strict=True):
        assert torch.equal(one.inputs, other.inputs)


def test_stored_views_are_shown_as_the_trial_draws_them(digits: MNIST5k):
    augment = Distort(rotate=20, views=3)
    module = SmallDataModule(digits, range(2), 4, augment=augment)
    found = sample_images(module, PLAIN, first_trial=6)
    assert list(found) == [f"training images/trial {trial}, stored views, preprocessed" for trial in (6, 7)]
    views = Views(digits.images, augment)
    known = next(views.batches([views.indices(module.train_images, 3)]))[:, 0].round().byte().numpy()
    for picture in found.values():
        assert all((known == tile).all((1, 2)).any() for tile in tiles(picture))


@pytest.mark.parametrize("size", [None, 56])
def test_scaling_is_undone_exactly(size: int | None):
    preprocess = Preprocess((1, 28, 28), 2, size, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), channels=3)
    pixels = (torch.arange(28 * 28) % 256).view(1, 1, 28, 28).byte()
    plain = Preprocess((1, 28, 28), 2, size, channels=3, mean=(0.0,), std=(1 / 255,))
    assert torch.equal(preprocess.undone(preprocess(pixels)), plain(pixels).round().byte())
    if size is None:
        assert torch.equal(preprocess.undone(preprocess(pixels))[0, 1, 2:-2, 2:-2], pixels[0, 0])


def test_large_images_are_reduced_and_a_batch_of_more_images_is_cut(digits: MNIST5k):
    module = SmallDataModule(digits, range(1), batch_size=100)
    (picture,) = sample_images(module, Preprocess((1, 28, 28), size=224, channels=3), mixed=True).values()
    assert picture.shape == (68, 8 * 66 + 2, 3)
    (tag,) = sample_images(module, PLAIN, mixed=True)
    assert tag.endswith("preprocessed, before they are mixed")


def test_fewer_images_than_a_row_are_shown_alone():
    picture = grid(torch.zeros(3, 1, 10, 20, dtype=torch.uint8))
    assert picture.shape == (14, 3 * 22 + 2, 3)
    assert picture[0, 0].tolist() == [GRAY] * 3
    assert math.prod(np.asarray(Image.fromarray(picture)).shape) == picture.size
