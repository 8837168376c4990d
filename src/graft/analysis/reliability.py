"""Calibration: whether predictions of a confidence are as often right as it says."""

from dataclasses import dataclass

import numpy as np
import pandas

from graft.analysis.calibration_error import BIN, calibration_bins, calibration_error
from graft.analysis.predictions import Predictions
from graft.nouns import counted

BINS = ["confidence", "accuracy", "images", "low", "high"]


@dataclass(frozen=True, eq=False)
class Reliability:
    """How far a job's confidences are from its accuracy.

    Attributes:
        bins: a row for each bin of `calibration_bins`, of the trials together, each image counted once.
        errors: the expected calibration error of each trial, or of each repeat of all folds, in [0, 1].
        run_noun: what each of these is of.
    """

    bins: pandas.DataFrame
    errors: np.ndarray
    run_noun: str = "trial"

    @property
    def mean(self) -> float:
        """The mean of the errors, which are each trial's own: errors of several trials together are others."""
        return float(self.errors.mean())

    @property
    def words(self) -> str:
        """The error in words, with its range over trials or repeats; of one bin, what it then is."""
        words = f"expected calibration error {100 * self.mean:.1f} %"
        if len(self.errors) > 1:
            low, high = 100 * self.errors.min(), 100 * self.errors.max()
            words += f" (mean of {counted(len(self.errors), self.run_noun)}, {low:.1f} to {high:.1f} %)"
        if len(self.bins) > 1:
            return words
        few = self.bins["images"].to_numpy(float).sum() < 2 * BIN
        why = f"two bins need {2 * BIN} test images" if few else "all predictions have one confidence"
        return f"{words}, from one bin: mean confidence against accuracy; {why}"


def reliability(found: Predictions) -> Reliability | None:
    """Return how calibrated the trials of a job are; None where the probabilities of the predictions are not stored."""
    confidence, tested, runs = found.confidence(), found.tested, found.runs
    if confidence is None:
        return None
    correct = found.outcomes.values == 1
    errors = []
    for run in range(runs.max() + 1):
        own = tested & (runs == run)[:, None]
        errors.append(calibration_error(confidence[own], correct[own]))
    weight = np.broadcast_to(1 / found.tests, tested.shape)[tested]
    bins = calibration_bins(confidence[tested], correct[tested], weight)
    return Reliability(pandas.DataFrame(bins, columns=BINS), np.array(errors), found.run_noun)
