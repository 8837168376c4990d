"""Heads: the layers that a transfer adds. A head maps features, (batch, features), to logits, (batch, classes)."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from graft.errors import GraftError
from graft.model.layers import activation as make_activation
from graft.model.layers import linear
from graft.model.stages import Weights
from graft.solvers.components import Components
from graft.solvers.folded import logistic
from graft.solvers.least_squares import ridge
from graft.solvers.weights import ClassWeight, image_weights

STRENGTHS = np.logspace(-3, 5, 17)  # of the L2 penalty on the weights of standardized features


class Plain(nn.Sequential):
    """One output layer, with dropout before it."""

    def __init__(self, num_features: int, num_classes: int, dropout: float = 0.0):
        super().__init__(nn.Dropout(dropout), linear(num_features, num_classes))


class Dense(nn.Sequential):
    """Dense layers with an activation each, dropout, and the output layer.

    Args:
        num_features: length of the features that come in.
        num_classes: number of logits that go out.
        widths: units of each dense layer, first to last.
        dropout: rate before the output layer, in [0, 1).
        input_dropout: rate before the first dense layer, in [0, 1).
        activation: `relu`, `tanh`, `sigmoid` or `gelu`.
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        widths: Sequence[int] = (512,),
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        activation: str = "relu",
    ):
        layers: list[nn.Module] = [nn.Dropout(input_dropout)]
        for width in widths:
            layers += [linear(num_features, width), make_activation(activation)]
            num_features = width
        super().__init__(*layers, nn.Dropout(dropout), linear(num_features, num_classes))


class Standardized(NamedTuple):
    """Features with mean 0 and deviation 1 of each, in double precision, and what they were.

    Attributes:
        values: (images, features); a constant feature is 0.
        mean: (features,).
        deviation: 1 for a constant feature, (features,).
        rounding: deviations up to which values vary by rounding errors only, (features,).
    """

    values: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    rounding: np.ndarray

    def layer(self, weight: np.ndarray, bias: np.ndarray) -> Weights:
        """Return the output layer on the features themselves that is this one, (classes, features), on the values."""
        weight = weight / self.deviation
        return {
            "0.weight": torch.from_numpy(weight).float(),
            "0.bias": torch.from_numpy(bias - weight @ self.mean).float(),
        }


def numbered(labels: torch.Tensor) -> np.ndarray:
    """Return labels, (images,), of which no class is lacking.

    Raises:
        GraftError: a class below the highest has no images.
    """
    y = labels.cpu().numpy()
    lacking = np.flatnonzero(np.bincount(y) == 0).tolist()
    if lacking:
        raise GraftError(f"no training image has the classes {lacking}; give some to each, or try head=plain")
    return y


def standardized(features: torch.Tensor) -> Standardized:
    """Return features, (images, features), with mean 0 and deviation 1 of each."""
    x = features.double().cpu().numpy()
    mean, deviation = x.mean(0), x.std(0)
    # As scikit-learn does in double precision, a feature that varies by rounding errors only is taken as constant.
    # Ten units in the last place: a convolution rounds the same value differently in another batch.
    limits = torch.finfo(features.dtype)
    rounding = 10 * limits.eps * np.abs(mean) + limits.tiny
    deviation[deviation <= rounding] = 1
    return Standardized((x - mean) / deviation, mean, deviation, rounding / deviation)


class SolvedHead(nn.Sequential):
    """One output layer that is fitted to all features and labels of a trial at once, instead of training.

    Attributes:
        is_solved: True: it is solved for its weights, and takes no steps.
    """

    is_solved = True

    def __init__(self, num_features: int, num_classes: int):
        super().__init__(linear(num_features, num_classes))

    @classmethod
    def fit(cls, features: torch.Tensor, labels: torch.Tensor, class_weight: ClassWeight = None) -> Weights:
        """Return the layer's weights, (classes, features), and bias, (classes,), by their names in the head.

        The standardized features are replaced by their principal components: an L2 penalty leaves no weight outside
        their span, so the solution is the same, and 100 images of 1,600 features take the time of 100 features.

        Args:
            features: (images, features).
            labels: classes, counted from 0, (images,).
            class_weight: as scikit-learn has it.
        """
        given, y = standardized(features), numbered(labels)
        components = Components(given.values)
        weight, bias = cls.solve(components.values, y, class_weight)
        return given.layer(components.on_features(weight), bias)

    @staticmethod
    @abstractmethod
    def solve(x: np.ndarray, y: np.ndarray, class_weight: ClassWeight) -> tuple[np.ndarray, np.ndarray]:
        """Return weights, (classes, features), and bias, (classes,), with a penalty chosen on the training images."""


class Ridge(SolvedHead):
    """Least squares to labels of 1 and -1, the penalty chosen by leave-one-out, as `RidgeClassifierCV` does it."""

    @classmethod
    def fit(cls, features: torch.Tensor, labels: torch.Tensor, class_weight: ClassWeight = None) -> Weights:
        given, y = standardized(features), numbered(labels)
        targets = 2.0 * np.eye(y.max() + 1)[y] - 1
        return given.layer(*ridge(given.values, targets, image_weights(y, class_weight), STRENGTHS))


class Logistic(SolvedHead):
    """Logistic regression, the penalty chosen by the likelihood in up to 5 folds of the training images.

    With a single image of some class there is nothing to fold, and the penalty is 1.
    """

    @staticmethod
    def solve(x: np.ndarray, y: np.ndarray, class_weight: ClassWeight) -> tuple[np.ndarray, np.ndarray]:
        return logistic(x, y, class_weight, STRENGTHS)
