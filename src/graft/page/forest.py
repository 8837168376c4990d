"""Forest plots: means with their intervals on one scale, a small drawing in each row of a table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from graft.report.unit import PERCENT, Unit

WIDTH, HEIGHT = 240, 24  # of a drawing, in its own units
MARGIN = 8  # left and right of the scale
MAX_DOTS = 60  # of trials that a row shows; more hide each other


class Tick(NamedTuple):
    """A number on a scale, and its place."""

    place: float
    text: str


@dataclass(frozen=True)
class Scale:
    """The scale of all drawings of a table.

    Attributes:
        low: the value at the left.
        high: the value at the right.
        ticks: its numbers.
        zero: the place of 0; None where 0 is no mark.
    """

    low: float
    high: float
    ticks: list[Tick]
    zero: float | None = None

    def place(self, value: float) -> float:
        """Return where a value is, from the left."""
        return _place(value, self.low, self.high)


class Marks(NamedTuple):
    """What a row's drawing shows, by places; and the same in words.

    Attributes:
        words: for readers who do not see it.
        mean: a dot.
        interval: a line with caps, if it is known.
        span: from the lowest trial to the highest one, a broad line, if it is shown.
        box: the published range, if there is one.
        dots: of single trials.
        filled: whether the dot is filled: not if a difference may be 0.
    """

    words: str
    mean: float
    interval: tuple[float, float] | None
    span: tuple[float, float] | None = None
    box: tuple[float, float] | None = None
    dots: Sequence[float] = ()
    filled: bool = True


def scale_of(values: Iterable[float | None], unit: Unit, with_zero: bool = False) -> Scale:
    """Return a scale that holds all values, as they are written.

    Args:
        values: as a table has them; those that are missing do not count.
        unit: of the values. Percentages of a metric end at 0 and 100.
        with_zero: whether they are differences, so that 0 has a mark.
    """
    written = [unit.factor * value for value in values if value is not None and np.isfinite(value)]
    written += [0.0] if with_zero or not written else []
    low, high = min(written), max(written)
    space = 0.04 * (high - low) or (0.5 if unit is PERCENT else 0.05)
    low, high = low - space, high + space
    if unit is PERCENT and not with_zero:
        low, high = max(low, 0.0), min(high, 100.0)
    found = np.round(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]).tick_values(low, high), 6).tolist()
    ticks = [Tick(_place(tick, low, high), f"{tick:g}") for tick in found if low <= tick <= high]
    return Scale(low, high, ticks, _place(0.0, low, high) if with_zero else None)


def _place(value: float, low: float, high: float) -> float:
    return round(MARGIN + (WIDTH - 2 * MARGIN) * (value - low) / (high - low), 1)


def ends(scale: Scale, unit: Unit, low: float | None, high: float | None) -> tuple[float, float] | None:
    """Return the places of a range from left to right; None if it is missing."""
    if low is None or high is None:
        return None
    first, last = sorted((scale.place(unit.factor * low), scale.place(unit.factor * high)))
    return first, last


def value_words(unit: Unit, mean: float, low: float | None, high: float | None) -> str:
    """Return a mean and its interval in words."""
    interval = "no interval" if low is None or high is None else f"95 % interval {unit.span(low, high)}{unit.sign}"
    return f"mean {unit.value(mean)}, {interval}"
