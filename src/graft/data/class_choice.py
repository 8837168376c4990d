"""Choosing classes: the labels that `dataset.small` and `dataset.big` name, by names or by numbers."""

from collections.abc import Sequence

import torch

from graft.errors import ConfigError, Fault, as_typed

Classes = Sequence[int | str] | str  # names and numbers, or `all` or `rest`


def choose_classes(names: Sequence[str], small: Classes, big: Classes) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the labels of the small and of the big split.

    A number is a class of that name, or else the place of a class, from 0; only the former if any name is a number.

    Args:
        names: of the data's classes, in the order of the labels.
        small: two or more of them, or `all`.
        big: none or more of the others, or `rest`.

    Raises:
        ConfigError: a class is unknown, is named twice, or is in both splits; or `small` has one class only.
    """
    small_labels = list(range(len(names))) if isinstance(small, str) else _labels("small", small, names)
    if len(small_labels) < 2:
        expected = f"two or more classes to tell apart, of {', '.join(names)}"
        raise ConfigError([Fault("dataset.small", small, expected, f"dataset.small={as_typed(list(names[:2]))}")])
    rest = [label for label in range(len(names)) if label not in small_labels]
    big_labels = rest if isinstance(big, str) else _labels("big", big, names)
    shared = [names[label] for label in big_labels if label in small_labels]
    if shared:
        expected = f"without classes of dataset.small, where {', '.join(shared)} is"
        others = [names[label] for label in big_labels if label not in small_labels]
        raise ConfigError([Fault("dataset.big", big, expected, f"dataset.big={as_typed(others)}")])
    return torch.tensor(small_labels, dtype=torch.long), torch.tensor(big_labels, dtype=torch.long)


def _labels(split: str, classes: Sequence[int | str], names: Sequence[str]) -> list[int]:
    labels = [_label(split, wanted, names) for wanted in classes]
    twice = [names[label] for label in sorted(set(labels)) if labels.count(label) > 1]
    if twice:
        expected = f"different classes, but class {', '.join(twice)} is named and numbered"
        example = f"dataset.{split}={as_typed([names[label] for label in dict.fromkeys(labels)])}"
        raise ConfigError([Fault(f"dataset.{split}", list(classes), expected, example)])
    return labels


def _label(split: str, wanted: int | str, names: Sequence[str]) -> int:
    for name in (str(wanted), as_typed(wanted)):  # True and true
        if name in names:
            return names.index(name)
    numbered = type(wanted) is int and not any(_is_number(name) for name in names)
    if numbered and 0 <= int(wanted) < len(names):
        return int(wanted)
    expected = f"of the data's classes, {', '.join(names)}"
    raise ConfigError([Fault(f"dataset.{split}", wanted, expected, f"dataset.{split}=[{names[0]}]")])


def _is_number(name: str) -> bool:
    return name.lstrip("-").isdecimal()
