"""Copies: images with equal contents, and near copies, which were resized or encoded again.

An image is its gray thumbnail of 8x8 pixels, with mean 0 and length 1. How close two images are says nothing by itself:
two handwritten ones are closer than a photo and its copy at half the size. So the distance d of two images is compared
with the distances b of either to what lies beyond a gap: of its neighbors in the order of their distances, the last
that is less than LOOSE of the next one ends its copies, and b is that next distance. They are near copies if

    d < LOOSE min(b1, b2)     and their sizes or formats differ, or
    d < STRICT min(b1, b2)    of equal ones, since only losses in resizing and encoding move a copy,

and if d is at most FARTHEST and colors agree. docs/audit.md says how many planted copies this finds.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import normalize

from graft.audit.thumbnails import Thumbnails
from graft.bars import bar

LOOSE, STRICT = 0.45, 0.3
FARTHEST = 0.35  # the distance of independent images is the square root of 2
COLORS = 25.0  # largest difference of two copies' colors, a root mean square over 8x8 pixels of 0 to 255
BLANK = 2.0  # standard deviation of the gray values of 0 to 255 below which there is nothing to compare
NEIGHBORS = 10  # most copies of one image
VALUES = 2**25  # distances in memory at once

GRAY = torch.tensor([0.299, 0.587, 0.114])


class Pair(NamedTuple):
    """Two images that are near copies, by their places, and the correlation of their thumbnails."""

    first: int
    second: int
    similarity: float


def exact_copies(contents: Sequence[Hashable]) -> list[list[int]]:
    """Return the places of images with equal contents, a list for each content that several have."""
    groups = defaultdict(list)
    for place, content in enumerate(contents):
        groups[content].append(place)
    return [group for group in groups.values() if len(group) > 1]


def blank(pixels: torch.Tensor) -> np.ndarray:
    """Return which thumbnails, (images, 3, height, width), show one gray value, (images,)."""
    return (_gray(pixels).std((1, 2), correction=0) < BLANK).numpy()


def near_copies(small: Thumbnails, kinds: Sequence[Hashable], compared: np.ndarray) -> list[Pair]:
    """Return pairs of near copies.

    Args:
        small: thumbnails of the images.
        kinds: sizes and formats, (images,).
        compared: places of the images to compare; no two have equal contents.
    """
    if len(compared) < 3:
        return []
    colors = small.tiny[compared]
    gray = _gray(colors).flatten(1)
    vectors = normalize(gray - gray.mean(1, keepdim=True))
    distances, neighbors = nearest(vectors, min(NEIGHBORS + 1, len(compared) - 1))
    beyond = _beyond_gap(distances)
    pairs = _equal(small.pixels, compared)
    for one, (row, others) in enumerate(zip(distances.tolist(), neighbors.tolist(), strict=True)):
        for distance, other in zip(row, others, strict=True):
            first, second = sorted((int(compared[one]), int(compared[other])))
            limit = STRICT if kinds[first] == kinds[second] else LOOSE
            close = distance < limit * min(beyond[one], beyond[other]) and distance <= FARTHEST
            if close and float((colors[one] - colors[other]).square().mean().sqrt()) <= COLORS:
                pairs[first, second] = 1 - distance**2 / 2
    return [Pair(*places, similarity) for places, similarity in pairs.items()]


def nearest(vectors: torch.Tensor, count: int, among: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the distances to the nearest other vectors, and their places among these, both (vectors, count).

    Args:
        vectors: of length 1, (vectors, values).
        count: how many.
        among: places of the others, (others,); None: all.
    """
    others = torch.arange(len(vectors)) if among is None else among
    known = vectors[others]
    chunks = torch.arange(len(vectors)).split(max(1, VALUES // len(others)))
    distances, places = [], []
    for rows in bar(chunks, "neighbors", len(vectors), "image", size=len):
        cosine = vectors[rows] @ known.T
        cosine[rows[:, None] == others] = -2
        found = cosine.topk(count)
        distances.append((2 - 2 * found.values).clamp(min=0).sqrt())
        places.append(found.indices)
    return torch.cat(distances), torch.cat(places)


def _gray(pixels: torch.Tensor) -> torch.Tensor:
    return (pixels.float() * GRAY[:, None, None]).sum(1)


def _beyond_gap(distances: torch.Tensor) -> list[float]:
    """Return each image's distance to what is not its copy: beyond the last gap, or else to its nearest neighbor."""
    gap = distances[:, :-1] < LOOSE * distances[:, 1:]
    last = torch.where(gap, torch.arange(1, distances.shape[1]), 0).amax(1)
    return distances.gather(1, last[:, None]).flatten().tolist()


def _equal(pixels: torch.Tensor, compared: np.ndarray) -> dict[tuple[int, int], float]:
    """Return pairs whose thumbnails are equal, although their contents are not: each image with the first of these."""
    groups = exact_copies([pixels[place].numpy().tobytes() for place in compared.tolist()])
    return {(int(compared[group[0]]), int(compared[other])): 1.0 for group in groups for other in group[1:]}
