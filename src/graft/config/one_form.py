"""One form for values that mean the same, however they were typed: numbers, classes, domains, places of files.

It also says which classes and domains cannot be in both splits, as far as the configuration alone shows it.

Do not import torch here: `--help` must answer in under a second.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from graft.config.rules import RULES
from graft.config.values import Values
from graft.errors import Fault, as_cell, as_typed

DEFAULT_ROOT = "outputs/data"  # of torchvision's data sets; part of their jobs' identities since version 0.1

CLASS_KEYS = ("dataset.big", "dataset.small")
DOMAIN_KEYS = {"dataset.big_domain": "rest", "dataset.small_domain": None}  # and their defaults, which stay

# Knobs that are newer than results without them, and what these results have. At these values they are not part of a
# job's identity.
NEWER: dict[str, Any] = {
    "trials_vary": "all",
    "stop.patience": None,
    "stop.min_delta": 0.0,
    "weights": "last",
    "refit": None,
    "frozen_precision": "32-true",
}

# Keys of a data set that say where its images, labels and groups are found, not which ones these are.
PLACES = ("root", "file", "image", "label", "split", "group", "domain", "group_pattern", "suffix", "path", "config")

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
        if key in DOMAIN_KEYS:
            return value if value in (None, DOMAIN_KEYS[key]) else domains_of(value)
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
    if dataset.get("small_domain") is not None:  # then `rest` is no list of classes that `small` does not name
        return dict(dataset)
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


def domains_of(typed: Any) -> list[str]:
    """Return a value, or several, of `dataset.domain` as sorted texts: [B,A] and [A,B] are one choice."""
    return sorted({as_cell(each) for each in (typed if isinstance(typed, list) else [typed])})


def class_in_both_splits(values: Values) -> Iterator[Fault]:
    """Yield the fault of a class that is in both splits, which domains do not tell apart."""
    big, small = values.get("dataset.big"), values.get("dataset.small")
    if not isinstance(big, list) or values.get("dataset.small_domain") is not None:
        return  # the rest is by definition not in the small split
    shared = {str(each) for each in (big if small == "all" else small)} & {str(each) for each in big}
    if shared:
        others = [each for each in big if str(each) not in shared]
        expected = f"without classes of dataset.small={as_typed(small)}, because a class is in one split only"
        without = "" if others else " with source=scratch"
        yield Fault("dataset.big", big, expected, f"dataset.big={as_typed(others)}{without}")


def domain_faults(values: Values) -> Iterator[Fault]:
    """Yield the faults of domains without a column, of a column without domains, and of domains in both splits."""
    typed = {key: values.get(key) for key in DOMAIN_KEYS}
    small, big = typed["dataset.small_domain"], typed["dataset.big_domain"]
    column = values.get("dataset.domain")
    idle = [key for key, value in typed.items() if value not in (None, DOMAIN_KEYS[key])]
    if column is None:
        for key in idle:
            expected = f"the column that has {key}={as_typed(typed[key])}"
            yield Fault("dataset.domain", None, expected, "dataset.domain=COLUMN")
    elif small is None:
        expected = f"given with dataset.domain={column}: the values of that column to transfer to"
        yield Fault("dataset.small_domain", None, expected, "dataset.small_domain=VALUE, or dataset.domain=null")
    elif big != "rest":
        shared = sorted(set(domains_of(big)) & set(domains_of(small)))
        if shared:
            expected = (
                f"without {', '.join(shared)}, which is in dataset.small_domain, as an image is in one split only"
            )
            others = [each for each in domains_of(big) if each not in shared]
            yield Fault("dataset.big_domain", big, expected, f"dataset.big_domain={as_typed(others or 'rest')}")
