"""Folds: repeated, stratified cross-validation for those who cannot spare test images."""

import functools
import hashlib
from collections.abc import Sequence

import torch

from graft.data.groups import Groups
from graft.data.images import ImageFiles, Images
from graft.errors import ConfigError, Fault
from graft.seed import generator

MOST_REPEATS, QUICK = 30, 20_000  # repeats with groups that are looked at; divisions of groups that are quick
NO_IMAGE = -1  # in rows of folds of different sizes: the place after a smaller fold's last image


class Folds:
    """Each class's images, divided into folds anew in every repeat.

    The trial with seed k tests fold k mod F of repeat k div F, and trains on images of the other folds. So F trials
    test each image once, and a seed has the same fold under every configuration.

    The sizes of a class's folds differ by one image at most. A file prefers the fold that its contents and the repeat
    say; files choose in an order that their contents say, too, and where a fold is full, take the next one that is not
    (consistent hashing with bounded loads, Mirrokni, Thorup and Zadimoghaddam, SODA 2018). So a file that is added or
    removed moves few others: with 5 folds 1.4 on average, and 2.4 with 10, however many there are. Images in memory,
    which do not change, are divided by a shuffle with a fixed seed.

    Args:
        images: the data set.
        names: of the classes.
        classes: indices of each class's images, (images,).
        num_folds: how many folds; at least 2.
        groups: which are in one fold each, so that the sizes differ by more; None: there are none.

    Raises:
        ConfigError: a class has fewer images, or groups, than folds.
    """

    def __init__(
        self,
        images: Images,
        names: Sequence[str],
        classes: Sequence[torch.Tensor],
        num_folds: int,
        groups: Groups | None = None,
    ):
        self.images, self.classes, self.num_folds, self.groups = images, classes, num_folds, groups
        units = [len(indices) if groups is None else groups.number(indices) for indices in classes]
        few = {name: count for name, count in zip(names, units, strict=True) if count < num_folds}
        if few:
            listed = ", ".join(f"{name} has {count}" for name, count in few.items())
            least, what = min(few.values()), "images" if groups is None else "groups"
            expected = f"at most the {what} of each class, because each fold tests some of each: {listed}"
            fewer = f"dataset.folds={least}, or " if least > 1 else ""
            raise ConfigError([Fault("dataset.folds", num_folds, expected, f"{fewer}leaving out {', '.join(few)}")])

    def tested(self, seed: int) -> torch.Tensor:
        """Return the sorted indices of the images that a seed's trial tests, (images,)."""
        fold = seed % self.num_folds
        of_classes = zip(self.classes, self._divided(seed // self.num_folds), strict=True)
        return torch.cat([indices[folds == fold] for indices, folds in of_classes]).sort().values

    def others(self, seed: int) -> list[torch.Tensor]:
        """Return the indices of each class's images that a seed's trial does not test, in their order."""
        fold = seed % self.num_folds
        of_classes = zip(self.classes, self._divided(seed // self.num_folds), strict=True)
        return [indices[folds != fold] for indices, folds in of_classes]

    @property
    def available(self) -> list[int]:
        """The number of each class's images that every trial can train on: without the class's largest fold.

        Groups make larger folds in some repeats than in others; the first ones are looked at, as many as are quick.
        """
        if self.groups is None:
            return [len(indices) + -len(indices) // self.num_folds for indices in self.classes]
        repeats = range(min(MOST_REPEATS, 1 + QUICK // len(self.groups.names)))
        divided = [self._divided(repeat) for repeat in repeats]
        return [
            min(int((folds[place] != fold).sum()) for folds in divided for fold in range(self.num_folds))
            for place in range(len(self.classes))
        ]

    @functools.lru_cache(maxsize=2)  # noqa: B019 (trials come repeat by repeat, and a job has one of these)
    def _divided(self, repeat: int) -> list[torch.Tensor]:
        """Return the fold of each class's images, (images,), in one repeat."""
        if self.groups is not None:
            of_images = self.groups.folds(self.classes, repeat, self.num_folds)
            return [of_images[indices] for indices in self.classes]
        divide = self._by_contents if isinstance(self.images, ImageFiles) else self._by_shuffle
        labels = [int(self.images.labels[indices[0]]) for indices in self.classes]
        # Numbered by their labels, so that the order in which classes are typed divides nothing anew.
        firsts = [sorted(labels).index(label) for label in labels]
        return [divide(indices, repeat, first) for first, indices in zip(firsts, self.classes, strict=True)]

    def _by_shuffle(self, indices: torch.Tensor, repeat: int, first: int) -> torch.Tensor:
        # Each class's larger folds begin with another one, so that all classes together are divided evenly, too.
        folds = (torch.arange(len(indices)) + first) % self.num_folds
        return folds[torch.randperm(len(indices), generator=generator(repeat, f"folds {first}"))]

    def _by_contents(self, indices: torch.Tensor, repeat: int, first: int) -> torch.Tensor:
        salted = (f"fold/{repeat}/{self.images.digests[index]}".encode() for index in indices.tolist())
        places = [hashlib.sha256(each).digest() for each in salted]
        positions = [(position - first) % self.num_folds for position in range(self.num_folds)]
        left = [len(indices) // self.num_folds + (each < len(indices) % self.num_folds) for each in positions]
        folds = torch.empty(len(indices), dtype=torch.long)
        for index in sorted(range(len(indices)), key=places.__getitem__):
            fold = int.from_bytes(places[index][-6:], "big") % self.num_folds
            while not left[fold]:
                fold = (fold + 1) % self.num_folds
            folds[index] = fold
            left[fold] -= 1
        return folds


def whole_repeats(trials: int, num_folds: int) -> str:
    """Return in words what a number of trials lacks for whole repeats; empty if it is a multiple of the folds."""
    if trials % num_folds == 0:
        return ""
    more = trials + -trials % num_folds
    untested = (
        f"{num_folds - trials} of {num_folds} folds are not tested"
        if trials < num_folds
        else (f"{trials % num_folds} of {num_folds} folds are tested once more than the others")
    )
    return f"dataset.folds={num_folds} with trials={trials}: {untested}; try trials={more}"
