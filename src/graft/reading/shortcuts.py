"""Shortcuts: facts about files, such as their size, that tell the classes apart before any picture is looked at.

A fact's values are put into bins, of equal numbers of files or one for each value, and every bin says one class, all
classes weighing the same. What the bins of one half of each class's files say of the other half, and the reverse, is
judged for each class c of n files against the m files of the others: of its own a share r is found, of the others a
share f is mistaken for it. By chance r = f. A fact is a shortcut to c if r - f is at least one half, beyond doubt:
Newcombe's lower limit (Stat. Med. 17, 1998; method 10), with Bonferroni's correction for all facts and classes. What
also follows from what a picture shows, as the size of its file does, has to tell more: r - f of at least 0.8. Files of
one group, such as a patient's, are in one half, and n and m are numbers of groups: they say the same again and again.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from graft.reading.class_folders import ImageFile

log = logging.getLogger("graft")

BINS = 32
LEAST = 0.5  # of a shortcut, between the share of a class's files that is found and of others that is mistaken for it
LEAST_OF_CONTENT = 0.8  # of digits as PNG files, the size tells ones by 0.74, because they have little ink
OF_CONTENT = ("size of the file", "mean color", "combination of these facts")
LEVEL = 0.01  # probability of a false alarm about all facts and classes together


@dataclass(frozen=True)
class Telling:
    """How well a fact alone tells the classes apart.

    Attributes:
        fact: its name.
        accuracy: mean over the classes of the share of files whose class is found, in [0, 1].
        chance: the same without knowing the fact.
        above_chance: whether it is higher beyond doubt.
        shortcut: the class that it tells from the others; None: none.
        found: share of that class's files that is found.
        mistaken: share of the other classes' files that is taken for it.
    """

    fact: str
    accuracy: float
    chance: float
    above_chance: bool
    shortcut: int | None
    found: float
    mistaken: float


def judged(
    fact: str,
    predictions: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    num_facts: int,
    together: np.ndarray | None = None,
) -> Telling:
    """Judge predictions of files that did not take part in making them, by the formula above.

    Args:
        fact: that they follow from.
        predictions: labels, (files,).
        labels: the true ones, (files,).
        num_classes: the number of classes.
        num_facts: the number of facts that are judged.
        together: a number for each file, the same for those of one group, (files,); None: each is a group.
    """
    own_groups, other_groups = _groups(labels, num_classes, together)
    counts = np.bincount(labels * num_classes + predictions, minlength=num_classes**2).reshape(num_classes, -1)
    sizes, taken = counts.sum(1), counts.sum(0)
    present = sizes > 0
    own = counts.diagonal() / np.maximum(1, sizes)
    others = (taken - counts.diagonal()) / np.maximum(1, sizes.sum() - sizes)
    quantile = NormalDist().inv_cdf(1 - LEVEL / (2 * num_facts * num_classes))
    low, high = _wilson(own, own_groups, quantile)[0], _wilson(others, other_groups, quantile)[1]
    surely = own - others - np.sqrt((own - low) ** 2 + (high - others) ** 2)
    best = int(np.where(present, surely, -1).argmax())
    accuracy, chance = float(own[present].mean()), 1 / int(present.sum())
    share = taken / sizes.sum()  # independent of the classes, a prediction is right with this probability
    error = float(np.sqrt((share * (1 - share) / np.maximum(1, own_groups))[present].sum())) * chance
    above = accuracy - chance > NormalDist().inv_cdf(1 - LEVEL / num_facts) * error
    clear = own[best] - others[best] >= (LEAST_OF_CONTENT if fact in OF_CONTENT else LEAST)
    shortcut = best if surely[best] >= LEAST and clear else None
    return Telling(fact, accuracy, chance, bool(above), shortcut, float(own[best]), float(others[best]))


def told_by(
    fact: str,
    values: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    num_facts: int,
    together: np.ndarray | None = None,
) -> Telling:
    """Judge how well one fact, (files,), tells the classes, (files,), apart; `judged` says what the others are."""
    half = _half(labels, together)
    predictions = np.zeros_like(labels)
    for known in (half, ~half) if half.any() else ():  # files of a single group say nothing of others
        different = np.unique(values[known])
        if len(different) > BINS:
            different = np.unique(np.quantile(values[known], np.linspace(0, 1, BINS + 1)[1:], method="lower"))
        bins = np.searchsorted(different, values).clip(max=len(different) - 1)
        counts = np.zeros((num_classes, len(different)))
        np.add.at(counts, (labels[known], bins[known]), 1)
        likely = counts / np.maximum(1, counts.sum(1, keepdims=True))
        predictions[~known] = likely.argmax(0)[bins[~known]]
    return judged(fact, predictions, labels, num_classes, num_facts, together)


def _half(labels: np.ndarray, together: np.ndarray | None) -> np.ndarray:
    """Return which files are in the second half, (files,): every second group, in the order of their first classes."""
    groups = np.arange(len(labels)) if together is None else together
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=int)
    place[labels[first].argsort(kind="stable")] = np.arange(len(first))
    return (place % 2 == 1)[group]


def _groups(labels: np.ndarray, num_classes: int, together: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return how many groups have files of each class, and how many have files of the others, both (classes,)."""
    groups = np.arange(len(labels)) if together is None else together
    classes, of_class = np.unique(np.stack([labels, groups]), axis=1)
    own = np.bincount(classes, minlength=num_classes)
    names, number = np.unique(of_class, return_counts=True)
    alone = np.isin(of_class, names[number == 1])  # groups of a single class
    return own, len(names) - np.bincount(classes[alone], minlength=num_classes)


def cheap_facts(files: Sequence[ImageFile]) -> dict[str, np.ndarray]:
    """Return what is known of files without decoding them, an array of (files,) for each fact that varies."""
    heights, widths = (np.array([getattr(file.header, side) for file in files]) for side in ("height", "width"))
    suffixes = [file.path.suffix.lower().replace(".jpeg", ".jpg") for file in files]
    facts = {
        "size of the file": np.array([file.num_bytes for file in files]),
        "height": heights,
        "width": widths,
        "aspect ratio": widths / heights,
        "color or gray": np.array([file.header.color for file in files]).astype(int),
        "bits a channel": np.array([file.header.deep is not None for file in files]).astype(int),
        "suffix": np.unique(suffixes, return_inverse=True)[1],
    }
    return {name: values for name, values in facts.items() if np.ptp(values) > 0}


def warn_of_shortcuts(files: Sequence[ImageFile], command: str, groups: Sequence[str] = ()) -> None:
    """Warn in one line of facts about files that tell the classes apart.

    Args:
        files: of a data set.
        command: the audit that says more.
        groups: of the files; empty: each is a group.
    """
    classes = sorted({file.class_name for file in files})
    if len(classes) < 2:
        return
    number = {name: index for index, name in enumerate(classes)}
    labels = np.array([number[file.class_name] for file in files])
    together = np.unique(np.array(groups), return_inverse=True)[1] if groups else None
    facts = cheap_facts(files)
    told = [told_by(name, values, labels, len(classes), len(facts), together) for name, values in facts.items()]
    shortcuts = sorted(
        (each for each in told if each.shortcut is not None), key=lambda each: each.mistaken - each.found
    )
    if shortcuts:
        more = f" and {len(shortcuts) - 1} other facts" if len(shortcuts) > 1 else ""
        log.warning("%s%s: %s says more", in_words(shortcuts[0], classes, len(classes)), more, command)


def in_words(told: Telling, classes: Sequence[str], number: int) -> str:
    """Return in words what a fact tells: the size of the file alone tells the classes apart (91 %, chance 50).

    Args:
        told: what it tells.
        classes: the names of all labels.
        number: how many of them have images.
    """
    numbers = f"{100 * told.accuracy:.0f} %, chance {100 * told.chance:.0f}"
    if told.shortcut is None:
        little = "little" if told.above_chance else "nothing"
        return f"the {told.fact} alone tells {little} about the classes ({numbers})"
    if number == 2:
        return f"the {told.fact} alone tells the classes apart ({numbers})"
    return (
        f"the {told.fact} alone tells {classes[told.shortcut]} from the other classes ({100 * told.found:.0f} % of its "
        f"files, {100 * told.mistaken:.0f} % of the others; of all classes {numbers})"
    )


def _wilson(shares: np.ndarray, sizes: np.ndarray, quantile: float) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson's intervals of shares of some numbers of files; of none it is 0 to 1."""
    worth = quantile**2 / np.maximum(sizes, 1e-9)
    middle = (shares + worth / 2) / (1 + worth)
    half = np.sqrt(shares * (1 - shares) * worth + worth**2 / 4) / (1 + worth)
    return (middle - half).clip(0, 1), (middle + half).clip(0, 1)
