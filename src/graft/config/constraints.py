"""Constraints: which values a key may have, in words and as a function. rules.py gives each key its own.

Do not import torch here: `--help` must answer in under a second.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

from graft.errors import as_typed


@dataclass(frozen=True)
class Rule:
    """The values that a key may have.

    Attributes:
        expected: these values in words, as they follow "must be".
        allows: whether a value is one of them.
        example: one of them, as it is typed.
        numbers: int or float, if its numbers mean the same in either way: 1 and 1.0; None: they may not.
    """

    expected: str
    allows: Callable[[Any], bool]
    example: str
    numbers: type | None = None


def whole(low: int, example: int) -> Rule:
    """Return the rule of a whole number of at least `low`; True, which equals 1, is none."""
    expected = f"a whole number of at least {low}"
    return Rule(expected, lambda value: type(value) is int and value >= low, str(example), int)


def number(low: float, high: float, example: float, closed: str = "both") -> Rule:
    """Return the rule of a number in an interval, with `both`, the `left`, the `right` or `neither` of its ends.

    NaN and booleans are in none.
    """
    left, right = closed in ("both", "left"), closed in ("both", "right")

    def allows(value: Any) -> bool:
        if type(value) not in (int, float):
            return False
        return (value >= low if left else value > low) and (value <= high if right else value < high)

    if high == inf:
        expected = f"a {'' if right else 'finite '}number {'of at least' if left else 'above'} {low}"
    elif left and right:
        expected = f"from {low} to {high}"
    else:
        expected = f"in {'[' if left else '('}{low}, {high}{']' if right else ')'}"
    return Rule(expected, allows, str(example), type(example))


def text(expected: str, example: str, pattern: str = ".+") -> Rule:
    """Return the rule of a text that a regular expression matches as a whole."""
    return Rule(expected, lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None, example)


def list_of(
    expected: str, example: str, item: Rule | None = None, least: int = 1, most: float = inf, distinct: bool = False
) -> Rule:
    """Return the rule of a list of `least` to `most` items, each of which `item` allows; None allows any."""

    def allows(value: Any) -> bool:
        if not isinstance(value, list) or not least <= len(value) <= most:
            return False
        if distinct and len({str(each) for each in value}) < len(value):
            return False
        return item is None or all(map(item.allows, value))

    return Rule(expected, allows, example, item and item.numbers)


def one_of(*alternatives: str | bool | Rule | None, expected: str = "") -> Rule:
    """Return the rule of one of several values, or of what one of several rules allows.

    Its example is the first rule's, or else the first value that is not null.
    """
    rules = [each if isinstance(each, Rule) else _exactly(each) for each in alternatives]
    words = [rule.expected for rule in rules]
    given = [each.example for each in alternatives if isinstance(each, Rule)]
    kinds = {rule.numbers for rule in rules if rule.numbers}
    examples = given or [rule.example for rule in rules if rule.example != "null"]
    return Rule(
        expected or f"{', '.join(words[:-1])}{',' if len(words) > 2 and given else ''} or {words[-1]}",
        lambda value: any(rule.allows(value) for rule in rules),
        next(iter(examples), "null"),
        kinds.pop() if len(kinds) == 1 else None,  # 1 image is not the fraction 1.0 of all
    )


def _exactly(allowed: str | bool | None) -> Rule:
    word = as_typed(allowed)
    return Rule(word, lambda value: type(value) is type(allowed) and value == allowed, word)


FLAG = one_of(True, False)
OPTIONAL_FLAG = one_of(None, True, False)
