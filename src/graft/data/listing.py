"""The images of a data set by name and by content: equal files, images left out, the account of all files."""

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
from graft.reading.layout import PARTS
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


def keep_unmarked(images: Images, chosen: torch.Tensor, table: str | None) -> torch.Tensor:
    """Return a mask of the chosen images that a table of `dataset.exclude` does not mark.

    Args:
        images: the data set.
        chosen: mask of the images in the big and the small split, (images,).
        table: the table; None: no image is left out.

    Raises:
        GraftError: the table names no image of the data set, or one that has another content than it had.
    """
    if table is None:
        return chosen
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
    changed = list(dict.fromkeys(name for name, index in found if marks[name] not in ("", images.digests[index])))
    if changed:
        raise GraftError(
            f"dataset.exclude={table} marks {len(changed):,} images whose contents are others than in the audit: "
            f"{', '.join(changed[:MAX_NAMED])}; run the audit again, or empty its column hash if they are meant"
        )
    kept = chosen.clone()
    kept[[index for _, index in found]] = False
    log.info("%s images left out by dataset.exclude=%s", f"{len(found):,}", table)
    return kept


def warn_of_equal(images: InMemoryImages) -> None:
    """Warn of images in memory with equal pixels that no group keeps together: nothing leaves them out, as of files."""
    everything = range(len(images.labels))
    groups, labels = images.groups or everything, images.labels.tolist()
    firsts: dict[str, int] = {}
    found = [(firsts.setdefault(digest, index), index) for index, digest in enumerate(images.digests)]
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


def keep_images(images: Images, chosen: torch.Tensor, drop: bool) -> tuple[torch.Tensor, dict[str, int]]:
    """Return a mask of the chosen images that are used, and the number of equal files of each kind, named in warnings.

    Of equal files in one class the first is no duplicate: parts come in the order training, validation, test.

    Args:
        images: the data set.
        chosen: mask of the images in the big and the small split.
        drop: whether equal files are left out.
    """
    if not isinstance(images, ImageFiles):
        return chosen, {}
    equal = defaultdict(list)
    for index in torch.nonzero(chosen).flatten().tolist():
        equal[images.digests[index]].append(index)
    found: dict[str, list[int]] = {kind: [] for kind in KINDS}
    pairs: dict[str, list[tuple[int, int]]] = {kind: [] for kind in KINDS}
    for first, *others in (group for group in equal.values() if len(group) > 1):
        several = len(images.labels[[first, *others]].unique()) > 1
        found["two_classes"] += [first] * several
        for other in others:
            same_part = images.folder.files[other].part == images.folder.files[first].part
            kind = "two_classes" if several else "same_part" if same_part else "other_part"
            found[kind].append(other)
            pairs[kind].append((other, first))
    fate = "used, because of dataset.duplicates=keep: where one is trained on and another tested, accuracy is too high"
    if drop:
        fate = "left out; dataset.duplicates=keep uses them"
    for kind, files in found.items():
        if files:  # test/cat/3.png = train/cat/1.png, and 7 more
            named = [" = ".join(names(images, pair)) for pair in pairs[kind][:MAX_PAIRS]]
            equal_files = few(named, MAX_PAIRS, len(pairs[kind]))
            log.warning("files %s: %d (%s): %s", KINDS[kind], len(files), equal_files, fate)
    kept = chosen.clone()
    if drop:
        kept[[index for files in found.values() for index in files]] = False
    return kept, {kind: len(files) for kind, files in found.items()}


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
