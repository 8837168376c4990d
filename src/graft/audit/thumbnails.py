"""Thumbnails: every image as 32x32 and as 8x8 RGB pixels, read once and stored, and why an image cannot be read."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import interpolate

from graft.bars import bar
from graft.data.images import ImageFiles, Images
from graft.files import fingerprint, read_tensors, write_tensors
from graft.reading.decode import DECODER_VERSION, decode, failure, pixel_limit

SIDE, TINY = 32, 8  # pixels
DECODED = 64  # most pixels of a side before that; smaller images keep their own, because enlarging changes them
BATCH = 256


@dataclass(frozen=True)
class Thumbnails:
    """Small pictures of some images of a data set.

    Attributes:
        pixels: bytes, (images, 3, SIDE, SIDE); black where an image cannot be read.
        tiny: from 0 to 255, (images, 3, TINY, TINY), averaged from the image itself.
        reasons: why images cannot be read, by place.
    """

    pixels: torch.Tensor
    tiny: torch.Tensor
    reasons: dict[int, str]

    @property
    def readable(self) -> np.ndarray:
        """Mask of the images that can be read, (images,)."""
        mask = np.ones(len(self.pixels), bool)
        mask[list(self.reasons)] = False
        return mask


def thumbnails(images: Images, indices: torch.Tensor, cache: Path) -> Thumbnails:
    """Return small pictures of some images: from the cache, or read with a progress bar and stored there.

    Args:
        images: the data set.
        indices: the images, (images,).
        cache: folder of stored thumbnails.
    """
    if not isinstance(images, ImageFiles):
        parts = images.batches(indices.split(BATCH))
        small, tiny = (torch.cat(each) for each in zip(*map(_reduced, parts), strict=True))
        return Thumbnails(small, tiny, {})
    paths = [images.folder.paths[index] for index in indices.tolist()]
    contents = [images.digests[index] for index in indices.tolist()]
    stored = cache / f"{fingerprint(contents, DECODER_VERSION, images.white, SIDE, TINY, DECODED)[:24]}.safetensors"
    with pixel_limit(images.reading.max_pixels):
        tensors = read_tensors(stored)
        if tensors is None:
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                read = threads.map(lambda index: _thumbnail(images, index), indices.tolist())
                found = list(bar(read, "thumbnails", len(paths), "image"))
            readable = torch.tensor([each is not None for each in found])
            none = _reduced(torch.zeros(1, 3, SIDE, SIDE))
            small, tiny = (torch.cat(each) for each in zip(*[each or none for each in found], strict=True))
            tensors = {"pixels": small, "tiny": tiny, "readable": readable}
            write_tensors(stored, tensors)
        failed = torch.nonzero(~tensors["readable"]).flatten().tolist()
        reasons = {place: failure(paths[place]) or "cannot be read" for place in failed}
    return Thumbnails(tensors["pixels"], tensors["tiny"], reasons)


def pictures(images: Images, indices: torch.Tensor) -> list[torch.Tensor]:
    """Return the pixels of images that can be read, each (3, height, width), with sides of at most DECODED pixels."""
    if not isinstance(images, ImageFiles):
        parts = images.batches(indices.split(BATCH))
        size = [min(side, DECODED) for side in images.shape[1:]]
        return [each.expand(3, -1, -1) for part in parts for each in _resized(part, size)]
    with pixel_limit(images.reading.max_pixels), ThreadPoolExecutor(os.cpu_count()) as threads:
        read = threads.map(lambda index: _decoded(images, index), indices.tolist())
        return list(bar(read, "candidates for copies", len(indices), "image"))


def _thumbnail(images: ImageFiles, index: int) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return an image at both sizes, (1, 3, height, width); None if it cannot be read."""
    try:
        return _reduced(_decoded(images, index)[None])
    except Exception:  # Pillow's exceptions for broken files depend on the format
        return None


def _decoded(images: ImageFiles, index: int) -> torch.Tensor:
    file = images.folder.files[index]
    shape = 3, min(file.header.height, DECODED), min(file.header.width, DECODED)
    return decode(file.path, shape, "squash", images.white)


def _reduced(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images, (images, channels, height, width), at both sizes, in color."""
    small, tiny = (_resized(pixels, [side, side]).expand(-1, 3, -1, -1) for side in (SIDE, TINY))
    return small.round().clamp(0, 255).byte(), tiny.contiguous()


def _resized(pixels: torch.Tensor, size: list[int]) -> torch.Tensor:
    return interpolate(pixels.float(), size, mode="bilinear", antialias=True)
