"""Images, read by index: from memory, from files, or as a stream if they are too large for memory."""

import functools
import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import torch

from graft.bars import bar
from graft.content import is_changed
from graft.files import fingerprint
from graft.reading.class_folders import Folder
from graft.reading.decode import DECODER_VERSION, Reading, decode, pixel_limit
from graft.reading.depth import White, find_white

AT_ONCE = 32  # images that are decoded while those before them are used
THREADS_FROM = 2**14  # bytes of a decoded image; below this, Python's part is the most, and threads take turns at it


class ImageSource(ABC):
    """Images of one shape, read by index: a data set or stored views of one."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""

    @functools.cached_property
    @abstractmethod
    def as_read(self) -> str:
        """The identity of what networks see: it changes with any pixel, any label and their order."""

    @abstractmethod
    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Read images, bytes (batch, channels, height, width), for each tensor of indices, (batch,)."""


@dataclass(frozen=True, eq=False)
class Images(ImageSource):
    """The images of a data set.

    Attributes:
        labels: index into `classes`, (images,).
        test: mask of the data set's own test images, (images,).
        val: mask of its own validation images, (images,).
        classes: names of the classes.
        groups: the name of each image's group, such as its patient; none: each image stands for itself.
        domains: the name of each image's domain, such as its hospital; none: the images are not divided by domains.
    """

    labels: torch.Tensor
    test: torch.Tensor
    val: torch.Tensor
    classes: tuple[str, ...]
    groups: tuple[str, ...] = field(default=(), kw_only=True)
    domains: tuple[str, ...] = field(default=(), kw_only=True)

    @functools.cached_property
    def fingerprint(self) -> str:
        """The data set's identity: unlike `as_read`, it changes with groups and domains, too."""
        return fingerprint(self._contents(), *self._described())

    @functools.cached_property
    def as_read(self) -> str:
        return fingerprint(self._contents(), self.labels, self.test, self.val, self.classes)

    @functools.cached_property
    @abstractmethod
    def digests(self) -> list[str]:
        """Each image's digest, of its file's bytes or of its pixels in memory: 32 hexadecimal digits."""

    def _described(self) -> list[object]:
        """Return what is known of the images besides their pixels; data without groups are what they always were."""
        further = [self.groups] * bool(self.groups) + [["domains", self.domains]] * bool(self.domains)
        return [self.labels, self.test, self.val, self.classes, *further]

    @functools.cached_property
    def originals(self) -> str:
        """The identity of the images as they are stored: it is the same at whatever size they are read."""
        return self.fingerprint

    @abstractmethod
    def _contents(self) -> object:
        """Return the pixels, or anything that changes with them, for the fingerprint."""

    def read(self, indices: torch.Tensor) -> "torch.Tensor | ImageStream":
        """Return images, (images, channels, height, width), or a stream of them if they do not fit into memory."""
        return next(self.batches([indices]))


@dataclass(frozen=True, eq=False)
class InMemoryImages(Images):
    """Images in memory: `pixels` are bytes, (images, channels, height, width)."""

    pixels: torch.Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    @functools.cached_property
    def digests(self) -> list[str]:
        return [hashlib.sha256(pixels.tobytes()).hexdigest()[:32] for pixels in self.pixels.numpy()]

    def _contents(self) -> torch.Tensor:
        return self.pixels

    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        return (self.pixels[part] for part in parts)


class ImageStream:
    """Images that are decoded or augmented batch by batch, whenever they are read.

    Args:
        images: the data set, or views of it.
        indices: the images of this stream, in its order, (images,).
    """

    device = torch.device("cpu")

    def __init__(self, images: ImageSource, indices: torch.Tensor):
        self.images, self.indices = images, indices
        self.shape = (len(indices), *images.shape)

    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Read images for each tensor of positions within the stream, (batch,)."""
        return self.images.batches([self.indices[part] for part in parts])


@dataclass(frozen=True, eq=False)
class ImageFiles(Images):
    """Images in files. They are decoded when first read and kept in memory, if all of them fit; else at each reading.

    Args:
        folder: the files.
        size: height and width of the decoded images, if the files are larger or differ in shape; None: the files' own.
        reading: how the files are read.
        memory_limit: largest size of all decoded images, in bytes, that is kept in memory.
        workers_from: size of one reading's decoded images, in bytes, from which processes decode them, not threads.

    Raises:
        GraftError: the images differ in shape, and no size is given.
    """

    folder: Folder
    size: int | None
    reading: Reading
    memory_limit: int = 2**31
    workers_from: int = 2**28

    def __post_init__(self):
        if self.size is None and len(self.folder.shapes) > 1:
            raise self.folder.shapes_error()

    @property
    def shape(self) -> tuple[int, int, int]:
        (height, width), *others = self.folder.shapes
        squared = self.reading.fit != "crop" and height != width  # else preprocessing would crop them
        if self.size is not None and (others or squared or min(height, width) > self.size):
            height = width = self.size
        return 3 if self.folder.color else 1, height, width

    @functools.cached_property
    def digests(self) -> list[str]:
        return self.folder.digests

    @property
    def resizes(self) -> bool:
        """Whether any file is resized when it is read."""
        return any(shape != self.shape[1:] for shape in self.folder.shapes)

    def _contents(self) -> tuple:
        how = [self.reading.interpolation] if self.resizes and self.reading.interpolation != "bilinear" else []
        return self.folder.identity, self.shape, DECODER_VERSION, self.reading.fit, self.white, *how

    @functools.cached_property
    def white(self) -> White:
        """The values that are white in files with more than 8 bits a channel."""
        return find_white([file.header.deep for file in self.folder.files if file.header.deep], self.reading.bits)

    @functools.cached_property
    def originals(self) -> str:
        return fingerprint(self.folder.identity, *self._described())

    @functools.cached_property
    def _memory(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """A buffer for all images, allocated page by page on writing, and a mask of those decoded; None: too large."""
        if len(self.labels) * math.prod(self.shape) > self.memory_limit:
            return None
        return torch.empty(len(self.labels), *self.shape, dtype=torch.uint8), torch.zeros_like(self.test)

    def read(self, indices: torch.Tensor) -> torch.Tensor | ImageStream:
        if self._memory is not None:
            return super().read(indices)
        for _ in bar(self._decode(indices.split(AT_ONCE)), "decoding", len(indices), "image", size=len):
            pass  # a file that cannot be decoded raises its error now rather than in the middle of training
        return ImageStream(self, indices)

    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        if self._memory is None:
            yield from self._decode(parts)
            return
        pixels, decoded = self._memory
        indices = torch.cat(list(parts)).unique()
        absent = indices[~decoded[indices]]
        missing = absent.split(AT_ONCE)
        read = zip(missing, self._decode(missing), strict=True)
        # Whoever asks for several parts shows how many it has done.
        read = bar(read, "decoding", len(absent), "image", size=lambda new: len(new[0]), hidden=len(parts) > 1)
        for part in parts:
            while not decoded[part].all():
                places, new = next(read)
                pixels[places], decoded[places] = new, True
            yield pixels[part]

    def _decode(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Decode images, (batch, channels, height, width), for each tensor of indices, (batch,)."""
        many = sum(len(part) for part in parts) * math.prod(self.shape) >= self.workers_from
        cores = min(torch.get_num_threads(), 16)  # this job's: launchers divide the machine's
        threads = cores if math.prod(self.shape) >= THREADS_FROM else 1
        decoded = functools.partial(_decoded, self.folder, self.shape, self.reading, self.white)
        loader = torch.utils.data.DataLoader(parts, None, collate_fn=decoded, num_workers=many * cores)  # type: ignore
        # Pillow's limit is the whole process's: set here, it is the same before, during and after each thread's part.
        with pixel_limit(self.reading.max_pixels), ThreadPoolExecutor(threads) as pool:
            for pixels in loader if many else pool.map(decoded, parts):
                if pixels is None:
                    raise self.folder.decoding_error()
                yield pixels


def _decoded(
    folder: Folder, shape: tuple[int, int, int], reading: Reading, white: White, indices: torch.Tensor
) -> torch.Tensor | None:
    """Decode files; None if any fails or has changed: an exception would be wrapped by a DataLoader's worker."""
    pixels = torch.zeros(len(indices), *shape, dtype=torch.uint8)
    try:
        with pixel_limit(reading.max_pixels):
            for row, index in enumerate(indices.tolist()):
                pixels[row] = decode(folder.paths[index], shape, reading.fit, white, reading.interpolation)
                if is_changed(folder.paths[index], folder.digests[index], folder.listed):
                    return None
    except Exception:  # Pillow's exceptions for broken files depend on the format
        return None
    return pixels
