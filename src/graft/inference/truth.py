"""What predictions are worth where the true classes are known: the accuracy with its interval, and the confusions."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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


@dataclass
class Truth:
    """Predictions counted by true class.

    Attributes:
        classes: the model's.
        trained_on: hashes of the images that any trial was trained on; None: not known.
        pixel_hash: returns another hash of a file, of its pixels, for images that were no files; None: they were.
        group: the column that has the images' groups, which intervals count; None: they count images.
        of_groups: whether the job's own images have groups.
        counts: images by true and predicted class.
        others: images of other true classes than the model's, by class.
        unread: images that cannot be read.
        seen: images that were training images.
        contents: how many images have each digest.
        truths: the true classes of the images with each digest.
        doubtful: how many images are in folders of two classes' names.
        example: such an image, in words.
        right: of each image whose true class is known, in order: whether it is the predicted one.
        groups: of these images; one without a group is one of its own.
        believed: of each image whose true class is known: its probability, that of the predicted class, and whether
            the two are the same.
        set_sizes: numbers of classes in these images' sets.
        covered: whether each of these sets has the true class.
        novel: for images of the model's classes, and for others, how many are novel and how many are not.
    """

    classes: list[str]
    trained_on: frozenset[str] | None = frozenset()
    pixel_hash: Callable[[Path], str] | None = None
    group: str | None = None
    of_groups: bool = False
    counts: Confusions = field(default_factory=Confusions)
    others: Counter[str] = field(default_factory=Counter)
    unread: int = 0
    seen: int = 0
    contents: Counter[str] = field(default_factory=Counter)
    truths: dict[str, set[str]] = field(default_factory=dict)
    doubtful: int = 0
    example: str = ""
    right: list[bool] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    believed: list[tuple[float, float, bool]] = field(default_factory=list)
    set_sizes: list[int] = field(default_factory=list)
    covered: list[bool] = field(default_factory=list)
    novel: dict[bool, Counter[bool]] = field(default_factory=lambda: {True: Counter(), False: Counter()})

    def add(self, item: Item, row: Row) -> None:
        """Count an image."""
        truth = item.truth or ""
        if row.error:
            self.unread += 1
        elif truth not in self.classes:
            self.others[truth] += 1
        else:
            self.counts[truth, row.class_name] += 1
            self.right.append(truth == row.class_name)
            self.groups.append(item.group or f"\0{len(self.groups)}")
            self._add_content(item.path, truth)
            self._add_certainty(truth, row)
            if item.other:
                self.doubtful += 1
                self.example = self.example or f"{item.name}, which counts as {truth}, not as {item.other}"
        if row.novel is not None:
            self.novel[truth in self.classes][row.novel] += 1

    def _add_content(self, path: Path, truth: str) -> None:
        """Count an image by its bytes, with its true class, and whether it was a training image."""
        by_pixels, known = self.pixel_hash, self.trained_on
        try:
            content = digest(path)
        except OSError:  # it was removed after it had been read
            content = f"\0{len(self.right)}"
        self.contents[content] += 1
        self.truths.setdefault(content, set()).add(truth)
        if known:
            self.seen += content in known or (by_pixels is not None and by_pixels(path) in known)

    def _add_certainty(self, truth: str, row: Row) -> None:
        """Count what a prediction says of its own worth."""
        if row.of_truth is not None and row.probability is not None:
            self.believed.append((row.of_truth, row.probability, truth == row.class_name))
        if row.classes:
            names = parted(row.classes)
            self.set_sizes.append(len(names))
            self.covered.append(truth in names)

    def lines(self) -> list[str]:
        """Return the accuracy and the confusions in words."""
        total = self.counts.total()
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
        right = self.counts.right
        of_what = "images of their kind (95 %, Wilson, images taken as independent)"
        if self.group is not None:
            named = counted(len({*self.groups}) - self._alone, "group")
            alone = f" and {counted(self._alone, 'image')} without one, each by itself" if self._alone else ""
            of_what = f"groups of images (95 %; {named} of the column {self.group}{alone})"
        lines.append(
            f"accuracy     {100 * right / total:.1f} % ({right:,} of {total:,}), {self._interval(self.right)} "
            f"for other {of_what}, of this model as it is"
        )
        lines += [f"             {each}" for each in self._doubts()]
        return [*lines, *self._certainty(), *self._confusions()]

    @property
    def _alone(self) -> int:
        """How many images have no group."""
        return sum(group.startswith("\0") for group in self.groups)

    def _doubts(self) -> list[str]:
        """Return what makes the accuracy or its interval another one than it seems."""
        doubts = []
        if self.group is None and self.of_groups:
            doubts.append(
                "too narrow if several images are of one group: the job's have groups, and these have none; try a "
                "table of images with group=COLUMN"
            )
        copies = self.contents.total() - len(self.contents)
        if self.group is None and copies:
            doubts.append(f"too narrow: {copies:,} of these images are copies of others, byte for byte")
        several = sum(self.contents[content] for content, classes in self.truths.items() if len(classes) > 1)
        if several:
            doubts.append(
                f"{several:,} of these images are there with another true class, too, byte for byte: a label is wrong"
            )
        if self.seen:
            doubts.append(f"too high: {self.seen:,} of these images were training images of the job")
        if self.trained_on is None:
            doubts.append(f"not known, as the job has no {IMAGES}: whether these were its training images")
        if self.doubtful:
            doubts.append(f"{counted(self.doubtful, 'image')} in folders of two classes' names, such as {self.example}")
        return doubts

    def _certainty(self) -> list[str]:
        """Return the calibration of the probabilities, the coverage of the sets, and how many images are novel."""
        lines = []
        if self.believed:
            of_truth, confidence, correct = (np.array(values) for values in zip(*self.believed, strict=True))
            error = 100 * calibration_error(confidence, correct)
            loss = -np.log(np.maximum(of_truth, SMALLEST)).mean()
            lines.append(f"calibration  log loss {loss:.3f}, expected calibration error {error:.1f} %")
        if self.set_sizes:
            total, mean = len(self.set_sizes), np.mean(self.set_sizes)
            lines.append(
                f"coverage     {100 * sum(self.covered) / total:.1f} % of the sets have the true class (95 %: "
                f"{self._interval(self.covered)}), {mean:.2f} classes on average"
            )
        for known, counts in self.novel.items():
            if total := counts.total():
                kind = "the model's classes" if known else "other classes"
                lines.append(f"novel        {100 * counts[True] / total:.1f} % of {counted(total, 'image')} of {kind}")
        return lines

    def _interval(self, values: Sequence[bool]) -> str:
        """Return the 95 % interval of the share of images with a property, in words; it counts groups if there are."""
        ends = share_interval(np.array(values), None if self.group is None else np.array(self.groups))
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
