"""Least squares with an L2 penalty, which is chosen by leaving each image out: one decomposition for all penalties."""

import numpy as np

from graft.solvers.components import Components


def ridge(
    x: np.ndarray, targets: np.ndarray, weights: np.ndarray, penalties: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights, (targets, features), and bias, (targets,), at the best penalty, as `RidgeCV` finds them.

    With sqrt(w) (x - mean) = U S V^T and a penalty p, the fitted targets are H t, where H is U S^2 / (S^2 + p) U^T plus
    that of the mean. An image that is left out has the error (t - H t) / (1 - the diagonal of H), as Golub, Heath and
    Wahba say (1979).

    Args:
        x: (images, features).
        targets: (images, targets).
        weights: of the images, (images,).
        penalties: to choose from; the smallest of equals is chosen.
    """
    share = weights / weights.sum()
    mean, middle, root = share @ x, share @ targets, weights[:, None] ** 0.5
    components = Components(root * (x - mean))
    squares = (components.values**2).sum(0)
    left, centred = components.values / squares**0.5, root * (targets - middle)
    turned = left.T @ centred
    outside, free = centred - left @ turned, 1 - share - (left**2).sum(1)  # what no penalty changes
    lost = penalties / (squares[:, None] + penalties)
    free = free[:, None] + left**2 @ lost
    errors = []
    for place in range(len(penalties)):
        missed = outside + left @ (lost[:, place, None] * turned)
        errors.append(((missed / free[:, place, None]) ** 2).sum())
    best = penalties[int(np.argmin(errors))]
    weight = components.on_features(((squares**0.5 / (squares + best))[:, None] * turned).T)
    return weight, middle - weight @ mean
