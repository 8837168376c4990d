"""Logistic regression and support vector machines, their penalty chosen in folds of the images, all folds at once."""

import numpy as np
import torch
from torch import Tensor

from graft.solvers.convex import CrossEntropy, SquaredHinge, minimize, times
from graft.solvers.weights import ClassWeight, held_out, image_weights

ROUGH = 1e-7  # tolerance in folds, where 32 bits are enough: held-out losses are within .1 % of the exact ones
FALLING = 3  # penalties in a row, each less likely than a stronger one, after which no weaker is tried
FINE = 1e-11  # of the chosen layer: its probabilities are within 1e-6 of the exact ones

Layer = tuple[np.ndarray, np.ndarray]  # weights, (classes, features), and bias, (classes,)


def logistic(x: np.ndarray, y: np.ndarray, class_weight: ClassWeight, strengths: np.ndarray) -> Layer:
    """Return scikit-learn's logistic regression; of the penalties, the held-out images are most likely under it.

    Penalties are tried from the strongest. Once three in a row are less likely than a stronger one, weaker ones, which
    take most of the time, are not tried. With a single image of some class there is nothing to fold, and the penalty
    is 1.

    Args:
        x: principal components of the features, (images, components).
        y: classes, (images,).
        class_weight: as scikit-learn has it; "balanced" are the classes of each fold.
        strengths: penalties to choose from, in rising order.
    """
    images, held = with_ones(x), held_out(y)
    target = one_hot(y)
    twice = 2 if len(target) == 2 else 1  # of two classes scikit-learn has one layer, the difference of these two
    penalty = torch.ones(images.shape[1], dtype=torch.float64)
    penalty[-1] = 0  # of the bias
    best, start = 1.0, torch.zeros(len(target), 1, images.shape[1], dtype=torch.float64)
    if len(held):
        given, own, out = images.float(), target.float(), torch.from_numpy(held).float()
        shown = CrossEntropy(own, fold_weights(y, held, class_weight).float())
        found = before = torch.zeros(len(own), len(held), images.shape[1])
        layers, likelihoods = {}, {}
        for strength in strengths[::-1]:
            ahead = 2 * found - before  # on the line through the last two
            before, found = found, minimize(given, shown, twice * strength * penalty.float(), ahead, ROUGH)
            right = (times(found, given.T).log_softmax(0) * own).sum(0)
            layers[strength], likelihoods[strength] = found, float(((right * out).sum(1) / out.sum(1)).mean())
            best = max(likelihoods, key=lambda strength: likelihoods[strength])
            if best not in list(likelihoods)[-FALLING:]:
                break
        start = layers[best].mean(1, keepdim=True).double()
    everything = CrossEntropy(target, torch.from_numpy(image_weights(y, class_weight))[None, None])
    return split(minimize(images, everything, twice * best * penalty, start, FINE))


def support_vectors(x: np.ndarray, y: np.ndarray, class_weight: ClassWeight, margins: np.ndarray) -> Layer:
    """Return `LinearSVC` of each class against all others; `C` has most held-out images right, and is small of equals.

    With a single image of some class there is nothing to fold, and `C` is 1 by the images' mean squared length.

    Args:
        x: principal components of the features, (images, components).
        y: classes, (images,).
        class_weight: as scikit-learn has it.
        margins: `C` to choose from, times the images' mean squared length, in rising order.
    """
    images, held, unit = with_ones(x), held_out(y), float((x**2).sum(1).mean()) or 1.0
    signs, weights = 2 * one_hot(y) - 1, image_weights(y, class_weight)
    penalty = torch.ones(images.shape[1], dtype=torch.float64)  # as LinearSVC has it: the bias is penalized, too
    best, start = 1.0, torch.zeros(len(signs), 1, images.shape[1], dtype=torch.float64)
    if len(held):
        given, found, right = images.float(), torch.zeros(len(signs), len(held), images.shape[1]), {}
        costs, layers = torch.from_numpy(weights * ~held / unit).float()[None], {}
        for margin in margins:
            found = minimize(given, SquaredHinge(signs.float(), margin * costs), penalty.float(), found, ROUGH)
            said = times(found, given.T).argmax(0).numpy()
            right[margin] = round(float((weights * held)[said == y].sum()), 9)
            layers[margin] = found
        best = max(right, key=lambda margin: right[margin])
        start = layers[best].mean(1, keepdim=True).double()
    everything = SquaredHinge(signs, torch.from_numpy(weights * best / unit)[None, None])
    return split(minimize(images, everything, penalty, start, FINE))


def fold_weights(y: np.ndarray, held: np.ndarray, class_weight: ClassWeight) -> Tensor:
    """Return the weights of images in each fold's training, 0 for those held out, (1, folds, images)."""
    weights = np.zeros(held.shape)
    for fold, out in enumerate(held):
        weights[fold, ~out] = image_weights(y[~out], class_weight)
    return torch.from_numpy(weights)[None]


def one_hot(y: np.ndarray) -> Tensor:
    """Return 1 for each image's class and else 0, (classes, 1, images)."""
    return torch.from_numpy((np.arange(y.max() + 1)[:, None, None] == y).astype(float))


def with_ones(x: np.ndarray) -> Tensor:
    """Return x, (images, features), and a last feature of 1, whose weight is the bias."""
    return torch.from_numpy(np.concatenate([x, np.ones((len(x), 1))], 1))


def split(layer: Tensor) -> Layer:
    """Return the weights and the bias, which is the last feature's weight, of layers, (classes, 1, features)."""
    return layer[:, 0, :-1].numpy(), layer[:, 0, -1].numpy()
