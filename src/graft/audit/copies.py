"""Copies: images with equal contents, and near copies, which were resized or encoded again.

How close two images are says nothing by itself: two handwritten ones are closer than a photo and its copy at half the
size. So the distance d of two images is compared with the distances b of either to what lies beyond a gap: of its
neighbors in the order of their distances, the last that is less than a factor f of the next one ends its copies, and b
is that next distance. Two images can be copies if

    d < f min(b1, b2).

This is asked twice. Candidates pass with f = LOOSE on gray thumbnails of 8x8 pixels, with mean 0 and length 1, which
are compared among all images; d is at most FARTHEST, and colors agree. Near copies pass with f = STRICT, too, on
pictures at the smaller one's size, of at most SIDE pixels, where two images that look alike differ more; resizing and
encoding have cost them no more than LOSS. If their sizes are equal, only encoding moves such a copy, or, above SIDE,
what is averaged away, so both factors are smaller ones. docs/audit.md says how many planted copies this finds.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from math import inf
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import interpolate, normalize

from graft.audit.thumbnails import Thumbnails
from graft.bars import bar

LOOSE, STRICT = 0.75, 0.6
EQUAL_LOOSE, EQUAL_STRICT = 0.5, 0.4  # of pictures with equal sizes
SIDE = 32  # pixels: in larger pictures noise and sharp edges hide the copy; in smaller ones, cars look alike
LOSS = 20.0  # largest root mean square of differences of gray values of 0 to 255: a signal-to-noise ratio of 22 dB
FILTERS = "bilinear", "bicubic"  # a copy's filter is unknown: the one that fits better
FARTHEST = 0.35  # the distance of independent images is the square root of 2
COLORS = 25.0  # largest difference of two copies' colors, a root mean square over 8x8 pixels of 0 to 255
BLANK = 2.0  # standard deviation of the gray values of 0 to 255 below which there is nothing to compare
NEIGHBORS = 10  # most copies of one image
VALUES = 2**25  # distances in memory at once

GRAY = torch.tensor([0.299, 0.587, 0.114])

Places = tuple[int, int]  # of two images, the lower one first


class Pair(NamedTuple):
    """Two images that are copies, by their places, and the correlation of their gray values."""

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
    return (gray(pixels).std((1, 2), correction=0) < BLANK).numpy()


def near_copies(
    small: Thumbnails, compared: np.ndarray, pictures: Callable[[list[int]], list[torch.Tensor]]
) -> list[Pair]:
    """Return pairs of near copies.

    Args:
        small: thumbnails of the images.
        compared: places of the images to compare; no two have equal contents.
        pictures: returns the pixels of images by their places, each (3, height, width).
    """
    if len(compared) < 3:
        return []
    colors = small.tiny[compared]
    values = gray(colors).flatten(1)
    vectors = normalize(values - values.mean(1, keepdim=True))
    distances, neighbors = nearest(vectors, min(NEIGHBORS + 1, len(compared) - 1))
    close, closer = (closer_pairs(distances, neighbors, factor, FARTHEST) for factor in (LOOSE, EQUAL_LOOSE))
    candidates = [pair for pair in sorted(close) if _loss(colors[pair[0]], colors[pair[1]]) <= COLORS]
    grays = _grays(candidates, neighbors, lambda them: pictures(compared[them].tolist()))
    passed = [pair for pair in candidates if pair in closer or grays[pair[0]].shape != grays[pair[1]].shape]
    pairs = _equal(small.pixels, compared)
    for pair in _confirmed(passed, neighbors, grays):
        first, second = int(compared[pair.first]), int(compared[pair.second])
        pairs.setdefault(ordered(first, second), pair.similarity)
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


def gray(pixels: torch.Tensor) -> torch.Tensor:
    """Return the gray values of pixels, (..., 3, height, width), without the channels."""
    return (pixels.float() * GRAY[:, None, None]).sum(-3)


def beyond_gap(distances: torch.Tensor, factor: float) -> torch.Tensor:
    """Return each image's distance to what is not its copy: beyond the last gap, or else to its nearest neighbor."""
    gap = distances[:, :-1] < factor * distances[:, 1:]
    last = torch.where(gap, torch.arange(1, distances.shape[1]), 0).amax(1)
    return distances.gather(1, last[:, None])[:, 0]


def ordered(one: int, other: int) -> Places:
    """Return the places of two images, the lower one first."""
    return min(one, other), max(one, other)


def closer_pairs(distances: torch.Tensor, neighbors: torch.Tensor, factor: float, farthest: float = inf) -> set[Places]:
    """Return the pairs whose distance is below a factor of those to what is no copy.

    Args:
        distances: to each image's nearest ones, as `nearest` returns them.
        neighbors: their places.
        factor: of the gap.
        farthest: the largest distance of a pair.
    """
    beyond = beyond_gap(distances, factor)
    close = (distances < factor * torch.minimum(beyond[:, None], beyond[neighbors])) & (distances <= farthest)
    return {ordered(one, int(neighbors[one, rank])) for one, rank in torch.nonzero(close).tolist()}


def _grays(
    candidates: list[Places], neighbors: torch.Tensor, pictures: Callable[[list[int]], list[torch.Tensor]]
) -> dict[int, torch.Tensor]:
    """Return the gray pictures of candidates and of their neighbors by their places, each (height, width)."""
    either = sorted({image for pair in candidates for image in pair})
    shown = sorted({*either, *neighbors[either].flatten().tolist()})
    return dict(zip(shown, map(gray, pictures(shown)), strict=True))


def _confirmed(candidates: list[Places], neighbors: torch.Tensor, grays: dict[int, torch.Tensor]) -> list[Pair]:
    """Return the candidates that are near copies as pictures, too, and of each other's nearer copies."""
    either = sorted({image for pair in candidates for image in pair})

    @cache
    def measured(pair: frozenset[int]) -> tuple[float, float]:
        return _measured(*[grays[image] for image in pair])

    beyond = {}
    for one in bar(either, "comparing", len(either), "image"):
        distances = sorted(measured(frozenset((one, other)))[0] for other in neighbors[one].tolist())
        beyond[one] = float(beyond_gap(torch.tensor([distances]), STRICT))

    def near(one: int, other: int) -> bool:
        distance, loss = measured(frozenset((one, other)))
        factor = EQUAL_STRICT if grays[one].shape == grays[other].shape else STRICT
        return distance < factor * min(beyond[one], beyond[other]) and loss <= LOSS

    pairs, copies = [], defaultdict(list)
    for distance, one, other in sorted((measured(frozenset(pair))[0], *pair) for pair in candidates):
        if (
            near(one, other)
            and all(near(one, each) for each in copies[other])
            and all(near(each, other) for each in copies[one])
        ):
            copies[one].append(other)
            copies[other].append(one)
            pairs.append(Pair(one, other, 1 - distance**2 / 2))
    return pairs


def _measured(one: torch.Tensor, other: torch.Tensor) -> tuple[float, float]:
    """Return the distance of two gray pictures, (height, width), at the size to compare them at, and the loss."""
    size = [min(SIDE, *sides) for sides in zip(one.shape, other.shape, strict=True)]
    fits = []
    for mode in FILTERS if one.shape != other.shape else FILTERS[:1]:
        first, second = (
            each if list(each.shape) == size else interpolate(each[None, None], size, mode=mode, antialias=True)[0, 0]
            for each in (one, other)
        )
        vectors = [normalize((each - each.mean()).flatten(), dim=0) for each in (first, second)]
        fits.append((float((vectors[0] - vectors[1]).norm()), _loss(first, second)))
    return min(fits)


def _loss(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).square().mean().sqrt())


def _equal(pixels: torch.Tensor, compared: np.ndarray) -> dict[Places, float]:
    """Return pairs whose thumbnails are equal, although their contents are not: each image with the first of these."""
    groups = exact_copies([pixels[place].numpy().tobytes() for place in compared.tolist()])
    return {(int(compared[group[0]]), int(compared[other])): 1.0 for group in groups for other in group[1:]}
