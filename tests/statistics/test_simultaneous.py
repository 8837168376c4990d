import numpy as np
import pytest
from scipy import stats

from graft.statistics.simultaneous import shrunk, together, with_the_best


def test_one_comparison_needs_no_correction():
    p, levels = with_the_best(1, np.array([0.03, 1.0]), np.eye(2))
    assert (p[0], levels[0]) == (0.03, 0.05)
    corrected, level = together(np.array([0.03]), np.eye(1))
    assert (corrected[0], level) == (0.03, 0.05)


@pytest.mark.parametrize("count", [3, 8, 20])
def test_where_all_may_be_the_best_the_quantile_is_tukey_s(count: int):
    tukey = stats.studentized_range.ppf(0.95, count, np.inf) / 2**0.5
    _, levels = with_the_best(0, np.ones(count), np.eye(count))
    assert stats.norm.isf(levels[1] / 2) == pytest.approx(tukey, rel=0.01)
    p, _ = with_the_best(0, np.array([1.0, *[2 * stats.norm.sf(tukey)] * (count - 1)]), np.eye(count))
    assert p[1] == pytest.approx(0.05, rel=0.05)


def test_where_only_one_may_be_the_best_it_is_dunnett_s_and_hsu_s():
    """Of 8, 7 are far worse: the last is tested against those that may be the best, itself and the best."""
    _, levels = with_the_best(0, np.array([1.0, 0.5, *[1e-9] * 6]), np.eye(8))
    draws = np.random.default_rng(1).standard_normal((200_000, 8))
    apart = (draws[:, 1:] - draws[:, :1]) / 2**0.5
    dunnett = np.quantile(np.abs(apart).max(1), 0.95)
    found = float(stats.norm.isf(levels[1] / 2))
    assert dunnett * 0.99 < found < stats.studentized_range.ppf(0.95, 8, np.inf) / 2**0.5
    assert found == pytest.approx(dunnett, rel=0.06)
    assert stats.norm.isf(levels[7] / 2) > found


def test_prechosen_comparisons_with_one_configuration_are_dunnett_s():
    covariance = np.full((5, 5), 1.0) + np.eye(5)
    _, level = together(np.full(5, 0.02), covariance)
    # Dunnett's table (Biometrics 20, 1964) for infinitely many degrees of freedom, two-sided, 5 comparisons
    assert stats.norm.isf(level / 2) == pytest.approx(2.51, abs=0.015)


def test_corrections_are_between_none_and_that_for_unrelated_comparisons():
    for seed in range(20):
        random = np.random.default_rng(seed)
        factor, p = random.normal(size=(6, 2)), random.random(6) ** 4
        corrected, levels = with_the_best(2, p, factor @ factor.T)
        others = np.arange(6) != 2
        assert (corrected >= p)[others].all()
        assert (corrected <= 15 * p.max()).all()
        assert (corrected[others] < 0.05).tolist() == (p < levels)[others].tolist()
        order = np.argsort(p[others])
        assert (np.diff(corrected[others][order]) >= 0).all()
        joint, level = together(p, factor @ factor.T)
        assert (joint < 0.05).tolist() == (p < level).tolist()
        assert (joint <= 6 * p + 1e-12).all()


def test_configurations_that_cannot_be_told_apart_do_not_count():
    covariance = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    _, levels = with_the_best(0, np.array([1.0, 1.0, 0.5]), covariance)
    assert levels[2] == pytest.approx(0.05, rel=0.03)


def test_intervals_hold_together_whichever_is_best():
    """Means of 6 configurations, some equal: all differences to the best are in their intervals in 95 % of sweeps."""
    random, missed = np.random.default_rng(0), 0
    means, covariance = np.array([0.0, 0.0, -0.5, -2.0, -4.0, -4.0]), np.eye(6)
    for _ in range(300):
        found = means + random.normal(size=6)
        best = int(found.argmax())
        p = 2 * stats.norm.sf(np.abs(found - found[best]) / 2**0.5)
        _, levels = with_the_best(best, p, covariance)
        off = np.abs((found - found[best]) - (means - means[best])) / 2**0.5
        missed += bool((off > stats.norm.isf(levels / 2)).any())
    assert missed <= 22  # of 300: more happens in 3 % of all runs at a rate of 5 %


def test_a_covariance_of_few_trials_is_drawn_to_equal_correlations():
    random = np.random.default_rng(0)
    covariance = np.cov(random.normal(size=(8, 4)))
    assert np.linalg.matrix_rank(covariance) == 3
    found = shrunk(covariance, 3)
    assert np.linalg.matrix_rank(found, tol=1e-6) == 7  # all contrasts
    assert np.trace(found) == pytest.approx(np.trace(shrunk(covariance, 1e9)))


def test_configurations_that_differ_by_rounding_alone_are_equal():
    """A swept key without any effect: what is left of a covariance has negative numbers, also as variances."""
    covariance = np.array([[12.4, -1.2, 8.8], [-1.2, -7.6, 8.8], [8.8, 8.8, 22.3]]) * 1e-21
    for rounding in (covariance, -covariance, 0 * covariance):
        p, levels = with_the_best(0, np.ones(3), rounding)
        assert p.tolist() == [1, 1, 1]
        assert ((levels > 0) & (levels <= 0.05)).all()
        corrected, level = together(np.ones(3), rounding)
        assert corrected.tolist() == [1, 1, 1]
        assert 0 < level <= 0.05
