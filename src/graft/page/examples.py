"""Single images on a page: the most certain mistakes, those on which two jobs differ most, label suspects."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas

from graft.analysis.disagreements import disagreements
from graft.analysis.doubts import LEAST, label_suspects
from graft.analysis.mistakes import mistakes
from graft.analysis.predictions import Predictions
from graft.nouns import counted
from graft.page.pictures import CHANGED, Explained, PagePictures, data_uri, read
from graft.report.table import table_rows
from graft.results.records import Record

MOST = {"mistakes": 24, "differing": 12, "suspects": 12}


class Example(NamedTuple):
    """One image.

    Attributes:
        path: its file, or the number of its place in the data set.
        lines: what is said of it.
        picture: it, as an address; empty if it is not shown.
        explained: what a model looked at in it; empty without.
    """

    path: str
    lines: list[str]
    picture: str
    explained: str


@dataclass(frozen=True)
class Examples:
    """Some images.

    Attributes:
        name: mistakes, differing or suspects.
        title: a heading.
        short: the same in a list of all sections.
        method: by what they were chosen, and of how many.
        shown: the images.
    """

    name: str
    title: str
    short: str
    method: str
    shown: list[Example]


@dataclass(frozen=True)
class AllExamples:
    """All sections of single images, and why pictures are missing.

    Attributes:
        sections: those that have images, or say why not.
        why: why no picture is shown, or what the second ones are; empty if nobody asked for any.
        missing: what stands in place of a picture.
    """

    sections: list[Examples]
    why: str
    missing: str


def examples(
    best: tuple[Record, Predictions], second: tuple[Record, Predictions] | None, pictures: PagePictures
) -> AllExamples:
    """Return the images that a page shows.

    Args:
        best: the best job.
        second: the next one; None if there is none, or its trials cannot be compared.
        pictures: reads them.
    """
    record, found = best
    sections = [_mistakes(found)]
    if second is not None:
        sections.append(_differing(record, found, *second))
    sections.append(_suspects(found))
    numbers = [int(row["number"]) for _, _, rows, _ in sections for row in rows]
    shots, why = read(pictures.thumbnails, record, numbers)
    explained, why_not = read(pictures.explain, record, numbers)
    made = [
        Examples(name, *TITLES[name], method, [_example(row, describe, shots, explained) for row in rows])
        for name, method, rows, describe in sections
    ]
    missing = CHANGED if pictures.thumbnails is not None and not why else ""
    if pictures.explain is not None and not why_not:
        why_not = _explained_words(best, {*numbers}, explained)
    said = [why, why_not]
    return AllExamples(made, " ".join(f"{each[0].upper()}{each[1:]}." for each in said if each), missing)


def _explained_words(best: tuple[Record, Predictions], numbers: set[int], explained: Mapping[int, Explained]) -> str:
    """Return what the second pictures are, and how many images have none."""
    record, found = best
    missing = len(numbers - explained.keys())
    few = f"{missing:,} of {len(numbers):,}" if explained else "the"
    words = [EXPLAINED.format(record.label)] if explained else []
    words += [FOLDS] if explained and found.outcomes.folds else []
    words += [f"{few} images are not explained, because they have changed since, or cannot be read"] if missing else []
    return ". ".join(f"{each[0].upper()}{each[1:]}" for each in words)


EXPLAINED = (
    "The second picture of each image, here and below: where the stored model of {} looked, yellow most, for the class "
    "that it predicts itself, which is named as explained (docs/explain.md)"
)
FOLDS = (
    "Of folds, this model may have trained on an image, unlike the trial whose mistake is shown, and so may be right "
    "where that one is wrong"
)
TITLES = {
    "mistakes": ("The most certain mistakes", "Mistakes"),
    "differing": ("Images on which the two best differ most", "Where the two best differ"),
    "suspects": ("Label suspects", "Label suspects"),
}
Described = tuple[str, str, list[dict[str, Any]], Callable[[Mapping[str, Any]], list[str]]]


def _mistakes(found: Predictions) -> Described:
    table, total = mistakes(found), len(found.images)
    rows, were = _first(table, "mistakes"), "was" if len(table) == 1 else "were"
    own_fold = " Each trial predicts only images of its own fold, on which it did not train."
    single = len(found.outcomes.seeds) == 1
    by, order = "the one trial", "the most certain ones first."
    if not single:
        by, order = "at least one trial", "those first that most trials got wrong, then the most certain ones. "
        order += "The probability is the mean over the trials that predicted this class."
    method = f"{counted(len(table), 'test image')} of {total:,} {were} taken for another class by {by}"
    method += f"{_which(rows, table)}, {order}" if rows else "."
    method += own_fold if found.outcomes.folds else ""
    method += f" {found.one_computation}." if found.copies else ""
    return "mistakes", method, rows, _mistaken_once if single else _mistaken


def _mistaken_once(row: Mapping[str, Any]) -> list[str]:
    return [f"label: {row['class']}", f"predicted: {_isolated(str(row['prediction']))}{_certain(row)}"]


def _isolated(name: str) -> str:
    """Return a name that does not turn what follows it: after one in Arabic, 88 % would be shown as % 88."""
    turns = any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in name)
    return f"\u2068{name}\u2069" if turns else name


def _mistaken(row: Mapping[str, Any]) -> list[str]:
    wrong = round(row["wrong"] * row["trials"])
    so = f", {row['said']} of them predict {row['prediction']}" if row.get("said", wrong) < wrong else ""
    return [*_mistaken_once(row), f"wrong in {_trials(row['wrong'], row['trials'])}{so}"]


def _suspected(row: Mapping[str, Any]) -> list[str]:
    return [*_mistaken_once(row), f"predicted so in {_trials(row['wrong'], row['trials'])}"]


def _differing(first: Record, found: Predictions, second: Record, other: Predictions) -> Described:
    try:
        table = disagreements(found, other)
    except ValueError as error:
        return "differing", f"Not shown: {error}.", [], _mistaken
    rows = _first(table, "differing")
    images = f"on {counted(len(table), 'test image')} of {len(found.images):,}{_which(rows, table)}"
    method = f"{first.label} and {second.label} are right in different shares of their common trials {images}, "
    method += "the largest differences first."
    if not rows or max(row["trials"] for row in rows) == 1:
        method = f"Just one of {first.label} and {second.label} is right {images}."

    def described(row: Mapping[str, Any]) -> list[str]:
        trials = row["trials"]
        return [
            f"label: {row['class']}",
            f"{first.label}: {_right(found, row['first'], trials)}",
            f"{second.label}: {_right(other, row['second'], trials)}",
        ]

    return "differing", method, rows, described


def _suspects(found: Predictions) -> Described:
    table, criterion = label_suspects(found)
    if found.tests.max() < LEAST:
        return "suspects", f"Not shown: {criterion}.", [], _mistaken
    rows = _first(table, "suspects")
    if not len(table):
        return "suspects", f"None: no test image is {criterion}.", [], _mistaken
    said = f"{counted(len(table), 'test image')} {'have' if len(table) > 1 else 'has'} a label that may be wrong"
    method = f"{said}: {criterion}{_which(rows, table)}. A hard image of the right label looks the same: look at it."
    return "suspects", method, rows, _suspected


def _first(table: pandas.DataFrame, name: str) -> list[dict[str, Any]]:
    return table_rows(table.head(MOST[name]))


def _which(rows: Sequence[object], table: pandas.DataFrame) -> str:
    return f"; {len(rows)} are shown" if len(rows) < len(table) else ""


def _certain(row: Mapping[str, Any]) -> str:
    if row["probability"] is not None:
        return f" ({100 * row['probability']:.0f}\u00a0%)"
    return f" (the label had {100 * row['probability_of_label']:.0f}\u00a0%)"


def _trials(share: float, trials: int) -> str:
    return f"{round(share * trials)} of {counted(int(trials), 'trial')}"


def _right(found: Predictions, share: float, trials: int) -> str:
    if found.copies or trials == 1:
        return ("right" if share else "wrong") + (", as one computation in all trials" if found.copies else "")
    return f"right in {_trials(share, trials)}"


def _example(
    row: Mapping[str, Any],
    describe: Callable[[Mapping[str, Any]], list[str]],
    shots: Mapping[int, bytes],
    explanations: Mapping[int, Explained],
) -> Example:
    shot, explained, lines = shots.get(row["number"]), explanations.get(row["number"]), describe(row)
    if shot is not None and explained is not None:
        lines.append(f"explained: {explained.name}")
    addresses = ["" if it is None else data_uri(it) for it in (shot, explained and explained.picture)]
    path = str(row["path"])
    return Example(f"image {path}" if path.isdecimal() else path, lines, *addresses)
