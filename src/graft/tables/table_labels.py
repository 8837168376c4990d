"""The labels of tables, texts that name classes, and why some columns do not; and the names of domains."""

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from graft.errors import GraftError
from graft.nouns import few

log = logging.getLogger("graft")

MOST_CLASSES = 10  # more classes than these, of which most have one image, are no classes
MOST_NAMED = 5  # groups that a warning names
MISSING_WORDS = ("na", "n/a", "nan", "null", "none", "-", "?")  # that some programs write for a missing value


def class_names(labels: Sequence[str], words: str) -> list[str]:
    """Return the name of each row's class: its label, and of numbers such as 1.0, which all are whole, 1.

    Args:
        labels: no empty ones.
        words: the tables, for messages.

    Raises:
        GraftError: the labels are measurements, or one for each row, or all the same.
    """
    counts = Counter(labels)
    if len(counts) == 1:
        raise GraftError(f"{words} has one class only, {labels[0]}; add rows of another class")
    numbers = {label: _number(label) for label in counts}
    if all(number is not None for number in numbers.values()):
        labels = _numbered(labels, numbers, words)
    elif len(counts) > MOST_CLASSES and 2 * len(counts) > len(labels):
        raise GraftError(
            f"{words} has {len(counts):,} different labels in {len(labels):,} rows, such as {_some(counts)}: these are "
            "no classes; try dataset.label=COLUMN with the column that has them"
        )
    else:
        _refuse_spellings({label: number for label, number in numbers.items() if number is not None}, words)
    written = [f"{label} ({counts[label]:,})" for label in counts if label.casefold() in MISSING_WORDS]
    if written:
        log.warning("%s is a class's name; if labels are missing, leave these cells empty", ", ".join(written))
    return list(labels)


def _numbered(labels: Sequence[str], numbers: dict[str, float | None], words: str) -> list[str]:
    """Return the names of classes that are numbers."""
    distinct = set(numbers.values())
    fractions = [label for label, number in numbers.items() if number is not None and not number.is_integer()]
    many = len(distinct) > MOST_CLASSES and 2 * len(distinct) > len(labels)
    if fractions or many:
        reason = f"such as {_some(fractions)}" if fractions else f"{len(distinct):,} in {len(labels):,} rows"
        raise GraftError(
            f"{words} has labels that are measured or counted numbers, {reason}: Graft tells classes apart; try "
            "dataset.label=COLUMN with classes, or make some of the numbers, such as low and high"
        )
    names = {label: _whole(label) for label in numbers}
    _refuse_spellings({name: numbers[label] for label, name in names.items()}, words)
    return [names[label] for label in labels]


def domain_names(cells: Sequence[str], words: str) -> list[str]:
    """Return the name of each row's domain: its cell, and of numbers such as 1.0, if all cells are some, 1.

    Args:
        cells: no empty ones.
        words: the tables, for messages.

    Raises:
        GraftError: a number is spelled in several ways: they would be two domains.
    """
    numbers = {cell: _number(cell) for cell in dict.fromkeys(cells)}
    numeric = all(number is not None for number in numbers.values())
    names = {cell: _whole(cell) if numeric else cell for cell in numbers}
    _refuse_spellings({names[cell]: number for cell, number in numbers.items() if number is not None}, words)
    for spellings in _alike(names.values()):
        log.warning(
            "%s are different domains, whose names differ in case or spaces only; if they are one, write one of them",
            spellings,
        )
    return [names[cell] for cell in cells]


def group_names(cells: Sequence[str]) -> list[str]:
    """Return the name of each row's group: its cell, but 1 for 1.0 where both are there, as two tables may have them.

    Other groups that may be one, and cells that may say that none is known, are named in warnings.
    """
    known = {cell: short(cell) for cell in dict.fromkeys(cells)}
    names = known if len({*known.values()}) < len(known) else {cell: cell for cell in known}
    if spellings := [*_alike(names.values())]:
        log.warning(
            "groups whose names differ only in case, spaces or leading zeros are different groups, which may be parted "
            "between training and test: %s; if they are one, write one of them",
            few(spellings, MOST_NAMED),
        )
    missing = [name for name in {*names.values()} if name.casefold() in MISSING_WORDS]
    if missing:
        called = " and ".join(sorted(missing))
        log.warning("a group is called %s; if its images have no group, give each a group of its own", called)
    return [names[cell] for cell in cells]


def _alike(names: Iterable[str]) -> Iterator[str]:
    """Yield names that are one but for case, spaces, how letters are encoded, and a number's spelling."""
    alike: dict[object, list[str]] = {}
    for name in dict.fromkeys(names):
        written = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        number = _number(written)
        alike.setdefault(written if number is None else number, []).append(name)
    yield from (" and ".join(each) for each in alike.values() if len(each) > 1)


def short(cell: str) -> str:
    """Return a number such as 1.0 as 1, and any other text as it is."""
    return cell if _number(cell) is None else _whole(cell)


def _whole(number: str) -> str:
    return re.sub(r"\.0*$", "", number)


def _refuse_spellings(numbers: Mapping[str, float | None], words: str) -> None:
    """Refuse names that are one number, such as 1 and 01."""
    by_number: dict[float | None, set[str]] = {}
    for name, number in numbers.items():
        by_number.setdefault(number, set()).add(name)
    spelled = [sorted(each) for each in by_number.values() if len(each) > 1]
    if spelled:
        raise GraftError(
            f"{words} has one number spelled in several ways, {' and '.join(spelled[0])}; write one of them"
        )


def _number(label: str) -> float | None:
    if not re.fullmatch(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?", label) or not label.isascii():
        return None
    return float(label.replace(",", "."))  # some spreadsheets write 0,5


def _some(labels: Counter[str] | Sequence[str]) -> str:
    return ", ".join(list(labels)[:3])
