import itertools

import numpy as np
import pytest
from scipy import stats

from graft.statistics.crossed import estimate
from graft.statistics.mcnemar import interval, p_value


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (6, 0), (9, 2), (40, 61)])
def test_p_is_that_of_the_exact_test(first: int, second: int):
    differences = np.array([1.0] * first + [-1.0] * second + [0.0] * 30)
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert p_value(differences, None) == pytest.approx(expected)


# b, c and p of statsmodels 0.15.0: mcnemar([[30, b], [c, 5]], exact=True).pvalue
OF_STATSMODELS = [
    (0, 0, 1.0),
    (1, 0, 1.0),
    (0, 3, 0.25),
    (5, 0, 0.0625),
    (6, 0, 0.03125),
    (0, 9, 0.00390625),
    (1, 1, 1.0),
    (2, 1, 1.0),
    (3, 8, 0.2265625),
    (4, 4, 1.0),
    (9, 2, 0.0654296875),
    (7, 13, 0.26317596435546875),
    (10, 25, 0.016673847800120715),
    (12, 12, 1.0),
    (17, 30, 0.07894069368148846),
    (21, 20, 1.0),
    (40, 61, 0.046044066929342785),
    (55, 90, 0.004581353958249255),
    (120, 80, 0.005685155996750306),
    (400, 350, 0.07350777405843484),
]


@pytest.mark.parametrize(("first", "second", "expected"), OF_STATSMODELS)
def test_p_is_that_of_statsmodels(first: int, second: int, expected: float):
    differences = np.array([1.0] * first + [-1.0] * second + [0.0] * 35)
    assert p_value(differences) == pytest.approx(expected, abs=1e-6)


def test_signs_of_groups_are_flipped_together():
    """Six images that only the first has right are p = 3.1 %; of two patients, they are two observations."""
    differences, groups = np.array([1.0] * 6 + [0.0] * 4), np.array([0, 0, 0, 1, 1, 1, 2, 3, 4, 5])
    assert p_value(differences, None) == pytest.approx(2 / 2**6)
    assert p_value(differences, groups) == pytest.approx(2 / 2**2)


def test_few_flips_are_all_and_many_are_drawn_and_agree():
    random = np.random.default_rng(0)
    few = random.normal(0.3, 1, 12)
    flips = [abs(np.dot(signs, few)) >= abs(few.sum()) - 1e-12 for signs in itertools.product((-1, 1), repeat=12)]
    assert p_value(few, None) == pytest.approx(np.mean(flips))
    many = random.normal(0.15, 1, 200)
    assert p_value(many, None) == pytest.approx(
        float(2 * stats.t.sf(abs(many.mean()) / stats.sem(many), 199)), abs=0.02
    )
    assert p_value(many, None) == p_value(many, None)


def test_the_interval_excludes_0_exactly_where_the_test_finds_a_difference():
    for first, second in itertools.product(range(0, 25, 3), repeat=2):
        differences = np.array([1.0] * first + [-1.0] * second + [0.0] * 100)
        p, found = p_value(differences, None), estimate(differences[None])
        for level in (0.05, 0.01):
            low, high = interval(found, p, level)
            assert low <= found.mean <= high
            assert (low > 0 or high < 0) == (p < level)
            assert high > low


def test_equal_configurations_have_an_interval_of_a_width():
    low, high = interval(estimate(np.zeros((1, 50))), 1.0, 0.05)
    assert (low, high) == pytest.approx((-1.96 * 2**0.5 / 50, 1.96 * 2**0.5 / 50), rel=1e-3)
