"""The names by which a person finds a data set's images, hashes of their contents, and images left out by name."""

import functools
import hashlib
import logging
from collections.abc import Sequence

import numpy as np
import torch

from graft.data.images import ImageFiles, Images, InMemoryImages
from graft.errors import GraftError
from graft.excluded import marked
from graft.reading.layout import PARTS
from graft.reading.pictures import shown

log = logging.getLogger("graft")

MAX_NAMED = 5  # images that an error names


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


def keep_unmarked(images: Images, chosen: torch.Tensor, table: str | None) -> tuple[torch.Tensor, int | None]:
    """Return a mask of the chosen images that a table of `dataset.exclude` does not mark, and how many of them it does.

    Args:
        images: the data set.
        chosen: mask of the images in the big and the small split, (images,).
        table: the table; None: no image is left out, and their number is None.

    Raises:
        GraftError: the table names no image of the data set, or one that has another content than it had.
    """
    if table is None:
        return chosen, None
    marks = marked(table)
    everything = list(range(len(images.labels)))
    places = dict(zip(names(images, everything), everything, strict=True))
    unknown = [name for name in marks if name not in places]
    if unknown:
        raise GraftError(
            f"dataset.exclude={table} marks {len(unknown):,} of {len(marks):,} names that the data set does not have: "
            f"{', '.join(unknown[:MAX_NAMED])}; unmark them, or try the table of an audit of this data set"
        )
    indices = [places[name] for name in marks]
    known = zip(marks.items(), hashes(images, indices), strict=True)
    changed = [name for (name, digest), found in known if digest not in ("", found)]
    if changed:
        raise GraftError(
            f"dataset.exclude={table} marks {len(changed):,} images whose contents are others than in the audit: "
            f"{', '.join(changed[:MAX_NAMED])}; run the audit again, or empty its column hash if they are meant"
        )
    kept = chosen.clone()
    kept[indices] = False
    log.info("%s images left out by dataset.exclude=%s", f"{len(indices):,}", table)
    return kept, int((chosen & ~kept).sum())


@functools.lru_cache(maxsize=2)  # a sweep's jobs share the images
def _known_hashes(images: InMemoryImages) -> dict[int, str]:
    return {}
