"""Groups by file names: the part of a file's path that a pattern finds, such as the patient."""

import re
from collections.abc import Sequence

from graft.errors import ConfigError, Fault
from graft.nouns import few
from graft.reading.layout import MAX_NAMES
from graft.reading.pictures import shown

EXAMPLE = r"dataset.group_pattern='(?P<group>patient\d+)'"


def groups_of(names: Sequence[str], pattern: str) -> list[str]:
    """Return the group of each file: what `(?P<group>...)`, or else the first parentheses, find first in its name.

    Args:
        names: the files' paths relative to their root, with `/`.
        pattern: a regular expression.

    Raises:
        ConfigError: it is none, has no parentheses, or some names do not match it.
    """
    try:
        regex = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise _refused(pattern, f"a regular expression, which it is not: {error}") from None
    if not regex.groups:
        raise _refused(pattern, "a regular expression whose parentheses enclose the group's name")
    which = "group" if "group" in regex.groupindex else 1
    matches = [regex.search(name) for name in names]
    found = [(match and match[which]) or "" for match in matches]
    without = [shown(name) for name, group in zip(names, found, strict=True) if not group]
    if without:
        lacking = f"{len(without):,} of {len(names):,} have none: {few(without, MAX_NAMES)}"
        raise _refused(pattern, f"found in each file's path, but {lacking}")
    return [shown(group) for group in found]


def _refused(pattern: str, expected: str) -> ConfigError:
    return ConfigError([Fault("dataset.group_pattern", pattern, expected, EXAMPLE)])
