"""Conformal sets: the classes that cannot be excluded, such that sets have the true class as often as was asked for.

A class stays in an image's set unless its probability is among the lowest that images which were not trained on gave
their own true classes. For this, such images and the image to predict must be of one kind; nothing else is assumed.
"""

import csv
import io
import math
from collections.abc import Sequence

import numpy as np

from graft.errors import GraftError
from graft.results.unseen import UnseenImages

Scores = tuple[np.ndarray, np.ndarray]  # sorted probabilities of true classes, (pairs,), and the sums of their weights


class ConformalSets:
    """The sets of one job at one coverage.

    One trial, or trials that all said something of each image: split conformal prediction with 1 - probability as
    score, which has the smallest sets (Sadinle, Lei and Wasserman, JASA 2019), here of the averaged probability. Its
    coverage is at least the one asked for. Trials with images of their own, such as folds: cross-conformal prediction
    (Vovk, Annals of Mathematics and Artificial Intelligence 2015; CV+ of Barber et al., Annals of Statistics 2021, in
    the form for classes of Romano, Sesia and Candes, NeurIPS 2020). An image's probability, averaged over the trials
    that did not train on it, is compared with the mean of the same trials for the image to predict (Kim, Xu and
    Barber, Predictive Inference Is Free with the Jackknife+-after-Bootstrap, NeurIPS 2020). Proven is 1 - 2 (1 -
    coverage); the coverage asked for, or a little more, is usual.

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
            raise GraftError(
                f"coverage={coverage:g} is not possible: {unseen}; train with dataset.val_per_class=20, or with "
                "dataset.folds=5"
            )
        count = len(unseen.label)
        self.excluded = (1 - coverage) * (count + 1)  # at most as many images have a true class of less probability
        if self.excluded < 1 - 1e-9:
            raise GraftError(_too_few(unseen, coverage))
        if trials == 1:  # the kept one stands for all
            self.members = np.ones((1, 1))
            self.scores = [_scores(unseen.of_label.astype(np.float64), unseen.weight)]
        else:
            said = np.zeros((count, trials))
            said[unseen.image, unseen.trial] = 1
            self.members, group = np.unique(said / said.sum(1, keepdims=True), axis=0, return_inverse=True)
            values = _rounded(unseen.mean(unseen.of_label))
            parts = [values[group == each] for each in range(len(self.members))]
            self.scores = [_scores(part, np.ones(len(part))) for part in parts]
        self.words = f"split-conformal sets from {count:,} {unseen.kind}"
        if len(self.members) > 1:
            self.words = f"cross-conformal sets from {count:,} {unseen.kind}, which may cover a little more"

    def contains(self, probabilities: np.ndarray) -> np.ndarray:
        """Return which classes are in the images' sets, (images, classes).

        Args:
            probabilities: of the kept trials, (trials, images, classes), in the order of their seeds.
        """
        given = _rounded(probabilities)
        at_most = np.zeros(given.shape[1:])
        for members, scores in zip(self.members, self.scores, strict=True):
            at_most += _weight_at_most(scores, _rounded(np.tensordot(members, given, 1)))
        inside = at_most + 1 > self.excluded + 1e-9
        inside[np.arange(len(inside)), probabilities.mean(0).argmax(1)] = True
        return inside


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


def _scores(values: np.ndarray, weight: np.ndarray) -> Scores:
    order = np.argsort(values)
    return values[order], np.concatenate([[0], np.cumsum(weight[order])])


def _weight_at_most(scores: Scores, values: np.ndarray) -> np.ndarray:
    """Return the weight of the scores that are at most as high as each value, in the shape of the values."""
    return scores[1][np.searchsorted(scores[0], values, side="right")]


def _too_few(unseen: UnseenImages, coverage: float) -> str:
    count = len(unseen.label)
    needed = math.ceil(coverage / (1 - coverage) - 1e-9)
    possible = math.floor(1000 * count / (count + 1)) / 1000
    return (
        f"coverage={coverage:g} needs at least {needed:,} images that were not trained on, and the job has {count:,} "
        f"{unseen.kind}; try coverage={possible:g}, or train with a larger dataset.val_per_class, or dataset.folds=5"
    )
