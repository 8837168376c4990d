"""What predictions are worth where the true classes are known: the accuracy with its interval, and the confusions."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas

from graft.content import digests
from graft.inference.image_list import Item
from graft.inference.predict import Row
from graft.job_folder import IMAGES
from graft.statistics.intervals import proportion_interval

MOST = 10  # confusions that are printed


@dataclass
class Truth:
    """Predictions counted by true class.

    Attributes:
        classes: the model's.
        trained_on: hashes of the images that any trial was trained on.
        counts: images by true and predicted class.
        others: images of other true classes than the model's, by class.
        unread: images that cannot be read.
        seen: images that were training images.
    """

    classes: list[str]
    trained_on: frozenset[str] = frozenset()
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    unread: int = 0
    seen: int = 0

    def add(self, item: Item, row: Row) -> None:
        """Count an image."""
        truth = item.truth or ""
        if row.error:
            self.unread += 1
        elif truth not in self.classes:
            self.others[truth] += 1
        else:
            self.counts[truth, row.class_name] += 1
            self.seen += bool(self.trained_on) and digests([item.path])[0] in self.trained_on

    def lines(self) -> list[str]:
        """Return the accuracy and the confusions in words."""
        total = self.counts.total()
        left_out = [f"{self.unread:,} images that cannot be read"] if self.unread else []
        if self.others:
            named = ", ".join(f"{name or 'without a class'} {count:,}" for name, count in self.others.most_common(MOST))
            left_out.append(f"{self.others.total():,} images of classes that the model does not know ({named})")
        lines = [f"not counted  {each}" for each in left_out]
        if not total:
            return [*lines, "accuracy     of no image: none has a true class that the model knows"]
        right = sum(count for (truth, said), count in self.counts.items() if truth == said)
        low, high = proportion_interval(right / total, total)
        lines.append(
            f"accuracy     {100 * right / total:.1f} % ({right:,} of {total:,}), {100 * low:.1f} to {100 * high:.1f} % "
            "for other images of their kind (95 %, Wilson), of this model as it is"
        )
        if self.seen:
            lines.append(f"             too high: {self.seen:,} of these images were training images of the job")
        return [*lines, *self._confusions()]

    def _confusions(self) -> list[str]:
        """Return the most frequent confusions, the number of images and the share of the true class."""
        of_class: Counter[str] = Counter()
        for (truth, _), count in self.counts.items():
            of_class[truth] += count
        wrong = Counter({pair: count for pair, count in self.counts.items() if pair[0] != pair[1]})
        shown = [
            f"{truth} taken for {said}: {count:,} of {of_class[truth]:,}"
            for (truth, said), count in wrong.most_common(MOST)
        ]
        more = f"and {len(wrong) - MOST} other pairs" if len(wrong) > MOST else ""
        return [f"confusions   {line}" for line in [*shown, *([more] if more else [])]] or ["confusions   none"]


def trained_on(folder: Path) -> frozenset[str]:
    """Return the hashes of the images that trials of a job were trained on; none if the job has no list of images."""
    try:
        table = pandas.read_csv(folder / IMAGES, dtype=str, keep_default_na=False)
        return frozenset(table.loc[table["draws"] != "0", "hash"])
    except (OSError, ValueError, KeyError):
        return frozenset()
