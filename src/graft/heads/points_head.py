"""Heads that keep the training images' features: nearest neighbors, and kernel ridge regression."""

from abc import abstractmethod

import numpy as np
import torch
from torch import nn

from graft.heads.head import numbered, standardized
from graft.heads.solved_head import squared_distances
from graft.model.stages import Weights
from graft.solvers.weights import ClassWeight, image_weights

NEIGHBOURS = (1, 3, 5, 7, 11, 15, 21, 31)
PENALTIES = np.logspace(-2, 1, 7)  # of kernel ridge; smaller ones have coefficients that 32 bits do not add up
WIDTHS = (0.25, 1.0, 4.0)  # of its kernel, exp(-width d²), by the median of d² between training images
TIE = 1e-6  # squared distances that differ by this share of the squared lengths are equal: 32 bits do not tell more
MOST_POINTS = 8000  # training images: a matrix of them all with each other takes 0.5 GB, and a fit several of these
DTYPES = {"neighbours": torch.int64}  # of what is no 32-bit number


class PointsHead(nn.Module):
    """A head with the standardized features of all training images; its state has as many rows as there are images.

    No standardized feature of n training images is further from 0 than the root of n, and those of other images are
    limited to it. Otherwise a feature that is almost 0 in all of them puts an image with a usual value of it so far
    away that a kernel is 0 in 32 bits, and all classes are equal: 14 of 1,250 digits, whose accuracy rises from 92.3 to
    93.1 % (20 images of each of five digits, 15 trials, kernel ridge on the small CNN's features, 2026-11-27).

    Attributes:
        is_solved: True: it is fitted to all features and labels of a trial at once.
        keeps_points: True: it has to know the number of training images.
        sizes: that number, under the name of its argument.
        mean: of each feature, (features,).
        deviation: of each feature, (features,).
        points: the training images' standardized features, (images, features).
        coefficients: of each training image for each class, (images, classes).
    """

    is_solved = True
    keeps_points = True
    mean: torch.Tensor
    deviation: torch.Tensor
    points: torch.Tensor
    coefficients: torch.Tensor

    def __init__(self, num_features: int, num_classes: int, num_points: int):
        super().__init__()
        self.sizes = {"num_points": num_points}
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("deviation", torch.ones(num_features))
        self.register_buffer("points", torch.zeros(num_points, num_features))
        self.register_buffer("coefficients", torch.zeros(num_points, num_classes))

    @classmethod
    def fit(cls, features: torch.Tensor, labels: torch.Tensor, class_weight: ClassWeight = None) -> Weights:
        """Return the head's state; arguments as for `graft.head.SolvedHead.fit`."""
        given, y = standardized(features), numbered(labels)
        found = cls.solve(given.values, y, image_weights(y, class_weight))
        found |= {"mean": given.mean, "deviation": given.deviation, "points": given.values}
        return {name: torch.as_tensor(value, dtype=DTYPES.get(name, torch.float32)) for name, value in found.items()}

    @staticmethod
    @abstractmethod
    def solve(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return `coefficients` and what else a head keeps.

        Args:
            x: standardized features, (images, features).
            y: their classes, (images,).
            weights: of the images, (images,).
        """

    def distances(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return squared distances to the points, and below which two are equal, (batch, points), in 32 bits."""
        points, limit = self.points.float(), self.sizes["num_points"] ** 0.5
        x = ((inputs.float() - self.mean.float()) / self.deviation.float()).clamp(-limit, limit)
        lengths = (x**2).sum(-1, keepdim=True) + (points**2).sum(-1)
        return (lengths - 2 * x @ points.mT).clamp(min=0), TIE * lengths


class KNN(PointsHead):
    """The share of classes among the k nearest training images; all that are as near as the last of them count.

    One further image is divided among all classes, so that no class has a share of 0. k has most right where each
    training image is told from all others; of equals it has the lowest log loss. Class weights are those of the votes.
    """

    neighbours: torch.Tensor

    def __init__(self, num_features: int, num_classes: int, num_points: int):
        super().__init__(num_features, num_classes, num_points)
        self.register_buffer("neighbours", torch.tensor(1))

    @staticmethod
    def solve(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
        votes = weights[:, None] * np.eye(y.max() + 1)[y]
        lengths = (x**2).sum(1)
        distances = squared_distances(x, x)
        np.fill_diagonal(distances, np.inf)
        limits, ties = np.sort(distances, axis=1), TIE * (lengths[:, None] + lengths)
        scores = {}
        for k in [k for k in NEIGHBOURS if k < len(x)]:
            shares = (distances <= limits[:, [k - 1]] + ties) @ votes + 1 / votes.shape[1]
            likelihood = np.log(shares[range(len(y)), y] / shares.sum(1))
            right = weights[shares.argmax(1) == y].sum()
            scores[k] = round(right, 9), weights @ likelihood
        return {"coefficients": votes, "neighbours": np.array(max(scores, key=lambda k: scores[k], default=1))}

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        distances, ties = self.distances(inputs)
        most = min(max(NEIGHBOURS), distances.shape[-1])
        nearest = distances.topk(most, largest=False, sorted=True).values
        last = nearest.gather(-1, (self.neighbours - 1).expand(*distances.shape[:-1], 1))
        votes = self.coefficients.float()
        return ((distances <= last + ties).float() @ votes + 1 / votes.shape[-1]).log()


class KernelRidge(PointsHead):
    """Least squares to labels of 1 and -1 with a Gaussian kernel, as scikit-learn's `KernelRidge` of each class.

    The penalty and the kernel's width have the smallest squared error where each training image is left out, which one
    eigendecomposition for each width tells of all penalties. Logits are the regressions' values, as ridge's are.
    """

    width: torch.Tensor  # the root of scikit-learn's gamma, which 16 bits hold

    def __init__(self, num_features: int, num_classes: int, num_points: int):
        super().__init__(num_features, num_classes, num_points)
        self.register_buffer("width", torch.tensor(1.0))

    @staticmethod
    def solve(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
        from sklearn.kernel_ridge import KernelRidge as Sklearn  # takes a second, which other heads need not wait

        distances, targets = squared_distances(x, x), 2 * np.eye(y.max() + 1)[y] - 1
        np.fill_diagonal(distances, 0)
        typical = median_apart(distances) or 1.0
        errors = {}
        for width in WIDTHS:
            kernel = np.exp(-width / typical * distances)
            for penalty, error in zip(PENALTIES, left_out_errors(kernel, targets, weights), strict=True):
                errors[width, penalty] = error
        width, penalty = min(errors, key=lambda setting: errors[setting])
        model = Sklearn(alpha=penalty, kernel="precomputed")
        model.fit(np.exp(-width / typical * distances), targets, sample_weight=weights)
        return {"coefficients": np.asarray(model.dual_coef_), "width": np.array((width / typical) ** 0.5)}

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return (-(self.width.float() ** 2) * self.distances(inputs)[0]).exp() @ self.coefficients.float()


def median_apart(distances: np.ndarray) -> float:
    """Return the median of distances between different images, (images, images); 0 of a single image."""
    from scipy.spatial.distance import squareform  # takes a while, which other heads need not wait

    apart = squareform(distances, checks=False)
    return float(np.median(apart, overwrite_input=True)) if apart.size else 0.0


def left_out_errors(kernel: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted squared error of images that are left out of their regression, for each of `PENALTIES`.

    With G = K + p W^-1 an image's error is (G^-1 t)_i / (G^-1)_ii.

    Args:
        kernel: (images, images).
        targets: (images, classes).
        weights: of the images, (images,).
    """
    root = weights[:, None] ** 0.5
    values, vectors = np.linalg.eigh(root * kernel * root.T)
    turned, errors = vectors.T @ (root * targets), []
    for penalty in PENALTIES:
        inverse = 1 / (np.maximum(values, 0) + penalty)
        residuals = vectors @ (inverse[:, None] * turned) / (vectors**2 @ inverse)[:, None]
        errors.append((residuals**2).sum())
    return np.array(errors)
