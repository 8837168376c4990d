"""Training images as a job's first trials see them: drawn, augmented and preprocessed, in the order of their steps."""

import copy
import itertools

import numpy as np
import torch
from torch.nn.functional import interpolate
from torchvision.utils import make_grid

from graft.data.datamodule import Inputs, SmallDataModule
from graft.data.images import ImageStream
from graft.data.preprocess import Preprocess
from graft.data.views import Views

TRIALS, IMAGES = 4, 8  # first trials of a job, and first images of each; more would take long where they are large
SIDE, COLUMNS = 64, 8  # largest side of an image, in pixels; images in a row
GRAY = 128  # between the images


@torch.no_grad()
def sample_images(
    datamodule: SmallDataModule, preprocess: Preprocess, first_trial: int = 0, mixed: bool = False
) -> dict[str, np.ndarray]:
    """Return a picture of each of the first trials, bytes (height, width, 3), by a tag that says what was done.

    They are the first images of its first epoch, drawn from random streams of their own: no trial changes. Where
    features are stored, they are the images, or views, whose features the trial trains on. On a CPU, and with a batch
    size that divides `IMAGES`, augmented ones are the very variations that the first steps see.

    Args:
        datamodule: the images of all trials; with several ranks, the images are this rank's.
        preprocess: of the backbone.
        first_trial: number of the first trial.
        mixed: whether training mixes the images.
    """
    trials = range(min(TRIALS, len(datamodule.seeds)))
    datamodule, preprocess = datamodule.chunk(trials), copy.deepcopy(preprocess).cpu()
    images, augment = datamodule.data.images, datamodule.augment
    plain, train = ImageStream(images, datamodule.images), None
    if augment is not None and augment.views:
        views = Views(images, augment)
        train = ImageStream(views, views.indices(datamodule.train_images, augment.views))
    elif augment is not None:
        train = ImageStream(images, datamodule.train_images)
    loader = datamodule.with_inputs(Inputs(plain, False, preprocess.output_shape, train)).train_dataloader()
    rows = loader.epoch_rows()
    shares = itertools.takewhile(lambda part: part[0] < IMAGES, (loader.share.of(*part) for part in loader.bounds))
    parts = [rows[:, start : min(end, start + IMAGES)] for start, end in shares if end > start]
    read = (train or plain).batches([part.flatten() for part in parts])
    batches = [
        preprocess.undone(preprocess(loader.augmented(pixels))).unflatten(0, part.shape)
        for part, pixels in zip(parts, read, strict=True)
    ]
    augmented = "" if augment is None else "stored views, " if augment.views else "augmented, "
    done = f"{augmented}preprocessed{', before they are mixed' if mixed else ''}"
    of_trials = torch.cat(batches, 1)[:, :IMAGES]
    return {f"training images/trial {first_trial + trial}, {done}": grid(of_trials[trial]) for trial in trials}


def grid(images: torch.Tensor, side: int = SIDE) -> np.ndarray:
    """Return images, bytes (images, channels, height, width), in rows, as one picture, (height, width, 3).

    Args:
        images: the images.
        side: in pixels; larger ones are reduced to it.
    """
    height, width = images.shape[-2:]
    if max(height, width) > side:
        size = [max(1, round(side * length / max(height, width))) for length in (height, width)]
        images = interpolate(images.float(), size, mode="bilinear", antialias=True).round().clamp(0, 255).byte()
    return make_grid(images, COLUMNS, pad_value=GRAY).expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
