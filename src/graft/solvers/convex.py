"""Layers of smallest convex loss with an L2 penalty, many at once: of all folds of the images, and of all classes.

They share their images, so that each step is two matrix products for all of them; and each starts where the same layer
with a stronger penalty has ended.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

STEPS = 400  # at most; most layers need 2 to 20
MEMORY = 8  # steps that L-BFGS remembers
SEARCHES = 8  # points at most that a step tries on its line
CLOSE = 0.1  # a step's length is found when the next point is nearer than this share of it


class Loss(ABC):
    """A loss of logits, (classes, folds, images), summed over images, with its derivatives.

    Attributes:
        axes: axes of the logits that one problem spans, whose layers depend on each other.
    """

    axes: tuple[int, ...]

    @abstractmethod
    def total(self, logits: Tensor) -> Tensor:
        """Return the loss of each problem; the spanned axes have length 1."""

    @abstractmethod
    def slope(self, logits: Tensor) -> Tensor:
        """Return the loss's derivative by each logit."""

    @abstractmethod
    def bend(self, logits: Tensor) -> Tensor:
        """Return its second derivative by each logit."""

    @abstractmethod
    def bend_along(self, logits: Tensor, direction: Tensor) -> Tensor:
        """Return each problem's second derivative along a direction of the logits."""

    def inside(self, layer: Tensor) -> Tensor:
        """Return layers, or directions of them, without what the loss does not depend on: there the lowest is at 0."""
        return layer

    def dot(self, one: Tensor, other: Tensor) -> Tensor:
        """Return each problem's product of two of its tensors."""
        return (one * other).sum(self.axes, keepdim=True)


class CrossEntropy(Loss):
    """That of the softmax: the classes of a fold are one problem.

    Args:
        target: 1 for each image's class and else 0, (classes, 1, images).
        weights: of the images, 0 for those that a fold holds out, (1, folds, images).
    """

    axes = (0, 2)

    def __init__(self, target: Tensor, weights: Tensor):
        self.target, self.weights = target, weights

    def inside(self, layer: Tensor) -> Tensor:
        return layer - layer.mean(0)  # what all classes have alike changes no softmax

    def total(self, logits: Tensor) -> Tensor:
        return -self.dot(self.weights * self.target, logits.log_softmax(0))

    def slope(self, logits: Tensor) -> Tensor:
        wrong = logits.softmax(0) * (1 - self.target)  # 1 - p of the own class as a sum, which 32 bits hold near 0
        return self.weights * (wrong - self.target * wrong.sum(0))

    def bend(self, logits: Tensor) -> Tensor:
        share = logits.softmax(0)
        return self.weights * share * (1 - share)

    def bend_along(self, logits: Tensor, direction: Tensor) -> Tensor:
        share = logits.softmax(0)
        mean = (share * direction).sum(0)
        return self.dot(self.weights * share, (direction - mean) ** 2)


class SquaredHinge(Loss):
    """That of support vector machines, one class against all others: each class of a fold is a problem for itself.

    Args:
        signs: 1 for each image's class and else -1, (classes, 1, images).
        costs: of the images, 0 for those that a fold holds out, (1, folds, images).
    """

    axes = (2,)

    def __init__(self, signs: Tensor, costs: Tensor):
        self.signs, self.costs = signs, costs

    def _missing(self, logits: Tensor) -> Tensor:
        return (1 - self.signs * logits).clamp(min=0)

    def total(self, logits: Tensor) -> Tensor:
        return self.dot(self.costs, self._missing(logits) ** 2)

    def slope(self, logits: Tensor) -> Tensor:
        return -2 * self.costs * self.signs * self._missing(logits)

    def bend(self, logits: Tensor) -> Tensor:
        return 2 * self.costs * (self._missing(logits) > 0)

    def bend_along(self, logits: Tensor, direction: Tensor) -> Tensor:
        return self.dot(self.bend(logits), direction**2)


class Step(NamedTuple):
    """A step, how it changed the gradient, both (classes, folds, features), and 1 by their product; 0: no step."""

    moved: Tensor
    changed: Tensor
    inverse: Tensor


def minimize(x: Tensor, loss: Loss, penalty: Tensor, layer: Tensor, tolerance: float) -> Tensor:
    """Return the layers of smallest loss(layer x^T) + penalty layer² / 2, by L-BFGS.

    The diagonal of the second derivatives, at the start, takes the place of the unit matrix in L-BFGS: with principal
    components for features it is nearly all of them, if the start is near or 0. Each step goes to the lowest point of
    its line, which needs no further product with the images (Nocedal and Wright, Numerical Optimization, 2006,
    algorithm 7.4).

    Args:
        x: features, (images, features).
        loss: of the logits.
        penalty: of each feature's weights, (features,).
        layer: to start from, (classes, folds, features).
        tolerance: largest share of the loss, penalty included, by which a layer may still be above the lowest, as
            L-BFGS estimates it.
    """
    layer = loss.inside(layer)
    logits = times(layer, x.T)
    diagonal = times(loss.bend(logits), x**2) + penalty
    diagonal = diagonal.clamp(min=1e-9 * float(diagonal.amax()))
    gradient = times(loss.slope(logits), x) + penalty * layer
    steps: list[Step] = []
    for _ in range(STEPS):
        value = loss.total(logits) + loss.dot(penalty * layer, layer) / 2
        direction = descent(gradient, diagonal, steps, loss)
        rest = -loss.dot(gradient, direction) / 2 > tolerance * value
        if not rest.any():
            break
        ahead = times(direction, x.T)
        length = rest * lowest(loss, logits, ahead, penalty, layer, direction)
        moved, logits = length * direction, logits + length * ahead
        layer = layer + moved
        before, gradient = gradient, times(loss.slope(logits), x) + penalty * layer
        product = loss.dot(moved, gradient - before)
        steps = [*steps, Step(moved, gradient - before, inverse(product))][-MEMORY:]
    return layer


def times(left: Tensor, matrix: Tensor) -> Tensor:
    """Return the product with a matrix, (inner, outer), of layers or logits, (classes, folds, inner), all at once."""
    return (left.flatten(0, 1) @ matrix).view(*left.shape[:2], -1)


def inverse(values: Tensor) -> Tensor:
    """Return 1 by positive values, and 0 for others."""
    return torch.where(values > 0, 1 / values, 0)


def descent(gradient: Tensor, diagonal: Tensor, steps: list[Step], loss: Loss) -> Tensor:
    """Return where to go: the gradient by what is known of the second derivatives, their diagonal and some steps."""
    direction, shares = -gradient, []
    for step in reversed(steps):
        share = step.inverse * loss.dot(step.moved, direction)
        direction = direction - share * step.changed
        shares.append(share)
    direction = loss.inside(direction / diagonal)
    for step, share in zip(steps, reversed(shares), strict=True):
        direction = direction + step.moved * (share - step.inverse * loss.dot(step.changed, direction))
    return direction


def lowest(loss: Loss, logits: Tensor, ahead: Tensor, penalty: Tensor, layer: Tensor, direction: Tensor) -> Tensor:
    """Return how many times the direction the lowest point is away, for each problem, by Newton's steps and bisection.

    Args:
        loss: of the logits.
        logits: here, (classes, folds, images).
        ahead: their direction.
        penalty: of each feature's weights, (features,).
        layer: here, (classes, folds, features).
        direction: of the layer.
    """
    constant, linear = loss.dot(penalty * layer, direction), loss.dot(penalty * direction, direction)
    length = torch.ones_like(constant)
    low, high = torch.zeros_like(length), torch.full_like(length, torch.inf)
    for _ in range(SEARCHES):
        there = logits + length * ahead
        slope = loss.dot(loss.slope(there), ahead) + constant + length * linear
        low, high = torch.where(slope < 0, length, low), torch.where(slope < 0, high, length)
        following = length - slope / (loss.bend_along(there, ahead) + linear)
        between = torch.where(high.isinf(), 2 * length, (low + high) / 2)
        following = torch.where((following > low) & (following < high), following, between)
        found = (following - length).abs() <= CLOSE * length
        length = following
        if found.all():
            break
    return length
