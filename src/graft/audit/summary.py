"""The account of an audit: its findings, its sheets, and the summary that is printed."""

import logging
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from graft.audit.copies import Pair
from graft.audit.finding import KINDS, Finding
from graft.audit.inventory import Inventory
from graft.audit.sheets import Tile, draw_sheet
from graft.audit.suspects import INSTALL, Judged
from graft.audit.vectors import Vectors
from graft.nouns import counted, few
from graft.reading.class_folders import audit_name
from graft.reading.layout import FoundFile
from graft.reading.shortcuts import Telling, in_words

log = logging.getLogger("graft")

WORST = 3  # findings that a line of the summary names
CONFUSED = 10  # pairs of classes that are rows of audit.csv
FEW = 5  # images
TRUSTED = 0.5  # accuracy, between chance and 1, below which a classifier is a poor judge of labels


class Account:
    """Takes findings and says them.

    Args:
        inventory: the audited images.
        folder: for the sheets.
        most: pictures on a sheet.
    """

    def __init__(self, inventory: Inventory, folder: Path, most: int):
        self.images, self.folder, self.most = inventory, folder, most
        self.said: dict[str, str] = {}
        self.rows: list[Finding] = []
        self.sheets: list[str] = []

    def findings(self) -> list[Finding]:
        """Return all findings in the order of their kinds."""
        return sorted(self.rows, key=lambda row: KINDS.index(row.finding))

    def files(self, ignored: Sequence[FoundFile], reasons: dict[int, str]) -> None:
        """Take the files that are ignored, and the images that cannot be decoded, by place, with the reasons."""
        self.said |= self.images.lines(ignored)
        root = getattr(self.images.images, "folder", None)
        for file in ignored:
            assert root is not None
            kind = "unreadable" if self.images.is_unreadable(file) else "ignored"
            name = audit_name(root.root, file.path)
            self.rows.append(Finding(kind, name, file.class_name, file.part, detail=file.reason))
        self.rows += [self._row("unreadable", place, detail=reason) for place, reason in reasons.items()]
        if reasons:
            self.said["unreadable"] = f"{len(reasons):,} cannot be decoded: {self._named(list(reasons))}"

    def exact_copies(self, groups: Sequence[Sequence[int]]) -> None:
        """Take groups of places with equal contents."""
        pairs = [(group[0], other) for group in groups for other in group[1:]]
        rows = [self._pair("exact copy", other, first, 1.0) for first, other in pairs]
        self._add_copies("exact copies", rows)

    def near_copies(self, pairs: Sequence[Pair]) -> None:
        """Take pairs of near copies."""
        rows = [
            self._pair("near copy", *self._to_leave_out(pair), pair.similarity, *["altered"] * pair.altered)
            for pair in pairs
        ]
        rows = self._add_copies("near copies", rows)
        index = {name: place for place, name in enumerate(self.images.names)}
        tiles = [
            self._tile(index[name], self.images.splits[index[name]], detail)
            for row in rows[: self.most // 2]
            for name, detail in ((row.file, row.detail), (row.other, f"correlation {row.score:.3f}"))
        ]
        self._sheet("near_copies.png", f"Near copies, side by side: {len(rows):,} pairs", tiles, paired=True)

    def _add_copies(self, what: str, rows: list[Finding]) -> list[Finding]:
        """Take rows of copies, across splits first; return them in this order."""

        def weight(row: Finding) -> tuple:
            return "across" not in row.detail, "two classes" not in row.detail, -(row.score or 0)

        rows = sorted(rows, key=weight)
        self.rows += rows
        across, classes = (sum(word in row.detail for row in rows) for word in ("across", "two classes"))
        self.said[what] = f"{len(rows):,}"
        if rows:
            self.said[what] += f", {across:,} of them across splits, {classes:,} of two classes: "
            self.said[what] += few([f"{row.file} = {row.other}" for row in rows], WORST)
        return rows

    def blank(self, places: np.ndarray) -> None:
        """Take the places of images of one gray value."""
        self.rows += [self._row("blank", int(place), detail="one gray value") for place in places]
        if len(places):
            self.said["blank"] = f"{len(places):,} show one gray value: {self._named(places.tolist())}"

    def labels(
        self, vectors: Vectors, places: np.ndarray, judged: Judged | None, found: tuple[np.ndarray, np.ndarray] | None
    ) -> None:
        """Take the labels that are suspect.

        Args:
            vectors: what they were judged by.
            places: of the images that have vectors.
            judged: what classifiers say of some of them; None: there is too little to learn from.
            found: the suspects among these and their scores, worst first; None: cleanlab is not installed.
        """
        if judged is None:
            self.said["labels"] = "not judged: that takes two classes, with two different images, or groups, of each"
            return
        self.said["labels"] = _judged_words(vectors, judged, len(self.images.labels))
        self._confused(judged)
        if found is None:
            self.said["labels"] = f"suspects need {INSTALL}; {self.said['labels']}"
            return
        classes, rows, tiles = self.images.classes, [], []
        for which, score in zip(*found, strict=True):
            place, likely = int(places[judged.places[which]]), judged.probabilities[which]
            first, second = (int(label) for label in likely.argsort()[::-1][:2])
            detail = f"{classes[first]} {100 * likely[first]:.0f} %, {classes[second]} {100 * likely[second]:.0f} %"
            rows.append(self._row("label suspect", place, classes[first], float(score), detail))
            tiles.append(self._tile(place, f"label {rows[-1].class_name}", detail))
        self.rows += rows
        self.said["labels"] = f"{counted(len(rows), 'suspect')}; {self.said['labels']}"
        if rows:
            self.said["  worst"] = few([f"{row.file} ({row.other}?)" for row in rows], WORST)
        self._sheet("suspects.png", f"Label suspects, worst first: {len(rows):,}", tiles[: self.most])

    def _confused(self, judged: Judged) -> None:
        classes = self.images.classes
        pairs = judged.confusions()[:CONFUSED]
        for label, other, count, share in pairs:
            detail = f"{count:,} of {classes[label]} are taken for {classes[other]}"
            self.rows.append(Finding("confusion", "", classes[label], "", classes[other], share, detail))
        if pairs:
            self.said["confused"] = ", ".join(
                f"{classes[label]} for {classes[other]} {100 * share:.0f} %" for label, other, _, share in pairs[:WORST]
            )

    def outliers(self, vectors: Vectors, found: Sequence[tuple[int, float]]) -> None:
        """Take the places of images far from all others, with their scores."""
        for place, score in found:
            self.rows.append(self._row("outlier", place, score=score, detail=f"{score:.1f} deviations from the median"))
        places = [place for place, _ in found]
        self.said["outliers"] = f"{len(found):,} by {vectors.origin}" + (f": {self._named(places)}" if places else "")
        tiles = [self._tile(place, f"{score:.1f} deviations") for place, score in found[: self.most]]
        self._sheet("outliers.png", f"Outliers, farthest first: {len(found):,}", tiles)

    def control(self, told: Sequence[Telling]) -> None:
        """Take how well trivial facts tell the classes apart."""
        number = len(np.unique(self.images.labels))
        words = [in_words(each, self.images.classes, number) for each in told]
        for each, line in zip(told, words, strict=True):
            if each.above_chance or each.shortcut is not None:
                kind = "shortcut" if each.shortcut is not None else "above chance, no shortcut"
                self.rows.append(Finding("shortcut", other=each.fact, score=each.accuracy, detail=f"{kind}: {line}"))
        shortcuts = [line for each, line in zip(told, words, strict=True) if each.shortcut is not None]
        self.said["shortcuts"] = "; ".join(shortcuts) or f"none; {words[0]}"

    def show(self) -> None:
        """Print the summary and where the files are."""
        width = max(map(len, self.said)) + 2
        for what, words in self.said.items():
            log.info("%s%s", what.ljust(width), words)
        counts = Counter(row.finding for row in self.rows)
        table = self.folder / "audit.csv"
        log.info("%s%s findings in %s%s", "written".ljust(width), f"{sum(counts.values()):,}", table,
                 "".join(f", {sheet}" for sheet in self.sheets))  # fmt: skip
        log.info(
            "to leave images out, mark their rows with x in the column exclude, and train with %s",
            shlex.quote(f"dataset.exclude={table}"),
        )

    def _row(self, kind: str, place: int, other: str = "", score: float | None = None, detail: str = "") -> Finding:
        found = self.images
        label = found.classes[found.labels[place]]
        return Finding(kind, found.names[place], label, found.splits[place], other, score, detail, found.hashes[place])

    def _pair(self, kind: str, place: int, other: int, score: float, *more: str) -> Finding:
        found = self.images
        splits = [found.splits[each] for each in (other, place)]
        labels = [found.classes[found.labels[each]] for each in (other, place)]
        parts = [f"across {' and '.join(sorted(splits))}"] if splits[0] != splits[1] else []
        parts += [f"two classes, {' and '.join(labels)}"] if labels[0] != labels[1] else []
        detail = "; ".join([*(parts or ["same class and split"]), *more])
        return self._row(kind, place, found.names[other], score, detail)

    def _to_leave_out(self, pair: Pair) -> tuple[int, int]:
        """Return a pair, the image first that is rather left out: of training, before test, and the smaller."""
        kinds, splits = self.images.kinds(), self.images.splits

        def weight(place: int) -> tuple:
            return splits[place] == "test", kinds[place][-1] * kinds[place][-2], -place

        first, second = sorted(pair[:2], key=weight)
        return first, second

    def _named(self, places: Sequence[int]) -> str:
        return few([self.images.names[place] for place in places], WORST)

    def _tile(self, place: int, *lines: str) -> Tile:
        return Tile(int(self.images.indices[place]), (self.images.names[place], *lines))

    def _sheet(self, name: str, title: str, tiles: Sequence[Tile], paired: bool = False) -> None:
        path = self.folder / name
        path.unlink(missing_ok=True)  # an earlier audit's
        if tiles:
            draw_sheet(path, title, self.images.images, tiles, paired)
            self.sheets.append(name)


def _judged_words(vectors: Vectors, judged: Judged, num_images: int) -> str:
    """Return in words how labels were judged, and whether the judge is to be trusted."""
    words = f"of {len(judged.places):,} labels"
    words += f", {100 * judged.accuracy:.1f} % are found from other images by {vectors.origin} (mean of the classes)"
    chance = 1 / len(np.unique(judged.labels))
    if (judged.accuracy - chance) / (1 - chance) < TRUSTED:
        words += ": too few to trust the suspects"
        words += "" if vectors.learned else "; try backbone=efficientnet_lite0 source=imagenet"
    if len(judged.places) < num_images:
        words += (
            f"; {num_images - len(judged.places):,} images are not judged: unreadable, or their class has no other "
        )
        words += "image, or group"
    few = [label for label, count in Counter(judged.labels.tolist()).items() if count < FEW]
    if few:
        words += f"; {len(few):,} classes have fewer than {FEW} images to learn from"
    return words
