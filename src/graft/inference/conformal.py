"""Conformal sets: the classes that cannot be excluded, such that sets have the true class as often as was asked for.

A class stays in an image's set unless its probability is among the lowest that images which were not trained on gave
their own true classes. For this, such images and the image to predict must be of one kind; nothing else is assumed.
"""

import csv
import io
import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import torch

from graft.errors import GraftError
from graft.nouns import counted
from graft.results.unseen import NO_VIEWS, REFIT, UnseenImages

LEAST_IMAGES = 30  # with predictions of several trials, from which the trials' correlation is found
CAUTION = 0.2  # Hartung's kappa: how much the correlation of one image's few values is raised


class ConformalSets:
    """The sets of one job at one coverage.

    One trial, or trials that all said something of each image: split conformal prediction with 1 - probability as
    score, which has the smallest sets (Sadinle, Lei and Wasserman, JASA 2019), here of the averaged probability. Its
    coverage is at least the one asked for.

    Trials with images of their own, such as folds: no image is known to be unseen by all, so that nothing is known of
    the averaged probability. Each trial alone says how extreme a class's probability is, as a conformal p-value. These
    p-values are combined: their mean is too careful (Linusson et al., On the Calibration of Aggregated Conformal
    Predictors, COPA 2017), as it varies less than each of them. Stouffer's method takes the mean of their normal
    quantiles, which varies by a known amount if their correlation is known. This one is found from the images of which
    several trials said something, or with one fold for each image, from the spread of the values to be combined
    (Hartung, A Note on Combining Dependent Tests of Significance, Biometrical Journal 1999). The coverage is then about
    the one asked for (docs/predict.md has what was measured); nothing is proven.

    The most probable class is in each set, too, so that none is empty; where the accuracy is above the coverage asked
    for, coverage is above it as well. Scores are of probabilities before the temperature, which the same images
    have fitted, rounded as they are stored.

    Args:
        unseen: what the trials said of images that they did not train on, or why there is nothing.
        trials: number of kept trials.
        coverage: the share of images whose set has the true class, above 0 and below 1.

    Attributes:
        words: what the sets are from.

    Raises:
        GraftError: there are too few images for the coverage, or none.
    """

    def __init__(self, unseen: UnseenImages | str, trials: int, coverage: float):
        if isinstance(unseen, str):
            said = unseen == REFIT or unseen.endswith(NO_VIEWS)  # which advise themselves
            advice = "" if said else "; train with dataset.val_per_class=20, or with dataset.folds=5"
            raise GraftError(f"coverage={coverage:g} is not possible: {unseen}{advice}")
        self.coverage, self.count = coverage, len(unseen.label)
        if self._excluded < 1 - 1e-9:
            raise GraftError(_too_few(unseen, coverage))
        self.combined = trials > 1 and not unseen.shared
        values, weight = unseen.of_label.astype(np.float64), unseen.weight
        if trials > 1 and unseen.shared:
            values, weight = _rounded(unseen.mean(unseen.of_label)), np.ones(self.count)
        order = np.argsort(values)
        self._known, self._weight = values[order], np.concatenate([[0], np.cumsum(weight[order])])
        self.words = f"split-conformal sets from {counted(self.count, unseen.kind)}"
        if self.combined:
            self.correlation = self._correlation(unseen)
            found = "of each image's own" if self.correlation is None else f"{self.correlation:.2f}"
            self.words = (
                f"conformal sets from {counted(self.count, unseen.kind)}; p-values of {trials} trials are combined, "
                f"with a correlation {found}"
            )

    def contains(self, probabilities: np.ndarray) -> np.ndarray:
        """Return which classes are in the images' sets, (images, classes).

        Args:
            probabilities: of the kept trials, (trials, images, classes), in the order of their seeds.
        """
        given = _rounded(probabilities)
        if self.combined:
            combined = stouffer(self._quantiles(given), self.correlation)
            inside = combined > NormalDist().inv_cdf(1 - self.coverage)
        else:
            inside = self._at_most(_rounded(given.mean(0))) + 1 > self._excluded + 1e-9
        inside[np.arange(len(inside)), probabilities.mean(0).argmax(1)] = True
        return inside

    @property
    def _excluded(self) -> float:
        """Of how many images a true class may have less probability than an excluded class, and one more."""
        return (1 - self.coverage) * (self.count + 1)

    def _at_most(self, values: np.ndarray) -> np.ndarray:
        """Return how many images gave their true class at most these probabilities, in their shape."""
        return self._weight[np.searchsorted(self._known, values, side="right")]

    def _quantiles(self, values: np.ndarray) -> np.ndarray:
        """Return the normal quantiles of probabilities' places among those of true classes, in their shape."""
        return torch.special.ndtri(torch.from_numpy((self._at_most(values) + 0.5) / (self.count + 1))).numpy()

    def _correlation(self, unseen: UnseenImages) -> float | None:
        """Return the correlation of two trials' quantiles for the true class of one image; None: too few have two."""
        quantiles, times = self._quantiles(unseen.of_label.astype(np.float64)), np.bincount(unseen.image)
        if (times > 1).sum() < LEAST_IMAGES:
            return None
        squares = (quantiles - unseen.mean(quantiles)[unseen.image]) ** 2
        return max(0.0, 1 - float(squares.sum() / (times - 1).sum()))  # the variance of all quantiles is 1


def stouffer(quantiles: np.ndarray, correlation: float | None) -> np.ndarray:
    """Combine normal quantiles, (trials, ...), to one that is standard normal if each of them is, (...).

    Args:
        quantiles: of each trial.
        correlation: of two trials; None: it is estimated from the spread of the values that are combined.
    """
    count = len(quantiles)
    if correlation is not None:
        return quantiles.sum(0) / np.sqrt(count + count * (count - 1) * correlation)
    spread = np.minimum(quantiles.var(0, ddof=1), 1 + 1 / (count - 1))  # 1 - correlation
    raised = 1 - spread + CAUTION * np.sqrt(2 / (count + 1)) * spread
    return quantiles.sum(0) / np.sqrt(count + count * (count - 1) * raised)


def joined(classes: Sequence[str]) -> str:
    """Return the names of a set's classes with | between them.

    A name that has |, " or a line break is in quotes, as in a CSV file whose separator is |.

    Example:
        >>> joined(["cat", "dog"]), joined(["cat|dog", "hen"])
        ('cat|dog', '"cat|dog"|hen')
    """
    text = io.StringIO(newline="")
    csv.writer(text, delimiter="|", lineterminator="\r\n").writerow(classes)  # so that either in a name is quoted
    return text.getvalue().removesuffix("\r\n")


def parted(text: str) -> list[str]:
    """Return the names that `joined` has put together.

    Example:
        >>> parted('"cat|dog"|hen')
        ['cat|dog', 'hen']
    """
    return next(csv.reader(io.StringIO(text, newline=""), delimiter="|"))


def _rounded(probability: np.ndarray) -> np.ndarray:
    """Return probabilities rounded as outcomes are stored, so that equal ones stay equal."""
    return probability.astype(np.float16).astype(np.float64)


def _too_few(unseen: UnseenImages, coverage: float) -> str:
    count = len(unseen.label)
    needed = math.ceil(coverage / (1 - coverage) - 1e-9)
    possible = math.floor(1000 * count / (count + 1)) / 1000
    return (
        f"coverage={coverage:g} needs at least {counted(needed, 'image')} that were not trained on, and the job has "
        f"{counted(count, unseen.kind)}; try coverage={possible:g}, or train with a larger dataset.val_per_class, or "
        "dataset.folds=5"
    )
