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
FEATURES = "try backbone=efficientnet_lite0 source=imagenet"
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
        """Take groups of places with equal contents; a file that a table names again is no copy of itself."""
        names = self.images.names
        pairs = [Pair(each, group[0], 1.0) for group in groups for each in group[1:] if names[each] != names[group[0]]]
        self._copies("exact copy", pairs)

    def near_copies(self, pairs: Sequence[Pair]) -> None:
        """Take pairs of near copies."""
        pairs = self._copies("near copy", self._in_order(pairs))
        self._sheet_of_pairs("near_copies.png", "Near copies", pairs)

    def altered_copies(self, pairs: Sequence[Pair] | None) -> None:
        """Take pairs of altered copies, or of what looks like them; None: none were looked for."""
        found = self._copies("altered copy", self._in_order(pairs or ()))
        self._sheet_of_pairs("altered_copies.png", "Altered copies, or what looks like them", found)
        if pairs is None:
            self.said["altered copies"] = f"not looked for: that takes features; {FEATURES}"

    def _copies(self, kind: str, pairs: Sequence[Pair]) -> list[Pair]:
        """Take pairs of copies, the image first that is rather left out; return them in order, across splits first."""
        labels, splits, names = self.images.labels, self.images.splits, self.images.names

        def across(pair: Pair) -> bool:
            return splits[pair.first] != splits[pair.second]

        def of_two_classes(pair: Pair) -> bool:
            return bool(labels[pair.first] != labels[pair.second])

        pairs = sorted(pairs, key=lambda pair: (not across(pair), not of_two_classes(pair), -pair.similarity))
        self.rows += [
            self._row(kind, pair.first, names[pair.second], pair.similarity, self._detail(pair)) for pair in pairs
        ]
        what = f"{kind.removesuffix('y')}ies"
        self.said[what] = f"{len(pairs):,}"
        if pairs:
            self.said[what] += f", {sum(map(across, pairs)):,} of them across splits, "
            self.said[what] += f"{sum(map(of_two_classes, pairs)):,} of two classes: "
            self.said[what] += few([f"{names[pair.first]} = {names[pair.second]}" for pair in pairs], WORST)
        return pairs

    def _sheet_of_pairs(self, name: str, title: str, pairs: Sequence[Pair]) -> None:
        tiles = [
            self._tile(place, self.images.splits[place], words)
            for pair in pairs[: self.most // 2]
            for place, words in (
                (pair.first, self._detail(pair)),
                (pair.second, f"correlation {pair.similarity:.3f}"),
            )
        ]
        self._sheet(name, f"{title}, side by side: {len(pairs):,} pairs", tiles, paired=True)

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

    def _detail(self, pair: Pair) -> str:
        """Return in words which splits and classes a pair is of."""
        found = self.images
        splits = [found.splits[place] for place in (pair.second, pair.first)]
        labels = [found.classes[found.labels[place]] for place in (pair.second, pair.first)]
        parts = [f"across {' and '.join(sorted(splits))}"] if splits[0] != splits[1] else []
        parts += [f"two classes, {' and '.join(labels)}"] if labels[0] != labels[1] else []
        return "; ".join(parts or ["same class and split"])

    def _in_order(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Return pairs, the image first that is rather left out: of training, before test, and the smaller."""
        kinds, splits = self.images.kinds(), self.images.splits

        def weight(place: int) -> tuple:
            return splits[place] == "test", kinds[place][-1] * kinds[place][-2], -place

        ordered = (sorted(pair[:2], key=weight) for pair in pairs)
        return [Pair(first, second, pair.similarity) for (first, second), pair in zip(ordered, pairs, strict=True)]

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
        words += "" if vectors.learned else f"; {FEATURES}"
    if len(judged.places) < num_images:
        words += f"; {num_images - len(judged.places):,} images are not judged: unreadable, or their class has no "
        words += "other image, or group"
    few = [label for label, count in Counter(judged.labels.tolist()).items() if count < FEW]
    if few:
        words += f"; {len(few):,} classes have fewer than {FEW} images to learn from"
    return words
