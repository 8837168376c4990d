"""The images of a data set by name and by content: hashes, equal files, images left out, the account of all files."""

import functools
import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from graft.data.images import ImageFiles, Images, InMemoryImages
from graft.errors import GraftError
from graft.excluded import marked, marked_unreadable
from graft.nouns import few
from graft.reading.class_folders import Folder
from graft.reading.layout import PARTS, named
from graft.reading.pictures import shown

log = logging.getLogger("graft")

MAX_PAIRS = 5  # equal files that a message names
KINDS = {  # of files with equal bytes, in words
    "other_part": "equal to one of the same class in an earlier part",
    "same_part": "equal to another one of the same class and part",
    "two_classes": "equal to one of another class, so that a label must be wrong",
}
MAX_NAMED = 5  # images that an error names


def names(images: Images, indices: Sequence[int]) -> list[str]:
    """Return files' paths relative to their root, or in-memory images' places in their part.

    `test/17` is image 17 of torchvision's test set, counted from 0; without parts it is `17`.
    """
    if isinstance(images, ImageFiles):
        return [shown(images.folder.names[index]) for index in indices]
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
    places: dict[str, list[int]] = defaultdict(list)  # of a file that several rows of a table name, all
    for index, name in enumerate(names(images, range(len(images.labels)))):
        places[name].append(index)
    absent = marked_unreadable(table) | set(images.folder.left_out if isinstance(images, ImageFiles) else ())
    unknown = [name for name in marks if name not in places and name not in absent]
    if unknown:
        raise GraftError(
            f"dataset.exclude={table} marks {len(unknown):,} of {len(marks):,} names that the data set does not have: "
            f"{', '.join(unknown[:MAX_NAMED])}; unmark them, or try the table of an audit of this data set"
        )
    found = [(name, index) for name in marks for index in places.get(name, ())]
    indices = [index for _, index in found]
    known = zip(found, hashes(images, indices), strict=True)
    changed = list(dict.fromkeys(name for (name, _), digest in known if marks[name] not in ("", digest)))
    if changed:
        raise GraftError(
            f"dataset.exclude={table} marks {len(changed):,} images whose contents are others than in the audit: "
            f"{', '.join(changed[:MAX_NAMED])}; run the audit again, or empty its column hash if they are meant"
        )
    kept = chosen.clone()
    kept[indices] = False
    log.info("%s images left out by dataset.exclude=%s", f"{len(indices):,}", table)
    return kept, int((chosen & ~kept).sum())


def num_marked(images: Images, readable: int | None) -> int | None:
    """Return how many files `dataset.exclude` leaves out, with those that cannot be read or do not exist.

    Args:
        images: the data set.
        readable: how many of its chosen images are left out; None: there is no table.
    """
    left_out = images.folder.left_out if isinstance(images, ImageFiles) else ()
    return None if readable is None else readable + len(left_out)


@functools.lru_cache(maxsize=2)  # a sweep's jobs share the images
def _known_hashes(images: InMemoryImages) -> dict[int, str]:
    return {}


def warn_of_equal(images: InMemoryImages) -> None:
    """Warn of images in memory with equal pixels that no group keeps together: nothing leaves them out, as of files."""
    everything = range(len(images.labels))
    groups, labels = images.groups or everything, images.labels.tolist()
    firsts: dict[str, int] = {}
    found = [(firsts.setdefault(digest, index), index) for index, digest in enumerate(hashes(images, everything))]
    pairs = [(first, other) for first, other in found if groups[first] != groups[other]]
    if not pairs:
        return
    named_pairs = [" = ".join(names(images, [*pair[::-1]])) for pair in pairs[:MAX_PAIRS]]
    several = sum(labels[first] != labels[other] for first, other in pairs)
    classes = f", {several:,} of them to one of another class, so that a label must be wrong" if several else ""
    log.warning(
        "%s images are equal to an earlier one%s (%s): where one is trained on and the other one tested, the accuracy "
        "is too high; leave them out, or give equal images one group",
        f"{len(pairs):,}",
        classes,
        few(named_pairs, MAX_PAIRS, len(pairs)),
    )


def find_duplicates(images: ImageFiles, chosen: torch.Tensor, drop: bool) -> dict[str, torch.Tensor]:
    """Find files with equal bytes, name them in warnings, and return a mask for each kind, (images,).

    Of equal files in one class the first is no duplicate: parts come in the order training, validation, test.

    Args:
        images: the data set.
        chosen: mask of the images in the big and the small split.
        drop: whether they will be left out, which the warnings say.
    """
    groups = defaultdict(list)
    for index in torch.nonzero(chosen).flatten().tolist():
        groups[images.folder.digests[index]].append(index)
    masks = {kind: torch.zeros_like(chosen) for kind in KINDS}
    pairs: dict[str, list[tuple[int, int]]] = {kind: [] for kind in KINDS}
    for first, *others in (group for group in groups.values() if len(group) > 1):
        two_classes = len({int(images.labels[index]) for index in (first, *others)}) > 1
        masks["two_classes"][first] = two_classes
        for other in others:
            same_part = images.folder.files[other].part == images.folder.files[first].part
            kind = "two_classes" if two_classes else "same_part" if same_part else "other_part"
            masks[kind][other] = True
            pairs[kind].append((first, other))
    if drop:
        fate = "left out; dataset.duplicates=keep uses them"
    else:
        fate = (
            "used, because of dataset.duplicates=keep: where one is trained on and another tested, accuracy is too high"
        )
    for kind, mask in masks.items():
        if pairs[kind]:
            equations = _equations(images.folder, pairs[kind])
            log.warning("files %s: %d (%s): %s", KINDS[kind], int(mask.sum()), equations, fate)
    return masks


def keep_images(images: Images, chosen: torch.Tensor, drop: bool) -> tuple[torch.Tensor, dict[str, int]]:
    """Return a mask of the chosen images that are used, and the number of equal files of each kind.

    Args:
        images: the data set.
        chosen: mask of the images in the big and the small split.
        drop: whether equal files are left out.
    """
    if not isinstance(images, ImageFiles):
        return chosen, {}
    masks = find_duplicates(images, chosen, drop)
    kept = chosen & ~torch.stack(list(masks.values())).any(0) if drop else chosen
    return kept, {kind: int(mask.sum()) for kind, mask in masks.items()}


def account(
    images: ImageFiles, duplicates: dict[str, int], drop: bool, used: int, not_tested: int = 0, excluded: int = 0
) -> dict[str, Any]:
    """Return how many files were found, used, and ignored for which reason; `used + sum(ignored) = found`.

    Args:
        images: the data set.
        duplicates: number of equal files of each kind, which are counted even if they are used.
        drop: whether they are left out.
        used: number of the files in a split.
        not_tested: number of test images that are in none, because trials test folds of the others.
        excluded: number of chosen images that `dataset.exclude` leaves out.
    """
    ignored, num_images = images.folder.ignored, len(images.labels)
    dropped = duplicates if drop else dict.fromkeys(duplicates, 0)
    further = {
        "equal to another file": dropped["other_part"] + dropped["same_part"],
        "under two classes": dropped["two_classes"],
        "test images, which dataset.folds does not use": not_tested,
        "left out by dataset.exclude": excluded,
        "not chosen": num_images - used - not_tested - excluded - sum(dropped.values()),
    }
    return {
        "found": num_images + sum(ignored.values()),
        "used": used,
        "ignored": ignored | {reason: count for reason, count in further.items() if count},
        "duplicates": duplicates,
    }


def _equations(folder: Folder, pairs: Sequence[tuple[int, int]]) -> str:
    """Return the names of some equal files: test/cat/3.png = train/cat/1.png, and 7 more."""
    first = [
        " = ".join(named(folder.root, [folder.paths[index]]) for index in pair[::-1]) for pair in pairs[:MAX_PAIRS]
    ]
    return few(first, MAX_PAIRS, len(pairs))
