"""Altered copies: images that were cropped, turned, or made brighter, which a network's features bring together.

To a network a photo and its crop are alike, but so are two cars. So its features only name candidates, by the gap of
the module copies, and the pictures decide: one is laid onto the other by the affine map with which their gray values
correlate most where both are. The distance is then that of the module copies, and has to be below a factor of the
distances to the next neighbors, which are laid onto the picture in the same way. docs/audit.md says what is found.

Pictures that are alike by their kind, such as solar cells of one make, pass this, too: these pairs are to be looked at.
"""

from collections.abc import Collection

import torch
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample

from graft.audit.copies import Pair, Places, beyond_gap, closer_pairs, gray, nearest, ordered
from graft.bars import bar

CLOSE = 0.9  # factor of the gap between features: candidates
FACTOR = 0.3  # of the gap between pictures that are laid onto each other
FARTHEST = 0.3  # largest distance of two such pictures: a correlation of 0.955
NEIGHBORS = 6  # most candidates of an image
STEPS = 40  # of Adam in the search for a map
RATES = (0.02, 0.007)  # of its first and its second half
MOST = 0.25  # by which a map's entries differ from the identity's: a crop of a tenth and a turn of 5 degrees need less
SHARED = 0.6  # the least part of a picture that the other one has
BATCH = 512  # pairs at once


def altered_copies(vectors: torch.Tensor, pixels: torch.Tensor, known: Collection[Places]) -> list[Pair]:
    """Return pairs of altered copies.

    Args:
        vectors: of a network's features, of length 1, (images, values).
        pixels: thumbnails, (images, 3, height, width).
        known: near copies, which are not altered ones as well.
    """
    if len(vectors) < 3:
        return []
    distances, neighbors = nearest(vectors, min(NEIGHBORS, len(vectors) - 1))
    candidates = closer_pairs(distances, neighbors, CLOSE) - {*known}
    compared = sorted({image for pair in candidates for image in pair})
    others = {image: neighbors[image].tolist() for image in compared}
    pairs = candidates | {ordered(image, other) for image in compared for other in others[image]}
    measured = _distances(gray(pixels), pairs)
    beyond = {image: _beyond([measured[ordered(image, other)] for other in others[image]]) for image in compared}
    return [
        Pair(first, second, 1 - measured[first, second] ** 2 / 2)
        for first, second in sorted(candidates)
        if measured[first, second] <= FARTHEST and measured[first, second] < FACTOR * min(beyond[first], beyond[second])
    ]


def _beyond(distances: list[float]) -> float:
    """Return an image's distance to what is no copy of it, of those to its neighbors."""
    return float(beyond_gap(torch.tensor([sorted(distances)]), FACTOR))


def _distances(pictures: torch.Tensor, pairs: Collection[Places]) -> dict[Places, float]:
    """Return the distances of pairs of pictures, (images, height, width), that are laid onto each other."""
    them, found = sorted(pairs), {}
    batches = [them[start : start + BATCH] for start in range(0, len(them), BATCH)]
    for batch in bar(batches, "altered copies", len(them), "pair", size=len):
        first, second = (pictures[[pair[place] for pair in batch]] for place in (0, 1))
        correlation = torch.maximum(_best_correlation(first, second), _best_correlation(second, first))
        found |= zip(batch, (2 - 2 * correlation).clamp(min=0).sqrt().tolist(), strict=True)
    return found


def _best_correlation(fixed: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
    """Return how pictures correlate with others that are laid onto them, (pairs,); -1 where they hardly overlap.

    Args:
        fixed: pictures, (pairs, height, width).
        moving: those that are moved by the affine maps with which they correlate most.
    """
    change = torch.zeros(len(fixed), 2, 3, requires_grad=True)
    optimizer = torch.optim.Adam([change])
    for rate, side in zip(RATES, (3, 1), strict=True):  # a blurred picture is found from farther away
        optimizer.param_groups[0]["lr"] = rate
        one, other = _blurred(fixed, side), _blurred(moving, side)
        for _ in range(STEPS // 2):
            loss = -_correlation(one, *_moved(other, change)).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    moved, inside = _moved(moving, change.detach())
    return torch.where(inside.mean((1, 2)) < SHARED, -1.0, _correlation(fixed, moved, inside))


def _blurred(pictures: torch.Tensor, side: int) -> torch.Tensor:
    """Return the means of squares around each pixel, (pictures, height, width)."""
    return avg_pool2d(pictures[:, None], side, 1, side // 2, count_include_pad=False)[:, 0]


def _moved(pictures: torch.Tensor, change: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pictures moved by affine maps, and which of their pixels are inside: 1 or 0; both as the pictures are.

    Args:
        pictures: (pictures, height, width).
        change: how the maps differ from the identity, (pictures, 2, 3), before it is limited.
    """
    maps = torch.eye(2, 3) + MOST * torch.tanh(change / MOST)
    grid = affine_grid(maps, [len(pictures), 1, *pictures.shape[1:]], align_corners=False)
    moved = grid_sample(pictures[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
    return moved, (grid.detach().abs() <= 1).all(-1).float()


def _correlation(first: torch.Tensor, second: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the weighted correlations of pictures, (pairs,), from tensors of (pairs, height, width)."""
    total = weights.sum((1, 2)).clamp(min=1)
    one, other = (each - ((weights * each).sum((1, 2)) / total)[:, None, None] for each in (first, second))
    products = [(weights * a * b).sum((1, 2)) for a, b in ((one, other), (one, one), (other, other))]
    return products[0] / (products[1] * products[2]).clamp(min=1e-6).sqrt()
