"""What each trial said of each image: right, wrong, or any value whose mean over images is the trial's metric."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The values of trials (rows) on images (columns).

    Attributes:
        seeds: of the trials, as many as rows.
        images: (images,) of str, each image's content hash, or its number where there is none.
        values: (trials, images), float64: 1 right, 0 wrong; NaN where a trial did not test an image (folds).
        labels: (images,), class numbers; None if unknown.
        groups: (images,), the unit that an image belongs to; None: each image is a unit.
        share: share of its pool that each trial draws, 0 to 1; 1: all trials train on the same images.
        folds: number of folds of a repeated cross-validation; 0: one test set for all trials.
        copies: all trials are the same computation.
        bounded: trials' means are in [0, 1], as accuracies are; a loss is not.
        worth: how many units they are worth at most, where the metric counts classes (`of_rarest`).
        of_groups: the columns are groups already, not images: then `groups` is None.
    """

    seeds: tuple[int, ...]
    images: np.ndarray
    values: np.ndarray
    labels: np.ndarray | None = None
    groups: np.ndarray | None = None
    share: float = 0.0
    folds: int = 0
    copies: bool = False
    bounded: bool = True
    worth: float = math.inf
    of_groups: bool = False

    def __post_init__(self):
        """Raise ValueError unless all arrays have the shape of `values`."""
        expected = (len(self.seeds), len(self.images))
        if self.values.shape != expected:
            raise ValueError(f"values have the shape {self.values.shape}, expected (trials, images) {expected}")
        for name in ("labels", "groups"):
            column = getattr(self, name)
            if column is not None and column.shape != expected[1:]:
                raise ValueError(f"{name} have the shape {column.shape}, expected {expected[1:]}")

    def select(self, seeds: Sequence[int], columns: np.ndarray) -> "Outcomes":
        """Return the outcomes of these seeds on these columns, in their order."""
        if tuple(seeds) == self.seeds and np.array_equal(columns, np.arange(len(self.images))):
            return self
        rows = {seed: row for row, seed in enumerate(self.seeds)}
        values = self.values[np.array([rows[seed] for seed in seeds], dtype=int)[:, None], columns]
        labels, groups = (None if column is None else column[columns] for column in (self.labels, self.groups))
        return replace(
            self, seeds=tuple(seeds), images=self.images[columns], values=values, labels=labels, groups=groups
        )


def aligned(outcomes: Sequence[Outcomes]) -> list[Outcomes] | None:
    """Return the outcomes of the seeds that all have, their images in the order of the first; None of unlike images.

    Images are paired by their key: two images of one key, such as two files of the same content, in their order.
    """
    first, *others = outcomes
    seeds = [seed for seed in first.seeds if all(seed in other.seeds for other in others)]
    if all(other.images is first.images or np.array_equal(first.images, other.images) for other in others):
        return [one.select(seeds, np.arange(len(first.images))) for one in outcomes]
    places = [_places(one.images) for one in outcomes]
    if any(place.keys() != places[0].keys() for place in places):
        return None
    columns = [np.array([place[key] for key in places[0]], dtype=int) for place in places]
    return [one.select(seeds, own) for one, own in zip(outcomes, columns, strict=True)]


def _places(images: np.ndarray) -> dict[tuple[str, int], int]:
    """Return the column of each key and of its repetitions, numbered from 0."""
    seen: dict[str, int] = {}
    found = {}
    for column, key in enumerate(images.tolist()):
        found[key, seen.get(key, 0)] = column
        seen[key] = seen.get(key, 0) + 1
    return found


def unit_values(values: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Return the values of groups, (trials, groups), as whose mean each trial's mean over images is; or the values.

    A group of n_g images with the sum s_g counts as r + (s_g - r n_g) / mean(n), with r the trial's mean over images:
    the linear form of the ratio of two sums (Cochran, Sampling Techniques, 1977, section 2.11; for right and wrong
    answers Rao and Scott, Biometrics 48, 1992).
    """
    if groups is None:
        return values
    _, unit, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(unit, kind="stable")
    sums = np.add.reduceat(values[:, order], np.cumsum(sizes) - sizes, axis=1)
    rate = values.mean(1, keepdims=True)
    return rate + (sums - rate * sizes) / sizes.mean()


def effective_units(groups: np.ndarray | None, images: int) -> float:
    """Return the number of equally large groups that are worth as much: (sum of n)^2 / sum of n^2 (Kish 1965)."""
    if groups is None:
        return float(images)
    sizes = np.unique(groups, return_counts=True)[1]
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def of_rarest(outcomes: Outcomes) -> float:
    """Return how many units there would be if all classes had as few as the rarest one, and two more.

    Where each class counts the same, one unit of the rarest is worth one of so many. The two are Bonett and Price's
    (module intervals).

    Args:
        outcomes: with labels; a group is a unit of each class that it has images of.
    """
    assert outcomes.labels is not None
    units = np.arange(len(outcomes.labels)) if outcomes.groups is None else outcomes.groups
    counts = [len(np.unique(units[outcomes.labels == each])) for each in np.unique(outcomes.labels)]
    return len(counts) * (min(counts) + 2.0)
