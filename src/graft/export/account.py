"""What a job's outcomes say of the trials in an exported file: recall of each class, confusions, calibration."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graft.analysis.calibration_error import calibration_error
from graft.analysis.confusions import Confusions
from graft.results.outcomes import StoredOutcomes, of_label

DRAWS = 500  # of labels, for the error of a calibrated model


@dataclass(frozen=True)
class Account:
    """Predictions of test images.

    Attributes:
        classes: their names.
        averaged: whether an image's probabilities are the mean of the trials; else each trial counts apart, because
            each tests a fold, or because the job has too many probabilities to store them.
        labels: places of the true classes, (predictions,).
        predicted: places of the predicted classes, (predictions,).
        confidence: probability of the predicted class, (predictions,); None: not stored.
        groups: that the images belong to, (predictions,), which an interval counts; None: images, or trials apart.
    """

    classes: list[str]
    averaged: bool
    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray | None
    groups: np.ndarray | None = None

    @property
    def counts(self) -> Confusions:
        """The predictions by class."""
        pairs = zip(self.labels.tolist(), self.predicted.tolist(), strict=True)
        return Confusions((self.classes[true], self.classes[said]) for true, said in pairs)

    def calibration_error(self) -> tuple[float, float] | None:
        """Return the expected calibration error, and its mean for a calibrated model with these confidences.

        The second is above 0, because few images in a bin are rarely as often right as they should be.
        """
        if self.confidence is None:
            return None
        numbers = np.random.default_rng(0)
        drawn = numbers.random((DRAWS, len(self.confidence))) < self.confidence
        by_chance = [calibration_error(self.confidence, correct) for correct in drawn]
        return calibration_error(self.confidence, self.labels == self.predicted), float(np.mean(by_chance))


def make_account(stored: StoredOutcomes, seeds: Sequence[int]) -> Account:
    """Return what the trials of these seeds said of the test images."""
    test, rows = stored.test, [stored.seeds.index(seed) for seed in seeds]
    if test.shared and (test.probability is not None or len(rows) == 1):
        groups = stored.groups(test.image[0])
        if test.probability is None:
            return Account(stored.classes, True, test.label[0], test.prediction[rows[0]], None, groups)
        mean = test.probability[rows].astype(np.float64).mean(0)
        predicted = test.prediction[rows[0]] if len(rows) == 1 else mean.argmax(1)  # float16 may have made ties
        confidence = np.take_along_axis(mean, predicted.astype(np.int64)[:, None], 1)[:, 0]
        return Account(stored.classes, True, test.label[0], predicted, confidence, groups)
    shape = test.prediction[rows].shape
    own = slice(None) if test.shared else rows
    tested = np.broadcast_to(test.tested[own], shape)
    labels = np.broadcast_to(test.label[own], shape)
    confidence = None
    if test.probability is not None:
        confidence = of_label(test.probability[rows].astype(np.float64), test.prediction[rows])[tested]
    return Account(stored.classes, False, labels[tested], test.prediction[rows][tested], confidence)
