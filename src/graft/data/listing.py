"""The names by which a person finds a data set's images, and hashes of their contents."""

import functools
import hashlib
from collections.abc import Sequence

import torch

from graft.data.images import ImageFiles, Images, InMemoryImages
from graft.reading.layout import shown


def names(images: Images, indices: Sequence[int]) -> list[str]:
    """Return files' paths relative to their root, or in-memory images' places in their part.

    `test/17` is image 17 of torchvision's test set, counted from 0; without parts it is `17`.
    """
    if isinstance(images, ImageFiles):
        root, paths = images.folder.root, images.folder.paths
        return [shown(paths[index].relative_to(root).as_posix()) for index in indices]
    if not (images.test | images.val).any():
        return [str(index) for index in indices]
    parts = {"train": ~images.test & ~images.val, "val": images.val, "test": images.test}
    place = torch.stack([mask * mask.cumsum(0) for mask in parts.values()])  # from 1; 0 in another part
    part, chosen = place.argmax(0)[indices].tolist(), (place.amax(0) - 1)[indices].tolist()
    return [f"{list(parts)[each]}/{number}" for each, number in zip(part, chosen, strict=True)]


def hashes(images: Images, indices: Sequence[int]) -> list[str]:
    """Return the digests of files' bytes, or of in-memory images' pixels: 32 hexadecimal digits."""
    if isinstance(images, ImageFiles):
        return [images.folder.digests[index] for index in indices]
    assert isinstance(images, InMemoryImages)
    known, pixels = _known_hashes(images), images.pixels.numpy()
    for index in indices:
        if index not in known:
            known[index] = hashlib.sha256(pixels[index].tobytes()).hexdigest()[:32]
    return [known[index] for index in indices]


@functools.lru_cache(maxsize=2)  # a sweep's jobs share the images
def _known_hashes(images: InMemoryImages) -> dict[int, str]:
    return {}
