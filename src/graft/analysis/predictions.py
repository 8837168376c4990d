"""What a job's trials said of its test images, a row for each trial and a column for each image."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas

from graft.results.measured import columns, measured, numbers
from graft.results.outcomes import SplitOutcomes, StoredOutcomes, of_label
from graft.statistics.accuracies import Measured
from graft.statistics.outcomes import Outcomes


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
    """

    classes: list[str]
    images: pandas.DataFrame
    outcomes: Outcomes
    predicted: np.ndarray
    of_label: np.ndarray
    split: SplitOutcomes

    @property
    def labels(self) -> np.ndarray:
        """Place of each image's true class, (images,)."""
        assert self.outcomes.labels is not None
        return self.outcomes.labels

    @property
    def tested(self) -> np.ndarray:
        """Whether each trial tested each image, (trials, images)."""
        return ~np.isnan(self.outcomes.values)

    @property
    def wrong(self) -> np.ndarray:
        """Whether each trial was wrong on each image, (trials, images)."""
        return self.outcomes.values == 0

    @property
    def runs(self) -> np.ndarray:
        """The run that each trial belongs to, (trials,), from 0: a repeat of all folds, or else the trial itself."""
        folds = self.outcomes.folds
        if not folds:
            return np.arange(len(self.outcomes.seeds))
        return np.unique([seed // folds for seed in self.outcomes.seeds], return_inverse=True)[1]

    @property
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
        return total / self.tested.sum(0)[:, None]


def predictions_of(result: Mapping[str, Any], stored: StoredOutcomes) -> Predictions:
    """Return what a job's finished trials said of its test images.

    Args:
        result: the content of its `result.json`.
        stored: its outcomes.

    Raises:
        ValueError: its trials were tested on different images, but not on folds.
    """
    split, found = stored.test, measured(result, stored)
    if not isinstance(found, Measured):
        raise ValueError("its trials were tested on different images")
    return Predictions(
        classes=stored.classes,
        images=stored.images.loc[numbers(split), ["path", "hash", "class", "group"]],
        outcomes=found.outcomes,
        predicted=columns(split, split.prediction, 0).astype(np.int64),
        of_label=columns(split, split.probability_of_label, 0),
        split=split,
    )
