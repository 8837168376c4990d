"""Choosing the big and the small split: by classes, or by the values of a table's column, its domains."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from graft.data.images import Images
from graft.errors import ConfigError, Fault, as_cell, as_typed, nearest
from graft.nouns import counted, few

log = logging.getLogger("graft")

Classes = Sequence[int | str] | str  # names and numbers, or `all` or `rest`
Domain = str | int | float | bool  # a value of a column, as it is typed
MOST_NAMED = 12  # classes or domains that a message names


class Domains(NamedTuple):
    """The domains of the two splits, as they are typed; without a small one, classes alone make the splits."""

    column: str | None = None
    small: Domain | Sequence[Domain] | None = None
    big: Domain | Sequence[Domain] = "rest"


@dataclass(frozen=True)
class Choice:
    """The classes and the images of the two splits.

    Attributes:
        small_classes: labels, in the order of the logits.
        big_classes: labels of the pre-training.
        of_small: mask of the small split's images, (images,).
        of_big: mask of the big split's images, (images,).
        domains: names and numbers of images of the small and the big split's domains, and of the others; empty without.
        where: the small split's domains, as they follow an error's words; empty without.
    """

    small_classes: torch.Tensor
    big_classes: torch.Tensor
    of_small: torch.Tensor
    of_big: torch.Tensor
    domains: dict[str, dict[str, int]] = field(default_factory=dict)
    where: str = ""

    @property
    def of_either(self) -> torch.Tensor:
        """Mask of the images of both splits, (images,)."""
        return self.of_small | self.of_big


def choose(images: Images, small: Classes, big: Classes, domains: Domains) -> Choice:
    """Choose the images of both splits.

    With domains, the same class may be in both splits: `all` and `rest` are all classes, and an image is in one split
    only, because it has one domain.

    Raises:
        ConfigError: as `choose_classes` says; a domain does not occur or is in both splits, or lacks a class.
    """
    labels = images.labels
    if domains.small is None:
        _refuse_idle(domains)
        small_classes, big_classes = choose_classes(images.classes, small, big)
        return Choice(small_classes, big_classes, torch.isin(labels, small_classes), torch.isin(labels, big_classes))
    inside = _inside(images, domains)
    in_small, in_big = (
        torch.tensor([domain in inside[split] for domain in images.domains]) for split in ("small", "big")
    )
    small_classes, _ = choose_classes(images.classes, small, [])
    big_classes = labels[in_big].unique()
    if not isinstance(big, str):
        big_classes = torch.tensor(_labels("big", big, images.classes), dtype=torch.long)
    for split, classes, mask in (("small", small_classes, in_small), ("big", big_classes, in_big)):
        _refuse_lacking(images, split, classes, mask, list(inside[split]))
    log.info("dataset.domain=%s: %s", domains.column, in_words(inside))
    return Choice(
        small_classes,
        big_classes,
        in_small & torch.isin(labels, small_classes),
        in_big & torch.isin(labels, big_classes),
        inside,
        f" in dataset.small_domain={as_typed(list(inside['small']))}",
    )


def in_words(domains: dict[str, dict[str, int]]) -> str:
    """Return the domains of the splits with their images: big split mono (1,074); small split poly (1,550)."""
    parts = []
    for split, words in (("big", "big split"), ("small", "small split"), ("neither", "in neither")):
        counts = [f"{name} ({counted(count, 'image')})" for name, count in domains[split].items()]
        if counts or split == "big":
            parts.append(f"{words} {few(counts, MOST_NAMED) or 'of no domain'}")
    return "; ".join(parts)


def _refuse_idle(domains: Domains) -> None:
    """Refuse domains to pre-train on without any to transfer to, which would choose nothing."""
    if domains.big != "rest":
        expected = f"given with dataset.big_domain={as_typed(domains.big)}: the values to transfer to"
        raise ConfigError([Fault("dataset.small_domain", None, expected, "dataset.small_domain=VALUE")])


def _inside(images: Images, domains: Domains) -> dict[str, dict[str, int]]:
    """Return the domains of each split, and of neither, with their numbers of images.

    Raises:
        ConfigError: there are none, one does not occur, or one is in both splits.
    """
    if domains.column is None:
        expected = f"the column that has dataset.small_domain={as_typed(domains.small)}"
        raise ConfigError([Fault("dataset.domain", None, expected, "dataset.domain=COLUMN")])
    counts = Counter(images.domains)
    names = sorted(counts)
    small = _domains("small", domains.small, names, domains.column)
    rest = [name for name in names if name not in small]
    big = rest if domains.big == "rest" else _domains("big", domains.big, names, domains.column)
    shared = [name for name in big if name in small]
    if shared:
        expected = f"without values of dataset.small_domain, where {', '.join(shared)} is"
        raise ConfigError([Fault("dataset.big_domain", domains.big, expected, "dataset.big_domain=rest")])
    neither = [name for name in names if name not in (*small, *big)]
    parts = {"big": big, "small": small, "neither": neither}
    return {split: {name: counts[name] for name in each} for split, each in parts.items()}


def _domains(split: str, typed: object, names: Sequence[str], column: str) -> list[str]:
    """Return the names of the typed domains, sorted."""
    found = set()
    for value in typed if isinstance(typed, list | tuple) else [typed]:
        written = {str(value), as_cell(value)}
        same = [name for name in names if name in written]
        if isinstance(value, bool):  # spreadsheets write TRUE
            same = same or [name for name in names if name.casefold() == as_typed(value)]
        if not same:
            expected = f"of the values of the column {column}, {few(names, MOST_NAMED)}"
            example = f"dataset.{split}_domain={nearest(str(value), names)[0]}"
            raise ConfigError([Fault(f"dataset.{split}_domain", value, expected, example)])
        found.update(same[:1])
    return sorted(found)


def _refuse_lacking(
    images: Images, split: str, classes: torch.Tensor, inside: torch.Tensor, domains: Sequence[str]
) -> None:
    """Refuse classes without an image in a split's domains."""
    present = set(images.labels[inside].tolist())
    lacking = [images.classes[label] for label in classes.tolist() if label not in present]
    if lacking:
        got = [images.classes[label] for label in classes.tolist()]
        kept = [name for name in got if name not in lacking]
        expected = f"classes with images in dataset.{split}_domain={as_typed(list(domains))}; {', '.join(lacking)} "
        expected += "lacks them" if len(lacking) == 1 else "lack them"
        fewer = f"dataset.{split}={as_typed(kept)}, or " if len(kept) > (split == "small") else ""
        raise ConfigError([Fault(f"dataset.{split}", got, expected, f"{fewer}another dataset.{split}_domain")])


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
        expected = f"two or more classes to tell apart, of {few(names, MOST_NAMED)}"
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
    labels = [_label(split, classes, wanted, names) for wanted in classes]
    twice = [names[label] for label in sorted(set(labels)) if labels.count(label) > 1]
    if twice:
        expected = f"different classes, but class {', '.join(twice)} is named and numbered"
        example = f"dataset.{split}={as_typed([names[label] for label in dict.fromkeys(labels)])}"
        raise ConfigError([Fault(f"dataset.{split}", list(classes), expected, example)])
    return labels


def _label(split: str, classes: Sequence[int | str], wanted: int | str, names: Sequence[str]) -> int:
    for name in (str(wanted), as_typed(wanted)):  # True and true
        if name in names:
            return names.index(name)
    numbered = type(wanted) is int and not any(_is_number(name) for name in names)
    if numbered and 0 <= int(wanted) < len(names):
        return int(wanted)
    expected = f"of the data's classes, {few(names, MOST_NAMED)}"
    near = nearest(str(wanted), names, similarity=0.6)
    if near:  # a capital letter, or a typing error
        meant = list(dict.fromkeys(near[0] if each == wanted else each for each in classes))
    else:
        meant = list(names[: 2 if split == "small" else 1])  # one class alone would be refused, too
    raise ConfigError([Fault(f"dataset.{split}", wanted, expected, f"dataset.{split}={as_typed(meant)}")])


def _is_number(name: str) -> bool:
    return name.lstrip("-").isdecimal()
