"""Least squares with an L2 penalty, which is chosen by leaving each image out: one decomposition for all penalties."""

import numpy as np

from graft.solvers.components import principal


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
    values, directions = principal(root * (x - mean))
    squares = (values**2).sum(0)
    left, centred = values / squares**0.5, root * (targets - middle)
    turned = left.T @ centred
    outside, free = centred - left @ turned, 1 - share - (left**2).sum(1)  # what no penalty changes
    errors = []
    for penalty in penalties:
        lost = penalty / (squares + penalty)
        missed = outside + left @ (lost[:, None] * turned)
        errors.append(((missed / (free + left**2 @ lost)[:, None]) ** 2).sum())
    best = penalties[int(np.argmin(errors))]
    weight = ((squares**0.5 / (squares + best))[:, None] * turned).T @ directions
    return weight, middle - weight @ mean
