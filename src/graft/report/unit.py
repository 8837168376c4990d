"""How a report writes values of a metric, and differences between them: as percentages and points, or as they are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from graft.results.metric import in_words, name_of


@dataclass(frozen=True)
class Unit:
    """The unit of a metric.

    Comparisons call the higher of two values the better one, so that losses have a minus until they are written.

    Attributes:
        factor: of a value as it is written; negative where the lower one is better.
        decimals: as they are written.
        sign: behind a value.
        points: behind a difference.
        most: word for the best value.
    """

    factor: float
    decimals: int
    sign: str
    points: str
    most: str

    def number(self, value: float) -> str:
        """Return a value without its sign: 92.3."""
        return self._plain(self.factor * value)

    def value(self, value: float) -> str:
        """Return a value: 92.3 %."""
        return self.number(value) + self.sign

    def span(self, low: float, high: float) -> str:
        """Return a range from the smaller number that is written to the larger: 90.1 to 92.3."""
        return " to ".join(self._plain(each) for each in sorted((self.factor * low, self.factor * high)))

    def size(self, difference: float) -> str:
        """Return a difference's size, without its sign: 2.4."""
        return self._plain(abs(self.factor * difference))

    def sizes(self, low: float, high: float) -> str:
        """Return the range of a difference's size, without its sign: 2.2 to 2.6, or one number."""
        return " to ".join(sorted({self.size(low), self.size(high)}, key=float))

    def ends(self, low: ArrayLike, high: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and the upper ends of ranges as they are written."""
        written = self.factor * np.array([low, high], dtype=float)
        return np.fmin(*written), np.fmax(*written)

    def signed(self, difference: float) -> str:
        """Return a difference with its sign: -2.4; one that is rounded to 0 has none."""
        text = f"{self.factor * difference:+.{self.decimals}f}"
        return text[1:] if float(text) == 0 else text

    def difference(self, mean: float | None, low: float | None, high: float | None, points: str = "") -> str:
        """Return a difference with its interval, if it has one: -2.4 (-2.6 to -2.2); empty without a difference.

        Args:
            mean: the difference.
            low: lower end of its interval.
            high: upper end.
            points: behind the difference.
        """
        if mean is None:
            return ""
        interval = "" if low is None or high is None else f" ({self.span(low, high)})"
        return f"{self.signed(mean)}{points}{interval}"

    def gap(self, difference: float) -> str:
        """Return a difference's size and what it means: 2.4 points worse."""
        size = self.size(difference)
        word = "better" if difference > 0 else "worse"
        if float(size) == 0:
            return f"less than {10**-self.decimals:.{self.decimals}f}{self.points} {word}"
        if self.points and float(size) == 1:
            return f"1 point {word}"
        return f"{size}{self.points} {word}"

    def _plain(self, number: float) -> str:
        text = f"{number:.{self.decimals}f}"
        return text.lstrip("-") if float(text) == 0 else text


PERCENT = Unit(100, 1, " %", " points", "highest")
LOSS = Unit(-1, 3, "", "", "lowest")


def unit_of(key: str) -> Unit:
    """Return the unit of a metric's values."""
    return LOSS if name_of(key) == "loss" else PERCENT


@dataclass(frozen=True)
class Measure:
    """A metric as pictures and sentences name it.

    Attributes:
        words: test accuracy.
        unit: of its values.
    """

    words: str
    unit: Unit

    def value(self, value: float) -> str:
        """Return a value in a sentence, with the metric's name unless it is the test accuracy: 92.3 %."""
        told = self.unit.value(value)
        return told if self.words == TEST_ACCURACY.words else f"{self.words} {told}"

    @property
    def axis(self) -> str:
        """The label of an axis: test accuracy, %."""
        return f"{self.words},{self.unit.sign}" if self.unit.sign else self.words


TEST_ACCURACY = Measure("test accuracy", PERCENT)


def measure_of(key: str) -> Measure:
    """Return what a metric is called, and its unit."""
    return Measure(in_words(key), unit_of(key))
