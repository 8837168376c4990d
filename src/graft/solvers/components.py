"""Principal components, which are solved in place of the features."""

import numpy as np


class Components:
    """As few features as there are, which keep all distances, in place of those given.

    They come from the eigenvectors of the products of all images, or of all features, in a third of a decomposition's
    time. Those of a millionth of the largest singular value are left out.

    Args:
        x: (images, features).

    Attributes:
        values: (images, components); their columns are orthogonal.
    """

    def __init__(self, x: np.ndarray):
        wide = len(x) < x.shape[1]
        squares, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
        kept = squares > 1e-12 * max(squares[-1], 1e-300)
        singular = squares[kept] ** 0.5
        # The directions of components are the product of these: nobody forms it, as it takes a third of eigh's time.
        if wide:
            self.values = vectors[:, kept] * singular
            self._directions = (vectors[:, kept] / singular).T, x
        else:
            self.values = x @ vectors[:, kept]
            self._directions = (vectors[:, kept].T,)

    def on_features(self, weight: np.ndarray) -> np.ndarray:
        """Return the weights, (classes, features), that say of x what weight, (classes, components), says of values."""
        for factor in self._directions:
            weight = weight @ factor
        return weight
