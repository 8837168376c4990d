"""Label suspects: images whose label a classifier does not expect that learned from the other images only.

Each image's classes have probabilities from a logistic regression on the other folds' images ("out of fold"); copies
are in one fold, or else a copy would confirm its own wrong label. `graft.analysis.doubts` judges the labels by them.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from tqdm import tqdm

from graft.audit.held_out import folds_of, groups_of_classes
from graft.audit.vectors import Vectors
from graft.process import hidden_bars

LANDMARKS = 500  # of the kernel that judges pixels
INSTALL = 'pip install -e ".[audit]"'


@dataclass(frozen=True)
class Judged:
    """What a classifier that has not seen an image says of it.

    Attributes:
        places: of the judged images among all, (judged,).
        labels: their labels, (judged,).
        probabilities: of the classes, (judged, classes).
    """

    places: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def accuracy(self) -> float:
        """Mean over the classes of the share of images for which the label is the likeliest class."""
        right = self.probabilities.argmax(1) == self.labels
        return float(np.mean([right[self.labels == label].mean() for label in np.unique(self.labels)]))

    def confusions(self) -> list[tuple[int, int, int, float]]:
        """Return pairs of a label and another class, the number and share of its images that are taken for it.

        The largest shares come first.
        """
        num_classes = self.probabilities.shape[1]
        codes = self.labels * num_classes + self.probabilities.argmax(1)
        counts = np.bincount(codes, minlength=num_classes**2).reshape(num_classes, -1)
        shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
        np.fill_diagonal(shares, 0)
        order = [divmod(int(code), num_classes) for code in np.argsort(-shares, axis=None, kind="stable")]
        return [
            (one, two, int(counts[one, two]), float(shares[one, two])) for one, two in order if shares[one, two] > 0
        ]


def out_of_fold(vectors: Vectors, labels: np.ndarray, same: np.ndarray, num_folds: int) -> Judged | None:
    """Return what classifiers say of images that they have not learned from; None if there is too little to learn.

    Left out are classes with fewer than two groups, and images whose class no other fold has.

    Args:
        vectors: of the images.
        labels: their labels, (images,).
        same: a number for each image, the same for those that must be in one fold, (images,).
        num_folds: number of folds; fewer if no class has as many groups.
    """
    places = np.flatnonzero(groups_of_classes(labels, same)[labels] > 1)
    if len(np.unique(labels[places])) < 2:
        return None
    folds = folds_of(labels[places], same[places], num_folds)
    taught = groups_of_classes(labels[places], folds)[labels[places]] > 1
    if len(np.unique(labels[places][taught])) < 2:
        return None
    places, folds = places[taught], folds[taught]
    classes, own = np.unique(labels[places], return_inverse=True)
    values = vectors.values[places]
    probabilities = np.zeros((len(places), len(classes)))
    for number in tqdm(np.unique(folds), "labels", unit="fold", disable=hidden_bars(), leave=False):
        held_out = folds == number
        learned = _classifier(vectors.learned, int((~held_out).sum()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # ranks change little after 300 steps
            learned.fit(values[~held_out], own[~held_out])
        known = learned[-1].classes_
        probabilities[np.ix_(held_out, known)] = learned.predict_proba(values[held_out])
    wide = np.zeros((len(places), int(labels.max()) + 1))
    wide[:, classes] = probabilities
    return Judged(places, labels[places], wide)


def _classifier(learned: bool, num_images: int):
    """Return a linear classifier of features, or of a kernel's values for pixels, which are not linear."""
    if learned:
        return make_pipeline(LogisticRegression(max_iter=300))
    kernel = Nystroem(gamma=1.0, n_components=min(LANDMARKS, num_images), random_state=0)
    return make_pipeline(kernel, LogisticRegression(C=10, max_iter=300))
