"""Graft's exceptions: those that a user can act on, and one that ends a job without being an error."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class GraftError(Exception):
    """A mistake that the user can correct. The message, printed without a traceback, ends in something to try."""


@dataclass(frozen=True)
class Fault:
    """One value of a configuration that cannot be used.

    Attributes:
        key: its key: `head.widths`.
        got: the value.
        expected: the allowed values, in words that follow "must be".
        example: overrides to type instead: `head.widths=[512], or head=plain`.
    """

    key: str
    got: object
    expected: str
    example: str

    def __str__(self) -> str:
        return f"{self.key} must be {self.expected}, got {as_typed(self.got) or 'nothing'}; try {self.example}"


class ConfigError(GraftError):
    """All faults of a configuration, in one message of a line each.

    Args:
        faults: at least one.
    """

    def __init__(self, faults: Iterable[Fault]):
        self.faults = list(faults)
        super().__init__("\n".join(map(str, self.faults)))

    def __reduce__(self) -> tuple:
        # Exceptions are pickled with their message as the argument, but this one takes faults. Ranks send theirs.
        return type(self), (self.faults,)


class UnavailableError(GraftError):
    """A backbone's published weights, or the package that has them, cannot be had here; other backbones may be."""


class OtherResult(GraftError):
    """A job's folder has the result of another configuration, which stays as it is."""


class Pruned(Exception):
    """A search's pruner ended this job, which is neither a failure nor a result."""


def nearest(word: str, known: Iterable[str], count: int = 1, similarity: float = 0.0) -> list[str]:
    """Return up to `count` known words, the most similar first, whatever their case.

    Args:
        word: the unknown word.
        known: the words to choose from.
        count: how many to return.
        similarity: the least similarity, from 0 to 1 (identical).
    """
    folded: dict[str, list[str]] = {}
    for each in known:
        folded.setdefault(each.casefold(), []).append(each)
    close = difflib.get_close_matches(word.casefold(), folded, count, similarity)
    return [each for match in close for each in folded[match]][:count]


def no_option(word: str) -> str:
    """Return why a key is refused that was typed as an option: `--epochs is no option; ... try epochs=5`."""
    option, _, value = word.partition("=")
    return f"{option} is no option; keys have no dashes: try {option.lstrip('-') or 'KEY'}={value or 'VALUE'}"


def as_typed(value: object) -> str:
    """Return a configuration's value as it is typed: `null`, `true`, `[1,2]`."""
    if isinstance(value, list):
        return f"[{','.join(map(as_typed, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def as_cell(value: object) -> str:
    """Return a value as a table's cell has it: 1.0 is 1 in a column of whole numbers."""
    return as_typed(int(value) if isinstance(value, float) and value.is_integer() else value)
