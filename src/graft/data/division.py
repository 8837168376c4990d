"""The division of images by their contents or groups: those that are held out to test."""

import functools
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from graft.data.groups import HELD_OUT, Groups, halves
from graft.data.images import ImageFiles, Images
from graft.errors import ConfigError, Fault, GraftError
from graft.seed import generator

log = logging.getLogger("graft")

SALT = "held out to test"  # another one would hold out other images


@dataclass(frozen=True)
class Division:
    """How a class is divided into the images to draw from and those to test on.

    Without test images of its own a data set holds out a fifth of each class. Each file's place, a number in [0, 1),
    follows from its contents alone, and the files with a place below a fifth test. So adding, removing or renaming a
    file moves no other one between training and test, and their share of a class is a fifth on average, not exactly.
    Only a class with all files on one side exchanges one: the file with the lowest place tests, or that with the
    highest trains. A number of test images takes the lowest places, so that a new file may replace another one.

    Images in memory, which do not change, are divided by a shuffle with a fixed seed, a fifth exactly. Images of groups
    are held out by groups, at least a fifth, as `Groups` says.

    Attributes:
        images: the data set.
        kept: mask of the images that are not left out, of the small split's domains if there are domains.
        labels: of the small split's classes.
        per_class: test images of each class; None: the data set's own, or a fifth.
        short: whether a class may have fewer images than asked for.
        folds: whether trials test folds of the images to draw from: none are held out, and the data set's own test
            images are not used.
        groups: which are on one side only; None: there are none.
        where: the domains that the images are of, as they follow an error's words; empty without.
    """

    images: Images
    kept: torch.Tensor
    labels: Sequence[int]
    per_class: int | None
    short: bool
    folds: bool = False
    groups: Groups | None = None
    where: str = ""

    def divide(self) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return indices of the images to draw from, for each class, and of all test images, sorted.

        Raises:
            ConfigError: a class has too few images.
        """
        if self.folds:
            self._say_unused()
            return self._trained, torch.cat(self._trained).sort().values
        self._check()
        inside = self._held_out_groups()
        pool, test = [], []
        for label, train, given in zip(self.labels, self._trained, self._tested, strict=True):
            if inside is not None:
                held_out, train = train[inside[train]], train[~inside[train]]
                held_out = held_out if self.per_class is None else self._lowest(held_out, self.per_class)[0]
            elif self.images.test.any():
                held_out = given if self.per_class is None else self._lowest(given, self._given_count(label, given))[0]
            else:
                held_out, train = self._lowest(train, self._held_out_count(label, train))
            pool.append(train)
            test.append(held_out)
        return pool, torch.cat(test).sort().values

    @functools.cached_property
    def _trained(self) -> list[torch.Tensor]:
        """Indices of each class's training images."""
        return self._of_classes(~self.images.test)

    @functools.cached_property
    def _tested(self) -> list[torch.Tensor]:
        """Indices of each class's test images that are the data set's own."""
        return self._of_classes(self.images.test)

    def _of_classes(self, part: torch.Tensor) -> list[torch.Tensor]:
        own = part & ~self.images.val & self.kept
        return [torch.nonzero((self.images.labels == label) & own).flatten() for label in self.labels]

    def _held_out_groups(self) -> torch.Tensor | None:
        """Return a mask of the images whose groups are held out, (images,); None without groups, or with own tests."""
        if self.groups is None or self.images.test.any():
            return None
        pools = self._trained
        few = [label for label, pool in zip(self.labels, pools, strict=True) if self.groups.number(pool) < 2]
        if few and (not self.short or len(few) == len(self.labels)):
            raise self._lack(few, "images in two groups or more, one to train and one to test on", "")
        inside = self.groups.held_out(pools, self.per_class, self.short)
        if inside is None:
            raise self._no_groups(self.groups, pools)
        return inside

    def _no_groups(self, groups: Groups, pools: Sequence[torch.Tensor]) -> GraftError:
        """Return the error that no groups can be held out, with a number of test images for which some can."""
        most = self.per_class or min(map(len, pools)) // 5
        possible = (each for each in halves(most) if each and groups.held_out(pools, each, self.short) is not None)
        fewer = next((f"dataset.test_per_class={each}, " for each in possible), "")
        test = "a fifth of the" if self.per_class is None else self.per_class
        return GraftError(
            f"no groups can be held out so that they have {test} images of each class to test on and others are "
            f"left to train on; try {fewer}fewer classes in dataset.small, or groups with fewer images"
        )

    def _say_unused(self) -> None:
        unused = sum(map(len, self._tested))
        if unused:
            log.warning(
                "dataset.folds divides the training images; the data set's own %s test images of these classes are not "
                "used; dataset.folds=null tests on them",
                f"{unused:,}",
            )

    def _check(self) -> None:
        """Refuse classes that nothing can be learned of, or tested on, and name all of them."""
        untrained = [label for label, train in zip(self.labels, self._trained, strict=True) if not len(train)]
        if untrained:
            raise self._lack(untrained, "training images", "")
        own = bool(self.images.test.any())
        to_test = self._tested if own else [train[1:] for train in self._trained]
        untested = [label for label, test in zip(self.labels, to_test, strict=True) if not len(test)]
        if untested and (not self.short or len(untested) == len(self.labels)):
            expected = "test images" if own else "two images or more, one to train and one to test on"
            raise self._lack(untested, expected, "" if self.short else ", or dataset.short=use")

    def _lack(self, lacking: Sequence[int], what: str, cure: str) -> ConfigError:
        """Return the error that some classes have less than is needed."""
        names = ", ".join(self.images.classes[label] for label in lacking)
        dropped = ~self.kept & torch.isin(self.images.labels, torch.tensor(self.labels))
        equal = ", equal files counted once" if dropped.any() and not self.where else ""
        expected = f"classes with {what}{self.where}; {names} {'lacks' if len(lacking) == 1 else 'lack'} them{equal}"
        got = [self.images.classes[label] for label in self.labels]
        parts = ", or dataset.split=null" if self.where and self.images.test.any() else ""
        return shortage("small", got, expected, f"leaving out {names}{cure}{parts}")

    def _given_count(self, label: int, given: torch.Tensor) -> int:
        assert self.per_class is not None
        if len(given) < self.per_class and not self.short:
            expected = f"at most {len(given)}, the test images of class {self.images.classes[label]}"
            raise shortage("test_per_class", self.per_class, expected, f"dataset.test_per_class={len(given)}")
        return min(self.per_class, len(given))

    def _held_out_count(self, label: int, train: torch.Tensor) -> int:
        count, per_class = len(train), self.per_class
        if per_class is not None and per_class >= count and not self.short:
            expected = f"below {count}, the images of class {self.images.classes[label]}, or none is left to train on"
            raise shortage("test_per_class", per_class, expected, f"dataset.test_per_class={count - 1}")
        if per_class is not None and per_class < count:
            return per_class
        fifth = count // 5
        if isinstance(self.images, ImageFiles):
            fifth = int((self._places(train) < HELD_OUT).sum())
        return min(max(1, fifth), count - 1)

    def _lowest(self, indices: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the images with the lowest places and the others, both in their order."""
        if isinstance(self.images, ImageFiles):
            order = self._places(indices).argsort(stable=True)
        else:
            order = torch.randperm(len(indices), generator=generator(0, "test"))
        lowest = torch.zeros(len(indices), dtype=torch.bool)
        lowest[order[:count]] = True
        return indices[lowest], indices[~lowest]

    def _places(self, indices: torch.Tensor) -> torch.Tensor:
        """Return the places of files, from 0 to 1."""
        salted = (f"{SALT}/{self.images.digests[index]}".encode() for index in indices.tolist())
        heads = [int.from_bytes(hashlib.sha256(each).digest()[:6], "big") / 2**48 for each in salted]
        return torch.tensor(heads, dtype=torch.float64)


def shortage(key: str, got: object, expected: str, example: str) -> ConfigError:
    """Return the error that the data have less than a key asks for."""
    return ConfigError([Fault(f"dataset.{key}", got, expected, example)])
