"""Novelty: how far an image is from the training images, in the features of the frozen layers.

The score is the mean distance to the nearest training images between features of length 1 (Sun, Ming, Zhu and Li,
Out-of-Distribution Detection with Deep Nearest Neighbors, ICML 2022; the mean of Angiulli and Pizzuti, PKDD 2002),
divided by a threshold: the score that 95 % of the training images, each left out, stay below. Above 1 an image is
called novel, as one in twenty of the same kind as the training images is.

A job carries what this needs in `novelty.safetensors`, so that the data set need not be there when it predicts.
"""

import math
from pathlib import Path

import torch
from torch import nn

from graft.data.datamodule import TrialDataModule
from graft.errors import GraftError
from graft.files import read_tensors, write_tensors
from graft.training.features import FeatureStore

NOVELTY = "novelty.safetensors"
NEIGHBORS = 5  # docs/predict.md compares others
WITHIN = 0.95  # share of training images below the threshold
MAX_VALUES = 990_000  # of all features together, 2 bytes each: less than 2 MB
MAX_FEATURES = 2048  # of an image; more, which have a height and width, are averaged over these
LEAST_IMAGES = 20  # training images


class Novelty:
    """Scores images by their distance to training images.

    Args:
        known: features of training images, (images, features), of length 1.

    Attributes:
        threshold: the mean distance that a share `WITHIN` of the training images stay below.
    """

    def __init__(self, known: torch.Tensor):
        self.known = nn.functional.normalize(known.float())
        left_out = _nearest(self._distances(self.known).fill_diagonal_(math.inf)).sort().values
        self.threshold = float(left_out[min(len(left_out), math.ceil(WITHIN * (len(left_out) + 1))) - 1])

    def scores(self, features: torch.Tensor) -> torch.Tensor:
        """Return the novelty of images, (images,), from their frozen features, (images, ...); above 1 they are novel.

        Raises:
            GraftError: the features are others than those of the training images.
        """
        found = direction(features.float().cpu())
        if found.shape[1] != self.known.shape[1]:
            raise GraftError(f"{NOVELTY} is of another model: {self.known.shape[1]} features, not {found.shape[1]}")
        return _nearest(self._distances(found)) / self.threshold

    def _distances(self, features: torch.Tensor) -> torch.Tensor:
        return (2 - 2 * features @ self.known.T).clamp(min=1e-12).sqrt()


def direction(features: torch.Tensor) -> torch.Tensor:
    """Return features, (images, ...), as vectors of length 1, (images, features)."""
    if features.dim() > 2 and features[0].numel() > MAX_FEATURES:
        features = features.flatten(2).mean(2)
    return nn.functional.normalize(features.flatten(1).float())


def _nearest(distances: torch.Tensor) -> torch.Tensor:
    """Return the mean distance to the nearest training images, (images,), from all, (images, training images)."""
    return distances.topk(NEIGHBORS, largest=False).values.mean(1)


def known_features(datamodule: TrialDataModule, frozen: nn.Module, store: FeatureStore) -> torch.Tensor | None:
    """Return the features of some training images of a job's trials, (images, features), float16; None if too few.

    All classes have equal shares of their images, as many as `MAX_VALUES` holds. Features that were not
    augmented are already in the store; else they are computed, one pass over these images.
    """
    rows = datamodule.rows["train"].unique()
    order = datamodule.train_labels[rows].argsort(stable=True)
    images = datamodule.train_images[rows][order]
    if len(images) < LEAST_IMAGES:
        return None
    first = direction(store.features(frozen, datamodule.data.images, images[:1]))
    most = min(len(images), MAX_VALUES // first.shape[1])
    if most < LEAST_IMAGES:
        return None
    chosen = images[torch.linspace(0, len(images) - 1, most).round().long()].unique()
    return direction(store.features(frozen, datamodule.data.images, chosen)).half()


def write_novelty(folder: Path, known: torch.Tensor | None) -> None:
    """Write features of training images into a job's folder; without any, remove those of an earlier run."""
    if known is None:
        (folder / NOVELTY).unlink(missing_ok=True)
    else:
        write_tensors(folder / NOVELTY, {"features": known})


def read_novelty(folder: Path, frozen_stages: int) -> Novelty:
    """Return the novelty score of a job's model.

    Args:
        folder: the job's.
        frozen_stages: how many of the model's first stages the trials share.

    Raises:
        GraftError: the job has no features of training images, or they are damaged.
    """
    if not (folder / NOVELTY).exists() and not frozen_stages:
        raise GraftError(
            "novelty=true compares features of frozen layers, and the job has frozen none; try a job with tune=frozen, "
            "or leave it out"
        )
    if not (folder / NOVELTY).exists():
        raise GraftError(
            f"novelty=true needs {folder / NOVELTY}, which older versions and jobs with fewer than {LEAST_IMAGES} "
            "training images did not write; with as many, run the job's command again with resume=false"
        )
    known = (read_tensors(folder / NOVELTY) or {}).get("features")
    if known is None or known.dim() != 2 or len(known) < LEAST_IMAGES or not known.float().isfinite().all():
        raise GraftError(f"{folder / NOVELTY} is damaged; try a fresh copy of the job's folder")
    return Novelty(known)
