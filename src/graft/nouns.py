"""Numbers and lists in words: 1 trial, 1,204 images, 92.3, a, b and 7 more."""

from collections.abc import Sequence


def counted(count: int, noun: str) -> str:
    """Return a number with its noun.

    Args:
        count: the number.
        noun: in the singular; its plural ends in s, or for s and x in es.

    Example:
        >>> counted(1, "trial"), counted(1204, "test image"), counted(0, "class")
        ('1 trial', '1,204 test images', '0 classes')
    """
    plural = noun + ("es" if noun.endswith(("s", "x")) else "s")
    return f"{count:,} {noun if count == 1 else plural}"


def percent(fraction: float) -> str:
    """Return a fraction as a percentage with one decimal."""
    return f"{100 * fraction:.1f}"


def few(words: Sequence[str], most: int, total: int | None = None) -> str:
    """Return the first words, and how many more there are.

    Args:
        words: all of them, or at least the first ones.
        most: how many are named.
        total: how many there are in all; None: as many as `words`.

    Example:
        >>> few(["a", "b", "c"], 2), few(["a"], 2), few(["a", "b"], 2, 1200)
        ('a, b and 1 more', 'a', 'a, b and 1,198 more')
    """
    more = (len(words) if total is None else total) - most
    return ", ".join(words[:most]) + (f" and {more:,} more" if more > 0 else "")
