"""Graft's exceptions: two that a user can act on, one that ends a job without being an error."""

from collections.abc import Iterable
from dataclasses import dataclass


class GraftError(Exception):
    """A mistake that the user can correct; the message is all that they see.

    It says what happened, what was expected and what to try, in that order.
    """


@dataclass(frozen=True)
class Fault:
    """One value of a configuration that cannot be used.

    Attributes:
        key: its key: `head.widths`.
        got: the value.
        expected: what is allowed, as it follows "must be".
        example: what to type instead: `head=dense512`.
    """

    key: str
    got: object
    expected: str
    example: str

    def __str__(self) -> str:
        return f"{self.key} must be {self.expected}, got {self.got}; try {self.example}"


class ConfigError(GraftError):
    """All faults of a configuration, in one message.

    Args:
        faults: at least one.
    """

    def __init__(self, faults: Iterable[Fault]):
        self.faults = list(faults)
        super().__init__("\n".join(map(str, self.faults)))

    def __reduce__(self) -> tuple:
        return type(self), (self.faults,)  # by its argument: a rank's error crosses a process boundary


class Pruned(Exception):
    """A search's pruner ended this job, which is neither a failure nor a result."""
