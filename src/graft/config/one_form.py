"""One form for values that mean the same, however they were typed: numbers, names of classes, places of files.

Do not import torch here: `--help` must answer in under a second.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graft.config.rules import RULES

DEFAULT_ROOT = "outputs/data"  # of torchvision's data sets; part of their jobs' identities since version 0.1

CLASS_KEYS = ("dataset.big", "dataset.small")

# Knobs that are newer than results without them, and what these results have. At these values they are not part of a
# job's identity.
NEWER: dict[str, Any] = {
    "trials_vary": "all",
    "stop.patience": None,
    "stop.min_delta": 0.0,
    "weights": "last",
    "refit": None,
}

# Keys of a data set that say where its images, labels and groups are found, not which ones these are.
PLACES = ("root", "file", "image", "label", "split", "group", "group_pattern", "suffix", "path", "config")

Change = Callable[[str, Any], Any]  # a dotted key and its value, to another value


def leaves(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a nested configuration: values by dotted keys."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def changed(config: Mapping[str, Any], change: Change, prefix: str = "") -> dict[str, Any]:
    """Return a nested configuration with each of its `leaves` changed."""
    return {
        key: changed(value, change, f"{prefix}{key}.")
        if isinstance(value, Mapping)
        else change(f"{prefix}{key}", value)
        for key, value in config.items()
    }


def in_one_form(config: Mapping[str, Any], classes: Sequence[str] = ()) -> dict[str, Any]:
    """Return a plain configuration whose numbers and classes are written in one way: 0.0, not 0; names, not numbers.

    Args:
        config: the configuration.
        classes: the names of the data set's classes; none: classes stay as they were typed.
    """

    def change(key: str, value: Any) -> Any:
        if key in CLASS_KEYS and isinstance(value, list):
            return [_class(each, classes) for each in value]
        rule = RULES.get(key)
        return value if rule is None or rule.numbers is None else _number(value, rule.numbers)

    formed = changed(config, change)
    return {**formed, "dataset": _without_lists_of_all(formed["dataset"], classes)} if classes else formed


def as_text(config: Mapping[str, Any], classes: Sequence[str] = ()) -> str:
    """Return a plain configuration as a text: two that are the same, however they were typed, have equal ones."""
    return json.dumps(in_one_form(config, classes), sort_keys=True)


def _without_lists_of_all(dataset: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """Return a data set's configuration with `all` for a list of all classes, and a list for `rest` if any is left.

    So the defaults of conf/dataset keep their form, and the identities of the jobs that have them.
    """
    names = [_class(name, classes) for name in classes]
    small, big = dataset.get("small"), dataset.get("big")
    rest = [name for name in names if isinstance(small, list) and name not in small]
    formed = {"small": "all" if small == names else small, "big": "rest" if big == [] == rest else big}
    if big == "rest" and rest:
        formed["big"] = rest
    return {key: formed.get(key, value) for key, value in dataset.items()}


def _class(typed: int | str, classes: Sequence[str]) -> int | str:
    """Return a class's name; the names of digits are numbers, as they are mostly typed."""
    by_number = isinstance(typed, int) and str(typed) not in classes and 0 <= typed < len(classes)
    name = classes[typed] if by_number else str(typed)  # type: ignore[index]
    return int(name) if name.isdecimal() and str(int(name)) == name else name


def _number(value: Any, kind: type) -> Any:
    """Return a number as an int or a float, a list's each; a fraction is never rounded."""
    if isinstance(value, list):
        return [_number(each, kind) for each in value]
    if type(value) is int and kind is float:
        return float(value)
    if type(value) is float and kind is int and value.is_integer():
        return int(value)
    return value


def without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration that does not say where the data set's images and labels are: these identify it."""
    dataset = dict(config.get("dataset") or {})
    if "download" in dataset:
        dataset |= {"root": DEFAULT_ROOT, "download": True}
    else:
        dataset |= {key: None for key in PLACES if key in dataset}
    return {**config, "dataset": dataset} if "dataset" in config else dict(config)
