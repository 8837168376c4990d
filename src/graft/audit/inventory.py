"""The inventory of a data set: its images' classes, splits, sizes, formats and modes, and files that are ignored."""

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from PIL import Image

from graft.data.dataset import Dataset, ImageFolder
from graft.data.images import ImageFiles
from graft.data.listing import names
from graft.nouns import counted, few
from graft.reading.counts import reasons
from graft.reading.decode import header
from graft.reading.layout import FoundFile, read_layout
from graft.reading.pictures import is_picture

MISSING = "missing"  # the reason of a table's row whose file does not exist
MOST = 4  # kinds that a line names
MOST_DOMAINS = 8
BITS = {"1": "1 bit", "I;16": "16 bits", "I;16B": "16 bits", "I": "32 bits", "F": "32 bits, floating-point"}


class Inventory:
    """The audited images of a data set: those of the chosen classes that `dataset.exclude` does not leave out.

    Args:
        data: the data set.

    Attributes:
        indices: of the images, sorted, (images,).
        labels: their labels, (images,).
        names: as images.csv has them.
        hashes: digests of their contents.
        used: whether training uses each; it leaves out files that are equal to others.
        splits: `train`, `val`, `test` or `big` of each.
        classes: the names of the labels.
    """

    def __init__(self, data: Dataset):
        images = self.images = data.images
        self.data = data
        self.indices = torch.nonzero(data.chosen).flatten()
        self.labels = images.labels[self.indices].numpy()
        places = self.indices.tolist()
        self.names, self.hashes = names(images, places), [images.digests[place] for place in places]
        self.classes = images.classes
        self.used = data.kept[self.indices].tolist()
        self.splits = self._splits()

    def _splits(self) -> list[str]:
        data, images = self.data, self.images
        tested = images.test.clone()
        if data.folds is None:
            tested[data.test] = True
        big = data.choice.of_big
        split = torch.where(tested, 2, torch.where(images.val, 1, torch.where(big, 3, 0)))
        splits = [("train", "val", "test", "big")[each] for each in split[self.indices].tolist()]
        if images.test.any() or images.val.any():
            return splits
        # Training leaves out a copy, so that it is in no split; it is said to be where the image that it equals is.
        found = list(zip(self.hashes, splits, self.used, strict=True))
        used = {digest: name for digest, name, use in found if use}
        return [name if use else used.get(digest, name) for digest, name, use in found]

    def kinds(self) -> list[tuple]:
        """Return each image's suffix, height and width; those of images in memory are equal."""
        if not isinstance(self.images, ImageFiles):
            return [self.images.shape] * len(self.indices)
        files = [self.images.folder.files[index] for index in self.indices.tolist()]
        return [(each.path.suffix.lower(), each.header.height, each.header.width) for each in files]

    def ignored(self) -> list[FoundFile]:
        """Return the files of class folders, and of a table's rows, that are no images of the data set, and why."""
        if not isinstance(self.images, ImageFiles):
            return []
        files, used = self.images.folder.skipped, set(self.images.folder.paths)
        if isinstance(self.data, ImageFolder):
            files = [file for file in read_layout(self.images.folder.root).files if file.path not in used]
        failed = ("", "unreadable")  # pictures by their names, and rows of tables: why is in the file
        return [file._replace(reason=_unreadable(file.path)) if file.reason in failed else file for file in files]

    def is_unreadable(self, file: FoundFile) -> bool:
        """Return whether an ignored file should have been an image: each row of a table should."""
        return bool(file.class_name) and (not isinstance(self.data, ImageFolder) or is_picture(file.path))

    def lines(self, ignored: Sequence[FoundFile]) -> dict[str, str]:
        """Return the inventory in words."""
        counts = Counter(self.labels.tolist())
        in_order = [f"{self.classes[label]} {counts[label]:,}" for label in sorted(counts)]
        splits = Counter(itertools.compress(self.splits, self.used))
        images = f"{len(self.indices):,}"
        if left_out := self._left_out():
            images += f" of {len(self.images.labels):,} ({left_out})"
        if self.data.drops_duplicates and (equal := sum(self.data.duplicates.values())):
            images += f", of which train.py leaves out {equal:,} that are equal to others"
        if again := len(self.names) - len(set(self.names)):
            images += f"; a file that an earlier row of the table names: {counted(again, 'row')}"
        said = {
            "images": images,
            "classes": f"{len(counts)}: {few(in_order, 12)}",
            "splits": ", ".join(f"{name} {splits[name]:,}" for name in ("train", "val", "test", "big") if splits[name]),
        }
        if self.images.domains:
            said["domains"] = self._domains()
        if ignored:
            said["ignored"] = reasons(
                "unreadable" if self.is_unreadable(file) and file.reason != MISSING else file.reason for file in ignored
            )
        return said | self._pictures()

    def _left_out(self) -> str:
        excluded = self.data.num_excluded
        others = len(self.images.labels) - len(self.indices) - excluded
        parts = [f"{excluded:,} left out by dataset.exclude"] * bool(excluded)
        kind = "classes or domains" if self.images.domains else "classes"
        return ", ".join([*parts, *[f"{others:,} of {kind} that are not chosen"] * bool(others)])

    def _domains(self) -> str:
        """Return the domains in words, with their classes: mono 1,074 (cell 588, defect 486)."""
        labels = zip((self.images.domains[index] for index in self.indices.tolist()), self.labels.tolist(), strict=True)
        counts: dict[str, Counter[int]] = {}
        for domain, label in labels:
            counts.setdefault(domain, Counter())[label] += 1
        words = []
        for domain, of in sorted(counts.items()):
            classes = few([f"{self.classes[label]} {of[label]:,}" for label in sorted(of)], MOST)
            words.append(f"{domain} {of.total():,} ({classes})")
        return few(words, MOST_DOMAINS)

    def _pictures(self) -> dict[str, str]:
        """Return the sizes and formats in words."""
        if not isinstance(self.images, ImageFiles):
            channels, height, width = self.images.shape
            return {"pictures": f"{width}x{height} pixels, {'RGB' if channels == 3 else 'gray'}, in memory"}
        files = [self.images.folder.files[index] for index in self.indices.tolist()]
        sizes = Counter((file.header.width, file.header.height) for file in files)
        shown = [f"{width}x{height} {count:,}" for (width, height), count in sizes.most_common(MOST)]
        smallest, largest = (pick(sizes, key=lambda size: size[0] * size[1]) for pick in (min, max))
        if len(sizes) > MOST:
            shown = [f"{len(sizes):,} sizes, {'x'.join(map(str, smallest))} to {'x'.join(map(str, largest))}", *shown]
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            formats = Counter(threads.map(_format, [file.path for file in files]))
        total = sum(file.num_bytes for file in files)
        return {
            "pixels": few(shown, MOST + 1),
            "formats": few([f"{name} {count:,}" for name, count in formats.most_common()], MOST + 2),
            "bytes": f"{total / 1e6:,.1f} MB",
        }


def _format(path: Path) -> str:
    """Return a file's format, mode and bits a channel: JPEG RGB."""
    try:
        with path.open("rb") as file, Image.open(file) as image:
            bits = BITS.get(image.mode, "8 bits")
            return f"{image.format} {image.mode}, {bits}:"
    except Exception:  # Pillow's exceptions for broken files depend on the format
        return "unreadable"


def _unreadable(path: Path) -> str:
    found = header(path)
    return found if isinstance(found, str) else "unreadable"
