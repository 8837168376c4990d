"""Differences of two configurations in what they mean: a missing key has its target's default.

Import targets only inside functions: `--help` must answer in under a second.
"""

import inspect
from collections.abc import Collection, Mapping
from typing import Any

from hydra.utils import get_object

from graft.config.one_form import NEWER, leaves

NO_DEFAULT = inspect.Parameter.empty


def differences(old: Mapping[str, Any], new: Mapping[str, Any], typed: Collection[str] = ()) -> list[str]:
    """Return the dotted keys in which two plain configurations differ.

    A key that only one of them has is no difference if its value is the default of the class or function that the
    other one builds. A key without such a default that only the new one has is none either, unless it was typed:
    it came into Graft's options after the old configuration was written.
    """
    was, now = leaves(old), leaves(new)
    both = [key for key in now if key in was and was[key] != now[key]]
    added = [key for key in now if key not in was and not _means_nothing(key, now[key], old, key not in typed)]
    removed = [key for key in was if key not in now and not _means_nothing(key, was[key], new, False)]
    return [*both, *added, *removed]


def _means_nothing(key: str, value: Any, lacking: Mapping[str, Any], unknown: bool) -> bool:
    """Return whether a configuration that lacks a key means the same as one with this value.

    `unknown` is the answer if nothing tells the value that the lacking key stands for.
    """
    if key in NEWER:
        return value == NEWER[key]
    if key.startswith("callbacks."):
        return False
    group, _, name = key.rpartition(".")
    node: Any = lacking
    for part in group.split(".") if group else ():
        node = node.get(part) if isinstance(node, Mapping) else None
    if not group or not isinstance(node, Mapping) or "_target_" not in node:
        return unknown
    default = _default(node["_target_"], name)
    return unknown if default is NO_DEFAULT else value == default


def _default(target: str, name: str) -> Any:
    """Return the default of a target's parameter; `NO_DEFAULT` if there is none."""
    try:
        default = inspect.signature(get_object(target)).parameters[name].default
    except Exception:  # a class that is gone, or takes any argument: whatever importing it raises
        return NO_DEFAULT
    return list(default) if isinstance(default, tuple) else default
