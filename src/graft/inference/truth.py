"""What predictions are worth where the true classes are known: the accuracy with its interval, and the confusions."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas

from graft.analysis.calibration_error import calibration_error
from graft.analysis.confusions import Confusions
from graft.content import digest
from graft.inference.calibration import SMALLEST
from graft.inference.conformal import parted
from graft.inference.image_list import Item
from graft.inference.predict import Row
from graft.inference.trained_model import TrainedModel
from graft.job_folder import IMAGES, read_result
from graft.nouns import counted
from graft.statistics.intervals import share_interval

MOST = 10  # confusions that are printed


class Predicted(NamedTuple):
    """An image of one of the model's classes.

    Attributes:
        item: the image, with its true class.
        row: what the model says of it.
        content: digest of its bytes.
        seen: whether it was a training image.
    """

    item: Item
    row: Row
    content: str
    seen: bool

    @property
    def right(self) -> bool:
        """Whether the predicted class is the true one."""
        return self.item.truth == self.row.class_name


@dataclass
class Truth:
    """Predictions beside the true classes.

    Attributes:
        classes: the model's.
        trained_on: hashes of the images that any trial was trained on; None: not known.
        pixel_hash: returns another hash of a file, of its pixels, for images that were no files; None: they were.
        group: the column that has the images' groups, which intervals count; None: they count images.
        of_groups: whether the job's own images have groups.
        images: those of the model's classes, in their order.
        others: number of images of other true classes, by class.
        unread: number of images that cannot be read.
        novel: for images of the model's classes, and for others, how many are novel and how many are not.
    """

    classes: list[str]
    trained_on: frozenset[str] | None = frozenset()
    pixel_hash: Callable[[Path], str] | None = None
    group: str | None = None
    of_groups: bool = False
    images: list[Predicted] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    unread: int = 0
    novel: dict[bool, Counter[bool]] = field(default_factory=lambda: {True: Counter(), False: Counter()})

    def add(self, item: Item, row: Row) -> None:
        """Count an image."""
        truth = item.truth or ""
        if row.error:
            self.unread += 1
        elif truth not in self.classes:
            self.others[truth] += 1
        else:
            self.images.append(self._predicted(item, row))
        if row.novel is not None:
            self.novel[truth in self.classes][row.novel] += 1

    def _predicted(self, item: Item, row: Row) -> Predicted:
        by_pixels, known = self.pixel_hash, self.trained_on
        try:
            content = digest(item.path)
        except OSError:  # it was removed after it had been read
            content = f"\0{len(self.images)}"
        seen = bool(known) and (content in known or (by_pixels is not None and by_pixels(item.path) in known))
        return Predicted(item, row, content, seen)

    @property
    def seen(self) -> int:
        """Number of images that were training images."""
        return sum(each.seen for each in self.images)

    @property
    def counts(self) -> Confusions:
        """The images by true and predicted class."""
        return Confusions((str(each.item.truth), each.row.class_name) for each in self.images)

    def lines(self) -> list[str]:
        """Return the accuracy and the confusions in words."""
        total, right = len(self.images), [each.right for each in self.images]
        left_out = [f"{counted(self.unread, 'image')} that cannot be read"] if self.unread else []
        if self.others:
            named = ", ".join(f"{name or 'without a class'} {count:,}" for name, count in self.others.most_common(MOST))
            left_out.append(
                f"{counted(self.others.total(), 'image')} of classes that the model does not know ({named})"
            )
        lines = [f"not counted  {each}" for each in left_out]
        if not total:
            lines.append("accuracy     of no image: none has a true class that the model knows")
            return [*lines, *self._certainty()]
        of_what = "images of their kind (95 %, Wilson, images taken as independent)"
        if self.group is not None:
            groups = [each.item.group for each in self.images]
            named = counted(len({*groups} - {""}), "group")
            alone = f" and {counted(groups.count(''), 'image')} without one, each by itself" if "" in groups else ""
            of_what = f"groups of images (95 %; {named} of the column {self.group}{alone})"
        lines.append(
            f"accuracy     {100 * sum(right) / total:.1f} % ({sum(right):,} of {total:,}), {self._interval(right)} "
            f"for other {of_what}, of this model as it is"
        )
        lines += [f"             {each}" for each in self._doubts()]
        return [*lines, *self._certainty(), *self._confusions()]

    def _doubts(self) -> list[str]:
        """Return what makes the accuracy or its interval another one than it seems."""
        doubts = []
        if self.group is None and self.of_groups:
            doubts.append(
                "too narrow if several images are of one group: the job's have groups, and these have none; try a "
                "table of images with group=COLUMN"
            )
        truths: dict[str, set[str | None]] = defaultdict(set)
        for each in self.images:
            truths[each.content].add(each.item.truth)
        copies = len(self.images) - len(truths)
        if self.group is None and copies:
            doubts.append(f"too narrow: {copies:,} of these images are copies of others, byte for byte")
        several = sum(len(truths[each.content]) > 1 for each in self.images)
        if several:
            doubts.append(
                f"{several:,} of these images are there with another true class, too, byte for byte: a label is wrong"
            )
        if self.seen:
            doubts.append(f"too high: {self.seen:,} of these images were training images of the job")
        if self.trained_on is None:
            doubts.append(f"not known, as the job has no {IMAGES}: whether these were its training images")
        doubtful = [each.item for each in self.images if each.item.other]
        if doubtful:
            name, _, truth, _, other = doubtful[0]
            example = f"{name}, which counts as {truth}, not as {other}"
            doubts.append(f"{counted(len(doubtful), 'image')} in folders of two classes' names, such as {example}")
        return doubts

    def _certainty(self) -> list[str]:
        """Return the calibration of the probabilities, the coverage of the sets, and how many images are novel."""
        lines, rows = [], [each.row for each in self.images]
        if rows and rows[0].of_truth is not None:
            confidence, right = np.array([row.probability for row in rows]), [each.right for each in self.images]
            error = 100 * calibration_error(confidence, np.array(right))
            loss = -np.log(np.maximum([row.of_truth or 0.0 for row in rows], SMALLEST)).mean()
            lines.append(f"calibration  log loss {loss:.3f}, expected calibration error {error:.1f} %")
        if rows and rows[0].classes:
            sets = [parted(row.classes) for row in rows]
            covered = [each.item.truth in names for each, names in zip(self.images, sets, strict=True)]
            mean = np.mean([len(names) for names in sets])
            lines.append(
                f"coverage     {100 * sum(covered) / len(sets):.1f} % of the sets have the true class (95 %: "
                f"{self._interval(covered)}), {mean:.2f} classes on average"
            )
        for known, counts in self.novel.items():
            if total := counts.total():
                kind = "the model's classes" if known else "other classes"
                lines.append(f"novel        {100 * counts[True] / total:.1f} % of {counted(total, 'image')} of {kind}")
        return lines

    def _interval(self, values: Sequence[bool]) -> str:
        """Return the 95 % interval of the share of images with a property, in words; it counts groups if there are."""
        groups = None
        if self.group is not None:  # an image without a group is one of its own
            groups = np.array([each.item.group or f"\0{place}" for place, each in enumerate(self.images)])
        ends = share_interval(np.array(values), groups)
        return "no interval" if ends is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f} %"

    def _confusions(self) -> list[str]:
        """Return the most frequent confusions, the number of images and the share of the true class."""
        wrong = self.counts.wrong()
        shown = [f"{truth} taken for {said}: {count:,} of {total:,}" for truth, said, count, total in wrong[:MOST]]
        more = f"and {counted(len(wrong) - MOST, 'other pair')}" if len(wrong) > MOST else ""
        return [f"confusions   {line}" for line in [*shown, *([more] if more else [])]] or ["confusions   none"]


def trained_on(folder: Path) -> frozenset[str] | None:
    """Return the hashes of the images that trials of a job were trained on; None if it has no list of its images."""
    try:
        table = pandas.read_csv(folder / IMAGES, dtype=str, keep_default_na=False)
        return frozenset(table.loc[table["draws"] != "0", "hash"])
    except (OSError, ValueError, KeyError):
        return None


def of_groups(folder: Path) -> bool:
    """Return whether a job's images have groups, such as patients, which its own intervals count."""
    return bool(((read_result(folder) or {}).get("images") or {}).get("groups"))


def pixel_hash(model: TrainedModel) -> Callable[[Path], str] | None:
    """Return what gives files the hashes that a job of images in memory has stored; None: its images were files."""
    images = (read_result(model.folder) or {}).get("images") or {}
    if "found" in images:  # files, of whichever data set
        return None

    def hashed(path: Path) -> str:
        pixels = model.read(path)
        return pixels if isinstance(pixels, str) else hashlib.sha256(pixels.numpy().tobytes()).hexdigest()[:32]

    return hashed
