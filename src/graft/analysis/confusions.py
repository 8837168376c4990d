"""Predictions counted by true and predicted class."""

from collections import Counter
from collections.abc import Sequence


class Confusions(Counter[tuple[str, str]]):
    """Numbers of predictions by their true and their predicted class."""

    @property
    def right(self) -> int:
        """Number of right predictions."""
        return sum(count for (true, said), count in self.items() if true == said)

    def recalls(self, classes: Sequence[str]) -> list[tuple[str, int, int]]:
        """Return each class with its right predictions and all of its predictions."""
        of_class = self._of_class()
        return [(name, self[name, name], of_class[name]) for name in classes]

    def wrong(self) -> list[tuple[str, str, int, int]]:
        """Return the errors, most frequent first: the true class, the predicted one, their number, all of the class."""
        of_class = self._of_class()
        return [(true, said, count, of_class[true]) for (true, said), count in self.most_common() if true != said]

    def _of_class(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for (true, _), count in self.items():
            counts[true] += count
        return counts
