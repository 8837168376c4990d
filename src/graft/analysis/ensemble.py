"""A job's trials as one model, as with keep_weights=all: the class of the highest mean of their probabilities."""

from dataclasses import dataclass

import numpy as np
import pandas

from graft.analysis.predictions import Predictions
from graft.nouns import counted, percent
from graft.statistics.intervals import share_interval


@dataclass(frozen=True)
class Ensemble:
    """The mean of the trials' probabilities on the test images.

    Attributes:
        trials: how many.
        right: number of images whose most probable class is the true one.
        total: number of images.
        interval: 95 % interval of their share, for other images and these networks; None if images are of one group.
        unit: what the interval counts: images or groups.
        seen: number of images that at least one trial trained on.
    """

    trials: int
    right: int
    total: int
    interval: tuple[float, float] | None
    unit: str
    seen: int

    def in_words(self) -> str:
        """Return the accuracy as a sentence."""
        ends = "no interval" if self.interval is None else " to ".join(percent(end) for end in self.interval) + " %"
        share = f"{percent(self.right / self.total)} % of {counted(self.total, 'test image')}"
        return (
            f"The mean of the probabilities of {counted(self.trials, 'trial')} is right for {share} ({ends} for other "
            f"{self.unit}, 95 %, of these networks as they are). They trained on {counted(self.seen, 'image')} in all."
        )


def ensemble(found: Predictions, images: pandas.DataFrame) -> Ensemble | None:
    """Return what trials say together; None for one, or if they test folds, or if probabilities are not stored.

    Args:
        found: their predictions.
        images: all images of the job, as its outcomes have them.
    """
    trials, mean = len(found.outcomes.seeds), found.mean_probability()
    if trials < 2 or not found.split.shared or mean is None:
        return None
    right, groups = mean.argmax(1) == found.labels, found.outcomes.groups
    unit = "images of their kind" if groups is None else "groups of images"
    seen = int(np.count_nonzero(images["draws"].to_numpy()))
    return Ensemble(trials, int(right.sum()), len(right), share_interval(right, groups), unit, seen)
