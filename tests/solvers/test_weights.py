import numpy as np
import pytest

from graft.solvers.weights import held_out, image_weights


@pytest.mark.parametrize(("counts", "folds"), [([9, 7], 5), ([3, 8], 3), ([1, 9], 0)])
def test_each_image_is_held_out_once_by_folds_of_all_classes(counts: list[int], folds: int):
    y = np.repeat(np.arange(len(counts)), counts)
    held = held_out(y)
    assert held.shape == (folds, len(y))
    if folds:
        assert (held.sum(0) == 1).all()
        assert all(set(y[~out]) == set(y) for out in held)


def test_weights_are_those_of_the_classes():
    y = np.array([0, 1, 1, 1])
    assert image_weights(y, None).tolist() == [1] * 4
    assert image_weights(y, {0: 2.0, 1: 0.5}).tolist() == [2, 0.5, 0.5, 0.5]
    np.testing.assert_allclose(image_weights(y, "balanced"), [2, 2 / 3, 2 / 3, 2 / 3])
