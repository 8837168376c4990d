"""Heads that are solved at once, besides ridge and logistic regression: one layer each, or the training images kept."""

from typing import Any

import numpy as np
import torch

from graft.heads.head import SolvedHead, numbered, standardized
from graft.model.stages import Weights
from graft.solvers.folded import support_vectors
from graft.solvers.weights import ClassWeight, image_weights

MARGINS = np.logspace(-3, 1, 5)  # `C` of the support vector machine, times the images' mean squared length


class LDA(SolvedHead):
    """Linear discriminant analysis; each class's covariance is shrunk as Ledoit and Wolf say.

    It is `LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")` of scikit-learn. The shrunk covariance is a
    diagonal D plus F^T F with a row of F for each image, so that it is inverted as a matrix of (images, images) where
    these are fewer than the features. Class weights change how frequent classes are taken to be.

    No class of one or two images has a shrinkage of its own: if all are so small, all images about their class's mean
    share one; if all have one image, the covariance is the identity. One feature is never shrunk.
    """

    @classmethod
    def fit(cls, features: torch.Tensor, labels: torch.Tensor, class_weight: ClassWeight = None) -> Weights:
        given, y = standardized(features), numbered(labels)
        prior = np.bincount(y, image_weights(y, class_weight)) / image_weights(y, class_weight).sum()
        means = class_means(given.values, y)
        residuals = given.values - means[y]
        residuals[:, residuals.std(0) <= given.rounding] = 0
        diagonal, factor = np.zeros(len(given.mean)), np.empty_like(residuals)
        for label, share in enumerate(prior):
            own, factor[y == label] = shrunk(residuals[y == label], given.rounding)
            diagonal += share * own
            factor[y == label] *= share**0.5
        small = np.bincount(y).max() <= 2 and len(diagonal) > 1
        if small or singular(diagonal, factor):
            diagonal, factor = shrunk(residuals, given.rounding)
        weight = solved(np.ones_like(diagonal) if singular(diagonal, factor) else diagonal, factor, means)
        bias = np.log(prior) - (weight * means).sum(1) / 2
        return given.layer(weight - weight.mean(0), bias - bias.mean())  # equal for all classes: no probability changes


def shrunk(residuals: np.ndarray, rounding: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a shrunk covariance as a diagonal, (features,), and a factor, (images, features): D + F^T F.

    Of features with deviation 1, it is (1 - s) S + s m I with S their covariance, m its mean diagonal and s from S.
    scikit-learn's `ledoit_wolf_shrinkage` finds the same s from the products of all features with all others; these are
    the same sums over images, for which (images, images) are enough.

    Args:
        residuals: (images, features), with mean 0.
        rounding: deviations up to which a feature is constant, (features,).
    """
    images, features = residuals.shape
    scale = residuals.std(0)
    scale[scale <= rounding] = 1
    x = residuals / scale
    variance = (x**2).mean()
    products = ((x @ x.T) ** 2).sum() / images**2
    noise = (((x**2).sum(1) ** 2).sum() / images - products) / (features * images)
    spread = products / features - variance**2
    # As rounding leaves it, a spread of 0: two images, whose covariance the noise does not exceed, have none either.
    noise = min(max(noise, 0), spread) if noise > 1e-12 * products else 0
    share = noise / spread if noise and features > 1 else 0
    return share * variance * scale**2, residuals * ((1 - share) / images) ** 0.5


def singular(diagonal: np.ndarray, factor: np.ndarray) -> bool:
    """Return whether D + F^T F has no inverse: nothing is shrunk, and images vary in fewer directions than features."""
    return not diagonal.any() and np.linalg.matrix_rank(factor) < len(diagonal)


def solved(diagonal: np.ndarray, factor: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return means, (classes, features), times the inverse of D + F^T F; D > 0 if images are fewer than features."""
    from scipy.linalg import solve  # takes a while, which other heads need not wait

    if len(factor) >= len(diagonal):
        return solve(np.diag(diagonal) + factor.T @ factor, means.T, assume_a="pos").T
    inner = np.eye(len(factor)) + (factor / diagonal) @ factor.T  # the formula of Woodbury
    return (means - solve(inner, factor @ (means / diagonal).T, assume_a="pos").T @ factor) / diagonal


class NearestMean(SolvedHead):
    """The class whose mean is nearest, of standardized features; all classes are taken as equally frequent.

    The logits are -b d² with d the distance. b is that under which training images, each left out of its class's mean,
    are most likely, with their labels smoothed as by Platt (1 / (images + 2) for all other classes together), so that
    it is finite where all are right.
    """

    @classmethod
    def fit(cls, features: torch.Tensor, labels: torch.Tensor, class_weight: ClassWeight = None) -> Weights:
        given, y = standardized(features), numbered(labels)
        means = class_means(given.values, y)
        weight = 2 * sharpness(given.values, y, means) * means
        bias = -(weight * means).sum(1) / 2
        return given.layer(weight - weight.mean(0), bias - bias.mean())


def sharpness(x: np.ndarray, y: np.ndarray, means: np.ndarray) -> float:
    """Return b of `NearestMean`; 1 by the mean squared distance if each class has one image, which cannot be left out.

    Args:
        x: standardized features, (images, features).
        y: their classes, (images,).
        means: of the classes, (classes, features).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    counts = np.bincount(y)[y]
    distances = squared_distances(x, means)
    typical = distances.mean() or 1.0
    kept = counts > 1
    if not kept.any():
        return 1 / typical
    own = np.eye(len(means))[y[kept]]
    # Without the image its class's mean is further away by n / (n - 1).
    distances = distances[kept] * np.where(own > 0, (counts / np.maximum(counts - 1, 1))[kept, None] ** 2, 1) / typical
    smoothing = 1 / (len(own) + 2)
    target = own * (1 - smoothing) + (1 - own) * smoothing / (len(means) - 1)

    def loss(log: float) -> float:
        return -(target * log_softmax(-np.exp(log) * distances, axis=1)).sum(1).mean()

    found: Any = minimize_scalar(loss, bounds=(-10, 10), method="bounded")
    return float(np.exp(found.x)) / typical


class SVM(SolvedHead):
    """A linear support vector machine with squared hinge loss, one class against all others.

    It solves the problem of scikit-learn's `LinearSVC`, for all classes and folds at once. The penalty has
    most right in up to 5 folds of the training images; of equals it is the strongest. With a single image of some class
    there is nothing to fold, and `C` is 1 by the images' mean squared length. Class weights are those of the images,
    where `LinearSVC` weights only the one class, not the others. Logits are margins, not calibrated.
    """

    @staticmethod
    def solve(x: np.ndarray, y: np.ndarray, class_weight: ClassWeight) -> tuple[np.ndarray, np.ndarray]:
        return support_vectors(x, y, class_weight, MARGINS)


def class_means(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the mean of each class's rows, (classes, features)."""
    return np.stack([x[y == label].mean(0) for label in range(y.max() + 1)])


def squared_distances(x: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return squared distances, (images, points), of rows of equal length."""
    distances = (x**2).sum(1)[:, None] + (points**2).sum(1) - 2 * x @ points.T
    return np.maximum(distances, 0)
