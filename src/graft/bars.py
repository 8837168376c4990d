"""Bars: how far long work is, and how long the rest takes: a bar on terminals, and a line each half minute elsewhere.

Neither is shown where bars are hidden, as in workers and in quiet calls from Python, nor on ranks other than 0.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from graft.nouns import counted
from graft.process import environment_rank, hidden_bars

log = logging.getLogger("graft")

EVERY = 30.0  # seconds between two lines
clock = time.monotonic

Item = TypeVar("Item")

_place: Callable[[], str] | None = None  # says where the work is within a longer one, such as a sweep


def set_place(place: Callable[[], str] | None) -> None:
    """Let all bars and lines begin with where their work is within a longer one: job 3 of 12.

    Args:
        place: is asked whenever a bar or line is written; None: the work is not part of a longer one.
    """
    global _place
    _place = place


def duration(seconds: float) -> str:
    """Return a time in words.

    Example:
        >>> duration(7.2), duration(200), duration(7800), duration(200_000)
        ('7 s', '3 min', '2 h 10 min', '2 d 8 h')
    """
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours = round(seconds / 3600)
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 24 * 60 else f"{hours // 24} d {hours % 24} h"


class Bar:
    """How far one piece of long work is.

    Args:
        total: number of its parts; None: unknown.
        label: what is done, such as `features`.
        unit: what its parts are, in the singular.
        hidden: whether nothing is shown.
        say: takes lines; None: they are logged.
        done: number of parts that were done before.
        stays: whether a terminal still shows the bar afterwards.
    """

    def __init__(
        self,
        total: int | None,
        label: str,
        unit: str,
        hidden: bool = False,
        say: Callable[[str], object] | None = None,
        done: int = 0,
        stays: bool = False,
    ):
        self.total, self.label, self.unit, self.done, self._before = total, label, unit, done, done
        self.hidden = hidden or hidden_bars() or environment_rank() > 0
        self._say = say or log.info
        self._started = self._last = clock()
        self._updates = 0
        self.notes: dict[str, str] = {}
        self._bar = None
        if not self.hidden and sys.stderr.isatty():
            look = {"unit": unit, "initial": done, "leave": stays, **_size()}
            self._bar = tqdm(desc=self._named(), total=total, file=sys.stderr, **look)

    def note(self, **notes: str) -> None:
        """Show notes from now on, such as an accuracy, besides those of other names."""
        self.notes |= notes
        if self._bar is not None:
            self._bar.set_postfix(self.notes, refresh=False)

    def update(self, count: int = 1) -> None:
        """Count finished parts."""
        self.done += count
        self._updates += count > 0  # who watches other processes often finds nothing new
        now = clock()
        if self._bar is not None:
            if _place is not None and now - self._last >= 1:
                self._last = now
                self._bar.set_description(self._named(), refresh=False)
            self._bar.update(count)
        elif not self.hidden and now - self._last >= EVERY:
            self._last = now
            self._say(self._line(now))

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()

    def _named(self) -> str:
        place = "" if _place is None else _place()
        return f"{place}, {self.label}" if place else self.label

    def _line(self, now: float) -> str:
        """Return the line: features: 1,200 of 5,000 images, 2 min left."""
        words = [f"{self.done:,} of {counted(self.total, self.unit)}" if self.total else counted(self.done, self.unit)]
        if self.total and self._updates > 1:  # the first part may have taken long for itself, such as a solved head's
            each = (now - self._started) / (self.done - self._before)
            words.append(f"{duration(each * max(0, self.total - self.done))} left")
        words += [f"{name.replace('_', ' ')} {value}" for name, value in self.notes.items()]
        return f"{self._named()}: {', '.join(words)}"


def _size() -> dict[str, int]:
    """Return a size for a terminal that has none, as of containers and `script`: tqdm would show nothing there."""
    try:
        return {} if os.get_terminal_size(sys.stderr.fileno()).columns else {"ncols": 80, "nrows": 24}
    except (OSError, ValueError):  # it is none, but says that it is one
        return {}


def bar(
    items: Iterable[Item],
    label: str,
    total: int,
    unit: str,
    size: Callable[[Item], int] = lambda _: 1,
    hidden: bool = False,
    say: Callable[[str], object] | None = None,
) -> Iterator[Item]:
    """Yield items, and show how many have been taken.

    Args:
        items: the parts of the work, each done when the next one is asked for.
        label: as `Bar` has it, as are `unit`, `hidden` and `say`.
        total: the sum of their sizes.
        unit: see above.
        size: of an item, in units.
        hidden: see above.
        say: see above.
    """
    shown = Bar(total, label, unit, hidden or not total, say)
    try:
        for item in items:
            yield item
            shown.update(size(item))
    finally:
        shown.close()
