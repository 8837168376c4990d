import numpy as np
import pytest
from heads.solved_cases import CASES
from sklearn.linear_model import RidgeClassifierCV

from graft.heads.head import STRENGTHS, Ridge
from graft.solvers.least_squares import ridge


@pytest.mark.parametrize("name", CASES)
def test_ridge_is_scikit_learn_s(name: str):
    given = CASES[name]
    x, others = given.standardized()
    weight, bias = Ridge.fit(given.features, given.labels, given.weight).values()
    model = RidgeClassifierCV(STRENGTHS, class_weight=given.weight).fit(x, given.y)
    expected, found = model.decision_function(others), (given.others @ weight.T + bias).numpy()
    if expected.ndim == 1:
        expected = np.stack([-expected, expected], 1)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_penalty_has_the_smallest_error_of_a_plain_loop_over_left_out_images():
    given = CASES["weighted"]
    x, targets, weights = given.standardized()[0], 2.0 * np.eye(3)[given.y] - 1, given.sample_weight
    ones = np.concatenate([x, np.ones((len(x), 1))], 1)
    penalized = np.eye(x.shape[1] + 1)
    penalized[-1, -1] = 0
    penalties, errors = np.logspace(-1, 4, 6), []
    for penalty in penalties:
        error = 0
        for image in range(len(x)):
            rest = np.arange(len(x)) != image
            gram = (ones[rest] * weights[rest, None]).T @ ones[rest] + penalty * penalized
            layer = np.linalg.solve(gram, (ones[rest] * weights[rest, None]).T @ targets[rest])
            error += weights[image] * ((targets[image] - ones[image] @ layer) ** 2).sum()
        errors.append(error)
    found = ridge(x, targets, weights, penalties)
    expected = ridge(x, targets, weights, penalties[[int(np.argmin(errors))]])
    np.testing.assert_allclose(found[0], expected[0])
    assert 0 < np.argmin(errors) < 5
