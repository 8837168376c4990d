import numpy as np
import pytest

from graft.solvers.components import Components


@pytest.mark.parametrize("shape", [(9, 30), (30, 9), (6, 6)])
def test_values_are_those_of_a_singular_value_decomposition(shape: tuple[int, int]):
    x = np.random.default_rng(0).normal(size=shape)
    components = Components(x)
    values, directions = components.values, components.on_features(np.eye(min(shape)))
    np.testing.assert_allclose(values @ directions, x, atol=1e-9)
    np.testing.assert_allclose(directions @ directions.T, np.eye(len(directions)), atol=1e-9)
    singular = np.sort(np.linalg.norm(values, axis=0))[::-1]
    np.testing.assert_allclose(singular, np.linalg.svd(x)[1], atol=1e-9)


def test_directions_in_which_images_do_not_vary_are_left_out():
    x = np.random.default_rng(0).normal(size=(20, 3)) @ np.ones((3, 8))
    assert Components(x).values.shape == (20, 1)
    assert Components(np.zeros((4, 9))).values.shape == (4, 0)
