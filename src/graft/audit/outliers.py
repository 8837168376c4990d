"""Outliers: images that are far from the others.

An image's distance is that to its 20th neighbor, so that up to 20 odd images of one kind do not hide each other. Far
is beyond the median by 3.5 deviations, 1.4826 times the median absolute deviation: of normally distributed distances
one in 4,300. docs/audit.md says what this finds.
"""

import numpy as np
import torch

from graft.audit.copies import nearest
from graft.audit.vectors import Vectors

NEIGHBORS = 20
DEVIATIONS = 3.5
LEAST = 50  # images: fewer have no distances that are usual
KNOWN = 10_000  # most images that others are compared with


def outliers(vectors: Vectors, different: np.ndarray) -> list[tuple[int, float]]:
    """Return the places of images far from the others, the farthest first, and by how many deviations.

    Args:
        vectors: of the images.
        different: places of the images to compare; of copies one only.
    """
    if len(different) < LEAST:
        return []
    among = torch.randperm(len(different), generator=torch.Generator().manual_seed(0))[:KNOWN]
    distances = nearest(vectors.directions[different], NEIGHBORS, among)[0][:, -1].numpy()
    middle = np.median(distances)
    deviation = 1.4826 * np.median(np.abs(distances - middle))
    scores = (distances - middle) / max(float(deviation), 1e-6)
    order = (-scores).argsort(kind="stable")
    return [(int(different[place]), float(scores[place])) for place in order if scores[place] > DEVIATIONS]
