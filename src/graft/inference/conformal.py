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
    the form for classes of Romano, Sesia and Candes, NeurIPS 2020), which compares an image's score by each trial with
    the scores that this trial gave its own; proven is 1 - 2 (1 - coverage), about the coverage is usual.

    The most probable class is in each set, too, so that none is empty; where the accuracy is above the coverage asked
    for, coverage is above it as well. Scores are of probabilities before the temperature, which the same images
    have fitted, rounded as they are stored.

    Args:
        unseen: what the trials said of images that they did not train on, or why there is nothing.
        seeds: number of kept trials.
        coverage: the share of images whose set has the true class, above 0 and below 1.

    Attributes:
        words: what the sets are from.

    Raises:
        GraftError: there are too few images for the coverage, or none.
    """

    def __init__(self, unseen: UnseenImages | str, trials: int, coverage: float):
        if isinstance(unseen, str):
            raise GraftError(
                f"coverage={coverage:g} is not possible: {unseen}; try dataset.val_per_class=20, or dataset.folds=5"
            )
        count = len(unseen.label)
        self.excluded = (1 - coverage) * (count + 1)  # an image's true class has fewer scores below it as rarely
        if self.excluded < 1 - 1e-9:
            raise GraftError(_too_few(unseen, coverage))
        self.split = trials == 1 or unseen.shared
        if trials > 1 and unseen.shared:
            self.scores = [_scores(_rounded(unseen.mean(unseen.of_label)), np.ones(count))]
        elif self.split:
            self.scores = [_scores(unseen.of_label.astype(np.float64), unseen.weight)]
        else:
            parts = [unseen.trial == trial for trial in np.unique(unseen.trial)]
            values = unseen.of_label.astype(np.float64)
            self.scores = [_scores(values[part], unseen.weight[part]) for part in parts]
        self.words = f"{'split' if self.split else 'cross'}-conformal sets of {count:,} {unseen.kind}"

    def contains(self, probabilities: np.ndarray) -> np.ndarray:
        """Return which classes are in the images' sets, (images, classes).

        Args:
            probabilities: of the kept trials, (trials, images, classes), in the order of their seeds.
        """
        given = _rounded(probabilities)
        mean = given.mean(0)
        views = [_rounded(mean)] if self.split else given
        at_most = [_weight_at_most(scores, view) for scores, view in zip(self.scores, views, strict=True)]
        inside = np.sum(at_most, axis=0) + 1 > self.excluded + 1e-9
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
    csv.writer(text, delimiter="|", lineterminator="").writerow(classes)
    return text.getvalue()


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
