"""Altered copies: near copies that were cropped, turned, or made brighter, which a network's features bring together.

To a network a photo and its crop are alike, but so are two cars. So its features only name candidates, by the gap of
the module copies, and the pictures decide: one is laid onto the other by the affine map with which their gray values
correlate most where both are. The distance is then that of the module copies, and has to be below a factor of the
distances to the next neighbors, which are laid onto the picture in the same way. docs/audit.md says what is found.
"""

from collections.abc import Collection

import torch
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample

from graft.audit.copies import Pair, beyond_gap, gray, nearest
from graft.bars import bar

CLOSE = 0.9  # of features: candidates
FACTOR, FARTHEST = 0.3, 0.3  # of pictures laid onto each other
NEIGHBORS = 6
STEPS, RATES = 40, (0.02, 0.007)  # of the search for a map
MOST = 0.25  # by which its entries differ from the identity's: a crop of a tenth and a turn of 5 degrees need less
SHARED = 0.6  # the least part of a picture that the other one has
BATCH = 512  # pairs at once


def altered_copies(vectors: torch.Tensor, pixels: torch.Tensor, known: Collection[tuple[int, int]]) -> list[Pair]:
    """Return pairs of altered copies.

    Args:
        vectors: of a network's features, of length 1, (images, values).
        pixels: thumbnails, (images, 3, height, width).
        known: pairs, the lower place first, that are copies anyway.
    """
    if len(vectors) < 3:
        return []
    distances, neighbors = nearest(vectors, min(NEIGHBORS, len(vectors) - 1))
    beyond = beyond_gap(distances, CLOSE)
    close = distances < CLOSE * torch.minimum(beyond[:, None], beyond[neighbors])
    candidates = {_pair(one, int(neighbors[one, place])) for one, place in torch.nonzero(close).tolist()} - {*known}
    either = sorted({image for pair in candidates for image in pair})
    near = dict(zip(either, neighbors[either].tolist(), strict=True))
    measured = _distances(gray(pixels), {_pair(one, other) for one in either for other in near[one]} | candidates)
    far = {
        one: float(beyond_gap(torch.tensor([sorted(measured[_pair(one, each)] for each in others)]), FACTOR))
        for one, others in near.items()
    }
    return [
        Pair(*pair, 1 - measured[pair] ** 2 / 2, altered=True)
        for pair in sorted(candidates)
        if measured[pair] <= FARTHEST and measured[pair] < FACTOR * min(far[image] for image in pair)
    ]


def _pair(one: int, other: int) -> tuple[int, int]:
    return min(one, other), max(one, other)


def _distances(pictures: torch.Tensor, pairs: Collection[tuple[int, int]]) -> dict[tuple[int, int], float]:
    """Return the distances of pairs of pictures, (images, height, width), that are laid onto each other."""
    ordered, found = sorted(pairs), {}
    parts = [ordered[start : start + BATCH] for start in range(0, len(ordered), BATCH)]
    for part in bar(parts, "altered copies", len(ordered), "pair", size=len):
        first, second = (pictures[[pair[place] for pair in part]] for place in (0, 1))
        correlation = torch.maximum(_laid(first, second), _laid(second, first))
        found |= zip(part, (2 - 2 * correlation).clamp(min=0).sqrt().tolist(), strict=True)
    return found


def _laid(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the correlations with pictures that are laid onto the first ones; -1 where they hardly overlap."""
    identity = torch.eye(2, 3)
    change = torch.zeros(len(first), 2, 3, requires_grad=True)
    optimizer = torch.optim.Adam([change], lr=RATES[0])
    for rate, side in zip(RATES, (3, 1), strict=True):  # a blurred picture is found from farther away
        optimizer.param_groups[0]["lr"] = rate
        one, other = (
            avg_pool2d(each[:, None], side, 1, side // 2, count_include_pad=False)[:, 0] for each in (first, second)
        )
        for _ in range(STEPS // 2):
            loss = -_correlation(one, *_moved(other, identity + MOST * torch.tanh(change / MOST))).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    moved, inside = _moved(second, identity + MOST * torch.tanh(change.detach() / MOST))
    return torch.where(inside.mean((1, 2)) < SHARED, -1.0, _correlation(first, moved, inside))


def _moved(pictures: torch.Tensor, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pictures moved by affine maps, (images, 2, 3), and which pixels they have: 1 or 0."""
    grid = affine_grid(maps, [len(pictures), 1, *pictures.shape[1:]], align_corners=False)
    moved = grid_sample(pictures[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
    return moved, (grid.detach().abs() <= 1).all(-1).float()


def _correlation(first: torch.Tensor, second: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the weighted correlations of pictures, (images,)."""
    total = weights.sum((1, 2)).clamp(min=1)
    one, other = (each - ((weights * each).sum((1, 2)) / total)[:, None, None] for each in (first, second))
    products = [(weights * a * b).sum((1, 2)) for a, b in ((one, other), (one, one), (other, other))]
    return products[0] / (products[1] * products[2]).clamp(min=1e-6).sqrt()
