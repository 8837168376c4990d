"""The names by which a person finds a data set's images, and hashes of their contents."""

import functools
import hashlib
from collections.abc import Sequence

import numpy as np

from graft.data.images import ImageFiles, Images, InMemoryImages
from graft.reading.layout import PARTS
from graft.reading.pictures import shown


def names(images: Images, indices: Sequence[int]) -> list[str]:
    """Return files' paths relative to their root, or in-memory images' places in their part.

    `test/17` is image 17 of torchvision's test set, counted from 0; without parts it is `17`.
    """
    if isinstance(images, ImageFiles):
        root, paths = images.folder.root, images.folder.paths
        return [shown(paths[index].relative_to(root).as_posix()) for index in indices]
    if not (images.test | images.val).any():
        return [str(index) for index in indices]
    part = (images.val + 2 * images.test).numpy()  # 0 train, 1 val, 2 test
    place = np.zeros_like(part)
    for each in range(len(PARTS)):
        own = part == each
        place[own] = np.arange(np.count_nonzero(own))
    chosen = zip(part[indices].tolist(), place[indices].tolist(), strict=True)
    return [f"{PARTS[each]}/{number}" for each, number in chosen]


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
