"""The images of a finished job: its test images, on which an exported file is verified, and some training images."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graft.data.images import ImageFiles, Images
from graft.errors import GraftError
from graft.inference.job_images import unchanged_images
from graft.inference.trained_model import TrainedModel
from graft.job_folder import IMAGES, read_result
from graft.nouns import counted
from graft.results.outcome_files import read_images
from graft.results.outcomes import StoredOutcomes, read_outcomes
from graft.results.refits import is_refit

BATCH = 32
RANDOM = 64  # random images where those of the job cannot be read
CALIBRATION = 32  # training images that int8 is scaled by; ONNX Runtime keeps all their activations in memory


@dataclass(frozen=True)
class JobImages:
    """Images of a job, as its model reads them.

    Attributes:
        images: the data set.
        test: indices of the test images, in the order of their numbers; of a refit, which has none, of all that it was
            trained on.
        labels: places of their classes, (images,).
        train: indices of some training images.
        stored: what the job's trials said of them; None: it is a refit.
    """

    images: Images
    test: torch.Tensor
    labels: np.ndarray
    train: torch.Tensor
    stored: StoredOutcomes | None

    def batches(self, indices: torch.Tensor, size: int = BATCH) -> Iterator[torch.Tensor]:
        """Yield bytes, (images, channels, height, width)."""
        return self.images.batches(indices.split(size))

    @property
    def paths(self) -> list[Path] | None:
        """The files of the test images; None: they are in memory."""
        if not isinstance(self.images, ImageFiles):
            return None
        return [self.images.folder.paths[index] for index in self.test.tolist()]


def find_images(model: TrainedModel, result: Mapping[str, Any]) -> JobImages:
    """Read a job's images again, from the data set that its configuration names.

    Raises:
        GraftError: says why they cannot be read, or are no longer those of the job.
    """
    if is_refit(result):
        stored, listed = None, read_images(model.folder / IMAGES)
    else:
        stored = stored_outcomes(model.folder)
        if isinstance(stored, str):
            raise GraftError(stored)
        listed = stored.images
    trained = np.asarray(listed.index.to_numpy()[listed["draws"].to_numpy() > 0])
    numbers = trained if stored is None else np.unique(stored.test.image[stored.test.tested])
    some = trained[np.linspace(0, len(trained) - 1, min(CALIBRATION, len(trained))).astype(int)]
    needed = np.union1d(numbers, some)
    size, how = min(model.image_shape[1:]), model.reading.interpolation
    images, now = unchanged_images(result, listed.loc[needed], size, how, model.image_shape)
    if len(now) < len(needed):
        raise GraftError(
            f"{len(needed) - len(now):,} of {counted(len(needed), 'image')} have changed since, or are gone"
        )
    test, train = (torch.tensor([now[number] for number in each.tolist()]) for each in (numbers, some))
    places = {name: place for place, name in enumerate(model.classes)}
    labels = np.array([places[name] for name in listed.loc[numbers, "class"]])
    return JobImages(images, test, labels, train, stored)


def stored_outcomes(folder: Path) -> StoredOutcomes | str:
    """Return what a job's trials said of its test images, or why it is not known."""
    try:
        return read_outcomes(folder) or "it has no list of its test images, as older versions have not"
    except (ValueError, OSError) as error:
        return f"its outcomes cannot be read: {error}"


def random_images(shape: tuple[int, int, int]) -> torch.Tensor:
    """Return images, bytes (images, channels, height, width), of random shades: blurred, plain and noisy ones."""
    numbers = torch.Generator().manual_seed(0)
    channels, height, width = shape
    coarse = torch.rand(RANDOM, channels, 4, 4, generator=numbers) * 255
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)
    noise = torch.randn(RANDOM, *shape, generator=numbers) * torch.linspace(0, 60, RANDOM).view(-1, 1, 1, 1)
    return (smooth + noise).clamp(0, 255).byte()


def job_result(folder: Path) -> dict[str, Any]:
    """Return a job's result.

    Raises:
        GraftError: the folder has none.
    """
    result = read_result(folder)
    if result is None:
        raise GraftError(f"{folder} has no result.json, or a damaged one; try a fresh copy of the job's folder")
    return result
