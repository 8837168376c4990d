"""Vectors: what images are compared and judged by, features of a network that has not seen their labels, or pixels."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch.nn.functional import normalize

from graft.audit.thumbnails import Thumbnails
from graft.inference.novelty import MAX_FEATURES

OF_FEATURES, OF_PIXELS = 256, 64  # components


@dataclass(frozen=True)
class Vectors:
    """Vectors of images.

    Attributes:
        values: principal components, (images, components), with a mean square length of 1, to learn labels from.
        directions: what they are components of, as vectors of length 1, (images, values): outliers are far in these.
        learned: whether they are of a network's features; else of thumbnails' pixels.
        origin: in words, what they are of.
    """

    values: np.ndarray
    directions: torch.Tensor
    learned: bool
    origin: str


def of_features(features: torch.Tensor, origin: str) -> Vectors:
    """Return the vectors of features, (images, ...); those with a height and width are averaged over these."""
    if features.dim() > 2 and features[0].numel() > MAX_FEATURES:
        features = features.flatten(2).mean(2)
    flat = features.flatten(1).float()
    return Vectors(_components(flat.numpy(), OF_FEATURES), normalize(flat), True, origin)


def of_pixels(thumbnails: Thumbnails) -> Vectors:
    """Return the vectors of thumbnails that can be read."""
    readable = torch.from_numpy(thumbnails.readable)
    pixels = thumbnails.pixels[readable].flatten(1).float().numpy()
    directions = normalize(thumbnails.tiny[readable].flatten(1))
    return Vectors(_components(pixels, OF_PIXELS), directions, False, "the pixels of thumbnails")


def _components(values: np.ndarray, count: int) -> np.ndarray:
    count = min(count, *values.shape)
    found = PCA(count, svd_solver="randomized", random_state=0).fit_transform(values)
    return (found / max(1e-12, np.sqrt((found**2).sum(1).mean()))).astype(np.float32)
