"""The division of class folders' images by their contents: equal files, and the images that are held out to test."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from graft.data.images import ImageFiles, Images
from graft.errors import ConfigError, Fault
from graft.reading.class_folders import Folder
from graft.reading.layout import named
from graft.seed import generator

log = logging.getLogger("graft")

HELD_OUT = 0.2  # share of the images that are held out to test
SALT = "held out to test"  # another one would hold out other images
MAX_PAIRS = 5  # equal files that a message names
KINDS = {  # of files with equal bytes, in words
    "other_part": "equal to one of the same class in an earlier part",
    "same_part": "equal to another one of the same class and part",
    "two_classes": "equal to one of another class, so that a label must be wrong",
}


def find_duplicates(images: ImageFiles, chosen: torch.Tensor, drop: bool) -> dict[str, torch.Tensor]:
    """Find files with equal bytes, name them in warnings, and return a mask for each kind, (images,).

    Of equal files in one class the first is no duplicate: parts come in the order training, validation, test.

    Args:
        images: the data set.
        chosen: mask of the images in the big and the small split.
        drop: whether they will be left out, which the warnings say.
    """
    groups = defaultdict(list)
    for index in torch.nonzero(chosen).flatten().tolist():
        groups[images.folder.digests[index]].append(index)
    masks = {kind: torch.zeros_like(chosen) for kind in KINDS}
    pairs: dict[str, list[tuple[int, int]]] = {kind: [] for kind in KINDS}
    for first, *others in (group for group in groups.values() if len(group) > 1):
        two_classes = len({int(images.labels[index]) for index in (first, *others)}) > 1
        masks["two_classes"][first] = two_classes
        for other in others:
            same_part = images.folder.files[other].part == images.folder.files[first].part
            kind = "two_classes" if two_classes else "same_part" if same_part else "other_part"
            masks[kind][other] = True
            pairs[kind].append((first, other))
    fate = "left out; dataset.duplicates=keep uses them" if drop else "used, because of dataset.duplicates=keep"
    for kind, mask in masks.items():
        if pairs[kind]:
            equations = _equations(images.folder, pairs[kind])
            log.warning("files %s: %d (%s): %s", KINDS[kind], int(mask.sum()), equations, fate)
    return masks


def keep_images(images: Images, chosen: torch.Tensor, drop: bool) -> tuple[torch.Tensor, dict[str, int]]:
    """Return a mask of the chosen images that are used, and the number of equal files of each kind.

    Args:
        images: the data set.
        chosen: mask of the images in the big and the small split.
        drop: whether equal files are left out.
    """
    if not isinstance(images, ImageFiles):
        return chosen, {}
    masks = find_duplicates(images, chosen, drop)
    kept = chosen & ~torch.stack(list(masks.values())).any(0) if drop else chosen
    return kept, {kind: int(mask.sum()) for kind, mask in masks.items()}


def account(
    images: ImageFiles, duplicates: dict[str, int], drop: bool, used: int, not_tested: int = 0, excluded: int = 0
) -> dict[str, Any]:
    """Return how many files were found, used, and ignored for which reason; `used + sum(ignored) = found`.

    Args:
        images: the data set.
        duplicates: number of equal files of each kind, which are counted even if they are used.
        drop: whether they are left out.
        used: number of the files in a split.
        not_tested: number of test images that are in none, because trials test folds of the others.
        excluded: number of chosen images that `dataset.exclude` leaves out.
    """
    ignored, num_images = images.folder.ignored, len(images.labels)
    dropped = duplicates if drop else dict.fromkeys(duplicates, 0)
    further = {
        "equal to another file": dropped["other_part"] + dropped["same_part"],
        "under two classes": dropped["two_classes"],
        "test images, which dataset.folds does not use": not_tested,
        "left out by dataset.exclude": excluded,
        "not chosen": num_images - used - not_tested - excluded - sum(dropped.values()),
    }
    return {
        "found": num_images + sum(ignored.values()),
        "used": used,
        "ignored": ignored | {reason: count for reason, count in further.items() if count},
        "duplicates": duplicates,
    }


def _equations(folder: Folder, pairs: Sequence[tuple[int, int]]) -> str:
    """Return the names of some equal files: test/cat/3.png = train/cat/1.png, and 7 more."""
    few = [" = ".join(named(folder.root, [folder.paths[index]]) for index in pair[::-1]) for pair in pairs[:MAX_PAIRS]]
    return ", ".join(few) + (f" and {len(pairs) - MAX_PAIRS} more" if len(pairs) > MAX_PAIRS else "")


@dataclass(frozen=True)
class Division:
    """How a class is divided into the images to draw from and those to test on.

    Without test images of its own a data set holds out a fifth of each class. Each file's place, a number in [0, 1),
    follows from its contents alone, and the files with a place below a fifth test. So adding, removing or renaming a
    file moves no other one between training and test, and their share of a class is a fifth on average, not exactly.
    Only a class with all files on one side exchanges one: the file with the lowest place tests, or that with the
    highest trains. A number of test images takes the lowest places, so that a new file may replace another one.

    Images in memory, which do not change, are divided by a shuffle with a fixed seed, a fifth exactly.

    Attributes:
        images: the data set.
        kept: mask of the images that are not left out.
        per_class: test images of each class; None: the data set's own, or a fifth.
        short: whether a class may have fewer images than asked for.
        folds: whether trials test folds of the images to draw from: none are held out, and the data set's own test
            images are not used.
    """

    images: Images
    kept: torch.Tensor
    per_class: int | None
    short: bool
    folds: bool = False

    def divide(self, labels: Sequence[int]) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return indices of the images to draw from, for each class, and of all test images, sorted.

        Raises:
            ConfigError: a class has too few images.
        """
        pool, test = [], []
        if self.folds:
            pool = [self._of_class(label)[0] for label in labels]
            self._say_unused(labels)
            return pool, torch.cat(pool).sort().values
        self._check(labels)
        for label in labels:
            train, given = self._of_class(label)
            if self.images.test.any():
                held_out = given if self.per_class is None else self._lowest(given, self._given_count(label, given))[0]
            else:
                held_out, train = self._lowest(train, self._held_out_count(label, train))
            pool.append(train)
            test.append(held_out)
        return pool, torch.cat(test).sort().values

    def _say_unused(self, labels: Sequence[int]) -> None:
        unused = sum(len(self._of_class(label)[1]) for label in labels)
        if unused:
            log.warning(
                "dataset.folds divides the training images; the data set's own %s test images of these classes are not "
                "used; dataset.folds=null tests on them",
                f"{unused:,}",
            )

    def _of_class(self, label: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return indices of a class's training images and of its own test images."""
        of_class = (self.images.labels == label) & ~self.images.val & self.kept
        train, test = (torch.nonzero(of_class & mask).flatten() for mask in (~self.images.test, self.images.test))
        return train, test

    def _check(self, labels: Sequence[int]) -> None:
        """Refuse classes that nothing can be learned of, or tested on, and name all of them."""
        own, divided = bool(self.images.test.any()), [self._of_class(label) for label in labels]
        untrained = [label for label, (train, _) in zip(labels, divided, strict=True) if not len(train)]
        if untrained:
            raise self._lack(labels, untrained, "training images", "")
        untested = [
            label for label, (train, test) in zip(labels, divided, strict=True) if len(test if own else train[1:]) == 0
        ]
        if untested and (not self.short or len(untested) == len(labels)):
            expected = "test images" if own else "two images or more, one to train and one to test on"
            raise self._lack(labels, untested, expected, "" if self.short else ", or dataset.short=use")

    def _lack(self, labels: Sequence[int], lacking: Sequence[int], what: str, cure: str) -> ConfigError:
        """Return the error that some classes have less than is needed."""
        names = ", ".join(self.images.classes[label] for label in lacking)
        dropped = ~self.kept & torch.isin(self.images.labels, torch.tensor(labels))
        equal = ", equal files counted once" if dropped.any() else ""
        expected = f"classes with {what}; {names} {'lacks' if len(lacking) == 1 else 'lack'} them{equal}"
        got = [self.images.classes[label] for label in labels]
        return shortage("small", got, expected, f"leaving out {names}{cure}")

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
        assert isinstance(self.images, ImageFiles)
        salted = (f"{SALT}/{self.images.folder.digests[index]}".encode() for index in indices.tolist())
        heads = [int.from_bytes(hashlib.sha256(each).digest()[:6], "big") / 2**48 for each in salted]
        return torch.tensor(heads, dtype=torch.float64)


def shortage(key: str, got: object, expected: str, example: str) -> ConfigError:
    """Return the error that the data have less than a key asks for."""
    return ConfigError([Fault(f"dataset.{key}", got, expected, example)])
