"""Images: those that a data set holds in memory, and those that lie in files until they are needed."""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from graft.data.class_folders import Folder, decode
from graft.errors import GraftError
from graft.files import fingerprint

IN_MEMORY = 2**31  # bytes of decoded images that are held; what is larger is decoded anew whenever it is needed
WORKERS_FROM = 2**28  # bytes of decoded images from which worker processes are worth their start


class ImageSource(ABC):
    """What images are read from by index: a data set, or stored views of one."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""

    @functools.cached_property
    @abstractmethod
    def fingerprint(self) -> str:
        """The images' identity: another pixel, label or order gives another one."""

    @abstractmethod
    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Read images, bytes (batch, channels, height, width), for each of some tensors of indices, (batch,)."""


@dataclass(frozen=True, eq=False)
class Images(ImageSource):
    """The images of a data set, all of one shape.

    Attributes:
        labels: index into `classes`, (images,).
        test: which images are the data set's own test images, booleans, (images,).
        val: which are its own validation images, booleans, (images,).
        classes: names of the classes.
    """

    labels: torch.Tensor
    test: torch.Tensor
    val: torch.Tensor
    classes: tuple[str, ...]

    @functools.cached_property
    def fingerprint(self) -> str:
        return fingerprint(self._contents(), self.labels, self.test, self.val, self.classes)

    @abstractmethod
    def _contents(self) -> object:
        """Return what tells the pixels from others."""

    def read(self, indices: torch.Tensor) -> "torch.Tensor | ImageStream":
        """Return some images, (images, channels, height, width), or a stream of them if memory does not hold them."""
        return next(self.batches([indices]))


@dataclass(frozen=True, eq=False)
class InMemoryImages(Images):
    """Images in memory: `pixels` are bytes, (images, channels, height, width)."""

    pixels: torch.Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    def _contents(self) -> torch.Tensor:
        return self.pixels

    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        return (self.pixels[part] for part in parts)


class ImageStream:
    """Images that memory does not hold, decoded by workers or varied batch by batch.

    Args:
        images: the data set, or views of it.
        indices: those of its images that this stream counts from 0, (images,).
    """

    device = torch.device("cpu")

    def __init__(self, images: ImageSource, indices: torch.Tensor):
        self.images, self.indices = images, indices
        self.shape = (len(indices), *images.shape)

    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Read images for each of some tensors of positions within the stream, (batch,)."""
        return self.images.batches([self.indices[part] for part in parts])


@dataclass(frozen=True, eq=False)
class ImageFiles(Images):
    """Images in files, decoded when they are asked for and then, if all of them fit, held as bytes.

    Args:
        folder: the files.
        size: height and width that larger images, and images of different shapes, are made; None: their own.

    Raises:
        GraftError: the images differ in shape, and no size is given.
    """

    folder: Folder
    size: int | None

    def __post_init__(self):
        shapes = self.folder.shapes
        if self.size is None and len(shapes) > 1:
            smallest, *_, largest = sorted(shapes, key=math.prod)
            raise GraftError(
                f"the images under dataset.root={self.folder.root} have {len(shapes)} shapes, from "
                f"{smallest[0]}x{smallest[1]} to {largest[0]}x{largest[1]} pixels; try dataset.size=64"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        (height, width), *others = self.folder.shapes
        if self.size is not None and (others or min(height, width) > self.size):
            height = width = self.size
        return 3 if self.folder.colour else 1, height, width

    def _contents(self) -> tuple:
        return self.folder.identity, self.shape

    @functools.cached_property
    def _held(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Room for all images, which the system gives only as it is filled, and which of them are there."""
        return torch.empty(len(self.labels), *self.shape, dtype=torch.uint8), torch.zeros_like(self.test)

    @property
    def fits(self) -> bool:
        """Whether memory may hold all images."""
        return len(self.labels) * math.prod(self.shape) <= IN_MEMORY

    def read(self, indices: torch.Tensor) -> torch.Tensor | ImageStream:
        if self.fits:
            return super().read(indices)
        for _ in self._decoded(indices.split(256)):
            pass  # a file that cannot be decoded is better met now than in the middle of the training
        return ImageStream(self, indices)

    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        if not self.fits:
            yield from self._decoded(parts)
            return
        pixels, there = self._held
        missing = torch.cat(list(parts)).unique()
        missing = missing[~there[missing]].split(256)
        for part, decoded in zip(missing, self._decoded(missing), strict=True):
            pixels[part] = decoded
            there[part] = True
        yield from (pixels[part] for part in parts)

    def _decoded(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        many = sum(len(part) for part in parts) * math.prod(self.shape) >= WORKERS_FROM
        workers = min(torch.get_num_threads(), 16) if many else 0  # this job's cores: launchers divide the machine's
        decoder = _Decoder(self.folder.paths, self.shape)
        for pixels, broken in DataLoader(decoder, batch_size=None, sampler=parts, num_workers=workers):  # type: ignore[arg-type]
            if broken:
                raise self.folder.refusal(self.folder.undecodable())
            yield pixels


class _Decoder(torch.utils.data.Dataset):
    """Decodes a tensor of indices; what fails is named, since an exception would not leave a worker as it was."""

    def __init__(self, paths: Sequence[Path], shape: tuple[int, int, int]):
        self.paths, self.shape = paths, shape

    def __getitem__(self, indices: torch.Tensor) -> tuple[torch.Tensor, list[str]]:
        pixels, broken = torch.zeros(len(indices), *self.shape, dtype=torch.uint8), []
        for row, index in enumerate(indices.tolist()):
            try:
                pixels[row] = decode(self.paths[index], self.shape)
            except Exception:  # what Pillow raises on a broken file depends on the format
                broken.append(str(self.paths[index]))
        return pixels, broken
