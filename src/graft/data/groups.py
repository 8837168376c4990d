"""Groups of images, such as those of a patient: units that test, validation, folds and draws never part."""

import hashlib
import logging
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from graft.data.images import Images
from graft.errors import GraftError
from graft.nouns import counted, few
from graft.reading.layout import MAX_NAMES, PARTS

log = logging.getLogger("graft")

HELD_OUT = 0.2  # share of each class's images that is held out to test, at least


class Groups:
    """The groups of a data set.

    A group's place follows from its name alone, so that an image or a group that is added moves few others.

    Args:
        images: with a group for each.

    Attributes:
        names: of the groups, sorted.
        of: the place of each image's group among the names, (images,).
    """

    def __init__(self, images: Images):
        names, places = np.unique(np.array(images.groups, dtype=object), return_inverse=True)
        self.names, self.of = [str(name) for name in names], torch.from_numpy(places.astype(np.int64))

    def counts(self, pools: Sequence[torch.Tensor]) -> np.ndarray:
        """Return how many images of each class a group has, (groups, classes), from each class's indices."""
        return np.stack([np.bincount(self.of[pool], minlength=len(self.names)) for pool in pools], axis=1)

    def without(self, indices: torch.Tensor, seen: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return images to pre-train on, without those whose groups have images that trials test or validate on."""
        kept = indices[~torch.isin(self.of[indices], self.of[torch.cat(list(seen))])]
        if len(kept) < len(indices):
            left_out = f"{len(indices) - len(kept):,}"
            log.info("%s images of the big split are not used: trials test, or validate, on their groups", left_out)
        return kept

    def number(self, indices: torch.Tensor) -> int:
        """Return how many groups some images belong to."""
        return len(self.of[indices].unique())

    def held_out(self, pools: Sequence[torch.Tensor], per_class: int | None, short: bool) -> torch.Tensor | None:
        """Return a mask of the images whose groups are held out to test, (images,).

        Groups are taken in the order of their places as long as some class of theirs has less than a fifth of its
        images, or than `per_class`, in groups that are taken, and as each class keeps half of its images or, if that is
        impossible, one.

        Args:
            pools: indices of each class's images.
            per_class: test images of each class; None: a fifth.
            short: whether a class may have fewer images than asked for.

        Returns:
            The mask; None if there is no such division.
        """
        counts = self.counts(pools)
        total = counts.sum(0)
        wanted = np.ceil(HELD_OUT * total) if per_class is None else np.full(len(total), per_class)
        single = (counts > 0).sum(0) < 2
        if short:
            wanted = np.where(single, 0, np.minimum(wanted, total - 1))
        for keep in ((total + 1) // 2, np.ones_like(total)):
            chosen = self._taken(counts, "held out to test", wanted, np.where(single, total, keep))
            if chosen is not None:
                return torch.from_numpy(chosen)[self.of]
        return None

    def validated(
        self, seed: int, pools: Sequence[torch.Tensor], wanted: Sequence[int], keep: Sequence[int]
    ) -> torch.Tensor | None:
        """Return a mask of the images whose groups a trial may validate on, and does not train on, (images,).

        Args:
            seed: the trial's.
            pools: indices of each class's images.
            wanted: validation images of each class.
            keep: training images of each class.

        Returns:
            The mask; None if there is no such division.
        """
        chosen = self._taken(self.counts(pools), f"validation/{seed}", np.array(wanted), np.array(keep))
        return None if chosen is None else torch.from_numpy(chosen)[self.of]

    def folds(self, pools: Sequence[torch.Tensor], repeat: int, num_folds: int) -> torch.Tensor:
        """Return the fold of each image in one repeat, (images,); that of images in no pool means nothing.

        Large groups come first, and those of about the same size in the order of their places. Each takes the fold that
        has least of its classes so far.

        Args:
            pools: indices of each class's images.
            repeat: another one divides the groups anew.
            num_folds: how many folds.
        """
        counts = self.counts(pools)
        shares = counts / counts.sum(0)
        size = np.floor(np.log2(counts.sum(1).clip(1)))
        places = self._places(f"fold/{repeat}")
        loads, found = np.zeros((num_folds, len(pools))), np.zeros(len(counts), dtype=np.int64)
        for group in sorted(range(len(counts)), key=lambda group: (-size[group], places[group])):
            first = int.from_bytes(places[group][-6:], "big") % num_folds  # of folds with equally little
            preferred = np.roll(np.arange(num_folds), -first)
            found[group] = fold = preferred[np.argmin((loads @ shares[group]).round(9)[preferred])]
            loads[fold] += shares[group]
        return torch.from_numpy(found)[self.of]

    def _taken(self, counts: np.ndarray, salt: str, wanted: np.ndarray, keep: np.ndarray) -> np.ndarray | None:
        """Return which groups are taken, (groups,), so that enough of each class are in them and others are left.

        If the order of places leads to none, small groups come first.
        """
        places, size = self._places(salt), counts.sum(1)
        for by_size in (False, True):
            order = sorted(range(len(counts)), key=lambda group: (by_size * int(size[group]), places[group]))
            chosen, got, left = np.zeros(len(counts), dtype=bool), np.zeros_like(wanted), counts.sum(0)
            for group in order:
                own = counts[group]
                if own[got < wanted].any() and (left - own >= keep).all():
                    chosen[group] = True
                    got, left = got + own, left - own
            if (got >= wanted).all() and (left >= keep).all():
                return chosen
        return None

    def _places(self, salt: str) -> list[bytes]:
        return [hashlib.sha256(f"{salt}/{name}".encode()).digest() for name in self.names]


def division_groups(images: Images, used: torch.Tensor) -> Groups | None:
    """Return the groups of a data set; None if it has none.

    Args:
        images: the data set.
        used: mask of the images that count.

    Raises:
        GraftError: its own parts part some groups, which are named.
    """
    if not images.groups:
        return None
    groups = Groups(images)
    own = {"train": ~images.test & ~images.val, "val": images.val, "test": images.test}
    inside = {part: set(groups.of[used & own[part]].tolist()) for part in PARTS}
    parted = [
        f"{name} ({' and '.join(parts)})"
        for group, name in enumerate(groups.names)
        if len(parts := [part for part in PARTS if group in inside[part]]) > 1
    ]
    if parted:
        raise GraftError(
            f"{counted(len(parted), 'group')} of the data with images in several of its parts: "
            f"{few(parted, MAX_NAMES)}; a test on images of a group that was trained on looks better "
            "than it is: move them, or try dataset.split=null, which divides all images by groups"
        )
    return groups


def halves(number: int) -> Iterator[int]:
    """Yield a number, its half, and so on, to 0."""
    while number:
        yield number
        number //= 2
    yield 0
