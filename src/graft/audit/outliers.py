"""Outliers: images that are far from all others, and blank ones.

An image's distance is the mean of those to its nearest neighbors. Far is beyond the median by 5 deviations, 1.4826
times the median absolute deviation above the median: of normally distributed distances one in three million.
"""

import numpy as np
import torch
from torch.nn.functional import normalize

from graft.audit.copies import nearest
from graft.audit.vectors import Vectors

NEIGHBORS = 5
DEVIATIONS = 5.0
LEAST = 20  # images


def outliers(vectors: Vectors, different: np.ndarray) -> list[tuple[int, float]]:
    """Return the places of images far from all others, the farthest first, and by how many deviations.

    Args:
        vectors: of the images.
        different: places of the images to compare; of copies one only.
    """
    if len(different) < LEAST:
        return []
    distances = nearest(normalize(torch.from_numpy(vectors.values[different])), NEIGHBORS)[0].mean(1).numpy()
    middle = np.median(distances)
    deviation = 1.4826 * np.median(np.abs(distances - middle))
    scores = (distances - middle) / max(float(deviation), 1e-6)
    order = (-scores).argsort(kind="stable")
    return [(int(different[place]), float(scores[place])) for place in order if scores[place] > DEVIATIONS]
