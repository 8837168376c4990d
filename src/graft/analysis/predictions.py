"""What a job's trials said of its test images, a row for each trial and a column for each image."""

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import pandas

from graft.nouns import counted
from graft.results.measured import columns, measured, numbers
from graft.results.outcomes import SplitOutcomes, StoredOutcomes, of_label
from graft.results.records import Record
from graft.statistics.accuracies import Measured
from graft.statistics.outcomes import Outcomes

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of test images by the finished trials of one job.

    Attributes:
        classes: their names.
        images: the tested images by number, with the columns path, hash, class and group.
        outcomes: whether each trial is right on each image, by which the job's own accuracy and interval are computed;
            NaN where a trial did not test an image (folds).
        predicted: place of the predicted class, (trials, images); 0 where a trial did not test an image.
        of_label: probability of the true class, (trials, images), float16.
        split: these as they are stored.
        copies: number of trials that are one computation, and one row here; 0: each trial is one of its own.
        tables: what has been computed of them already (`once`).
    """

    classes: list[str]
    images: pandas.DataFrame
    outcomes: Outcomes
    predicted: np.ndarray
    of_label: np.ndarray
    split: SplitOutcomes
    copies: int = 0
    tables: dict[Callable, Any] = field(default_factory=dict, repr=False)

    @property
    def labels(self) -> np.ndarray:
        """Place of each image's true class, (images,)."""
        assert self.outcomes.labels is not None
        return self.outcomes.labels

    @functools.cached_property
    def tested(self) -> np.ndarray:
        """Whether each trial tested each image, (trials, images)."""
        return ~np.isnan(self.outcomes.values)

    @functools.cached_property
    def said(self) -> np.ndarray:
        """Place of each predicted class, (trials, images); -1 where a trial did not test an image."""
        kind = np.int16 if len(self.classes) <= np.iinfo(np.int16).max else np.int64  # faster to compare with a class
        return np.where(self.tested, self.predicted, -1).astype(kind)

    @functools.cached_property
    def tests(self) -> np.ndarray:
        """Number of trials that tested each image, (images,)."""
        return self.tested.sum(0)

    @functools.cached_property
    def wrong(self) -> np.ndarray:
        """Whether each trial was wrong on each image, (trials, images)."""
        return self.outcomes.values == 0

    @functools.cached_property
    def runs(self) -> np.ndarray:
        """The run that each trial belongs to, (trials,), from 0: a repeat of all folds, or else the trial itself."""
        folds = self.outcomes.folds
        if not folds:
            return np.arange(len(self.outcomes.seeds))
        return np.unique([seed // folds for seed in self.outcomes.seeds], return_inverse=True)[1]

    @property
    def run_noun(self) -> str:
        """What a run is called."""
        return "repeat" if self.outcomes.folds else "trial"

    @property
    def trials(self) -> str:
        """Number of trials, in words."""
        words = counted(len(self.outcomes.seeds), "trial")
        return f"{words} ({self.one_computation})" if self.copies else words

    @property
    def one_computation(self) -> str:
        """Say that trials are one computation; empty if they are not."""
        return f"{self.copies} trials are one computation and count as one" if self.copies else ""

    @functools.cached_property
    def complete(self) -> np.ndarray:
        """Whether each run tested each image, (runs,): where a trial failed, some of its repeat's were not."""
        tested = self.tested.sum(1)
        return np.bincount(self.runs, tested) == len(self.images)

    def probability_of(self, classes: np.ndarray) -> np.ndarray | None:
        """Return each image's probability of one class, (trials, images), NaN where not tested; None if not stored.

        Args:
            classes: place of the class, (images,), of one or each image, or (trials, images) as they are stored.
        """
        if self.split.probability is None:
            return None
        if not self.split.shared and classes.shape != self.split.prediction.shape:
            classes = classes[np.searchsorted(numbers(self.split), self.split.image).clip(0, len(classes) - 1)]
        found = of_label(self.split.probability, np.atleast_2d(classes)).astype(np.float64)
        return columns(self.split, found, np.nan)

    def confidence(self) -> np.ndarray | None:
        """Return the probability of each predicted class, (trials, images); NaN and None as `probability_of` does."""
        return self.probability_of(self.split.prediction)

    def mean_probability(self) -> np.ndarray | None:
        """Return the mean of the probabilities over the trials that tested an image, (images, classes)."""
        if self.split.probability is None:
            return None
        places = np.searchsorted(numbers(self.split), self.split.image)
        total = np.zeros((len(self.images), len(self.classes)))
        for trial, of_trial in enumerate(self.split.probability):
            own = 0 if self.split.shared else trial
            tested = self.split.tested[own]
            total[places[own][tested]] += of_trial[tested]
        return total / self.tests[:, None]


def once(compute: Callable[[Predictions], T]) -> Callable[[Predictions], T]:
    """Return the function that computes tables of the same predictions once, and returns copies each time."""

    @functools.wraps(compute)
    def known(found: Predictions) -> T:
        if compute not in found.tables:
            found.tables[compute] = compute(found)
        return copy.deepcopy(found.tables[compute])

    return known


def job_predictions(record: Record | None) -> Predictions | None:
    """Return what a job's finished trials said of its test images; None if there is no job, or nothing is stored."""
    if record is None or record.outcomes is None:
        return None
    try:
        return predictions_of(record.result, record.outcomes)
    except ValueError:
        return None


def predictions_of(result: Mapping[str, Any], stored: StoredOutcomes) -> Predictions:
    """Return what a job's finished trials said of its test images; of trials that are one computation, what one said.

    Args:
        result: the content of its `result.json`.
        stored: its outcomes.

    Raises:
        ValueError: its trials were tested on different images, but not on folds.
    """
    known = _KNOWN.get(stored)  # a report's tables, pictures and page ask for the same ones
    if known is None or known[0] is not result:
        known = _KNOWN[stored] = (result, _predictions(result, stored))
    return known[1]


_KNOWN: WeakKeyDictionary[StoredOutcomes, tuple[Mapping[str, Any], Predictions]] = WeakKeyDictionary()


def _predictions(result: Mapping[str, Any], stored: StoredOutcomes) -> Predictions:
    split, found = stored.test, measured(result, stored)
    if not isinstance(found, Measured):
        raise ValueError("its trials were tested on different images")
    outcomes, copies = found.outcomes, 0
    if outcomes.copies and split.shared and len(outcomes.seeds) > 1:
        copies = len(outcomes.seeds)
        outcomes = outcomes.select(outcomes.seeds[:1], np.arange(len(outcomes.images)))
        whole = None if split.probability is None else split.probability[:1]
        of_first = split.probability_of_label[:1]
        split = replace(split, prediction=split.prediction[:1], probability_of_label=of_first, probability=whole)
    return Predictions(
        classes=stored.classes,
        images=stored.images.loc[numbers(split), ["path", "hash", "class", "group"]],
        outcomes=outcomes,
        predicted=columns(split, split.prediction, 0).astype(np.int64),
        of_label=columns(split, split.probability_of_label, 0),
        split=split,
        copies=copies,
    )
