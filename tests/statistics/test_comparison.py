import doctest
import itertools
import math
import warnings

import numpy as np
import pytest
from scipy import stats

from graft.statistics import comparison
from graft.statistics.comparison import (
    LEVEL,
    Accuracies,
    compare_all,
    describe_method,
    differences,
    holm,
    ranking,
    ranks,
    spread,
    summary,
)


def by_seed(values: list[float] | np.ndarray, first: int = 0) -> dict[int, float]:
    return {first + trial: float(value) for trial, value in enumerate(values)}


def drawn(trials: int, *levels: float, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    shared = random.normal(0, 0.03, trials)
    return [level + shared + random.normal(0, 0.01, trials) for level in levels]


def test_the_example_runs():
    result = doctest.testmod(comparison)
    assert result.failed == 0
    assert result.attempted > 0


def test_a_pair_is_scipy_s_paired_t_test_and_interval():
    first, second = drawn(10, 0.9, 0.88)
    (difference,) = differences([(by_seed(first), by_seed(second))])
    expected = stats.ttest_rel(first, second)
    interval = expected.confidence_interval(0.95)
    assert difference.p == pytest.approx(expected.pvalue)
    assert difference.interval == pytest.approx((interval.low, interval.high))
    assert difference.mean == pytest.approx(0.9 - 0.88, abs=0.01)


def test_all_pairs_are_corrected_for_and_not_only_those_with_the_best():
    values = dict(zip("abcd", drawn(12, 0.90, 0.895, 0.88, 0.86), strict=True))
    compared = compare_all({name: by_seed(own) for name, own in values.items()})
    p = {pair: stats.ttest_rel(values[pair[0]], values[pair[1]]).pvalue for pair in itertools.combinations("abcd", 2)}
    assert compared.best == max(values, key=lambda name: values[name].mean())
    assert compared.num_tested == 6
    # Holm's procedure as its paper has it: step by step from the smallest, until one is above.
    rejected = set()
    for step, pair in enumerate(sorted(p, key=lambda pair: p[pair])):
        if p[pair] >= LEVEL / (6 - step):
            break
        rejected.add(pair)
    for name, difference in compared.differences.items():
        pair = tuple(sorted((name, compared.best)))
        assert difference.significant == (pair in rejected)
        bonferroni = stats.ttest_rel(values[name], values[compared.best]).confidence_interval(1 - 0.05 / 6)
        assert difference.interval == pytest.approx((bonferroni.low, bonferroni.high))
    assert len(rejected) > 1


def test_holm_s_correction_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_equal_trials_are_a_tie_whose_first_is_called_best():
    compared = compare_all({"one": by_seed([0.5] * 8), "other": by_seed([0.5] * 8)})
    assert compared.best == "one"
    difference = compared.differences["other"]
    assert compared.tied == ["other"]
    assert (difference.p, difference.interval, difference.significant) == (1.0, None, False)


def test_a_difference_without_variance_has_the_sign_test_s_p_and_no_interval():
    shared = np.linspace(0.7, 0.9, 8)
    (difference,) = differences([(by_seed(shared + 0.01), by_seed(shared))])
    assert difference.p == pytest.approx(stats.binomtest(8, 8).pvalue)
    assert difference.interval is None  # width 0 would claim to know it exactly
    assert difference.significant


def test_equal_and_constant_accuracies_warn_of_nothing():
    draws = [0.5] * 3 + [0.7] * 5
    configurations = {"one": draws, "same": draws, "higher": [draw + 0.1 for draw in draws], "constant": [0.4] * 8}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compared = compare_all({name: by_seed(values) for name, values in configurations.items()})
        assert spread(by_seed([0.4] * 8)).interval is None
    assert compared.best == "higher"
    assert compared.differences["one"].interval is None
    assert all(math.isfinite(difference.p or math.nan) for difference in compared.differences.values())


def test_pairs_of_different_numbers_of_trials_are_tested_as_each_alone():
    values = dict(zip("abc", drawn(12, 0.9, 0.89, 0.88), strict=True))
    shared = {"a": range(12), "b": range(9), "c": range(3, 12)}
    configurations = {name: {seed: float(values[name][seed]) for seed in seeds} for name, seeds in shared.items()}
    pairs = list(itertools.combinations("abc", 2))
    tested = differences([(configurations[first], configurations[second]) for first, second in pairs])
    for (first, second), difference in zip(pairs, tested, strict=True):
        seeds = [seed for seed in shared[first] if seed in shared[second]]
        expected = stats.ttest_rel(values[first][seeds], values[second][seeds]).confidence_interval(1 - LEVEL / 3)
        assert difference.interval == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_trials_are_paired_over_the_seeds_that_both_have():
    first, second = drawn(9, 0.9, 0.8)
    (difference,) = differences([(by_seed(first), by_seed(second[2:], first=2))])
    assert len(difference.per_trial) == 7
    assert difference.p == pytest.approx(stats.ttest_rel(first[2:], second[2:]).pvalue)


@pytest.mark.parametrize("common", [0, 1, 2, 5])
def test_fewer_than_six_common_trials_cannot_tell_however_clear_they_look(common: int):
    first, second = by_seed([0.9] * 8), by_seed([0.1, 0.2, 0.1, 0.2, 0.1][:common] + [0.1] * (8 - common))
    second = {seed + 8 - common: value for seed, value in second.items()}
    (difference,) = differences([(first, second)])
    assert (difference.p, difference.interval, difference.significant) == (None, None, False)
    assert len(difference.per_trial) == common
    assert (difference.mean is None) == (common == 0)


def test_pairs_of_too_few_trials_are_not_counted_in_the_correction():
    first, second = drawn(10, 0.9, 0.88)
    compared = compare_all({"a": by_seed(first), "b": by_seed(second), "c": by_seed(first[:2] - 0.1)})
    assert compared.num_tested == 1
    assert compared.differences["b"].p == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert compared.differences["c"].p is None


def test_a_spread_is_student_s():
    values = drawn(5, 0.8)[0]
    own = spread(by_seed(values))
    assert own.interval == pytest.approx(stats.t.interval(0.95, 4, values.mean(), stats.sem(values)))
    assert own.std == pytest.approx(np.std(values, ddof=1))
    assert spread({3: 0.5}).interval is None


def test_equal_means_keep_their_order():
    configurations = {"low": {0: 0.4}, "high": {0: 0.5}, "as high": {1: 0.5}}
    assert ranking(configurations) == ["high", "as high", "low"]
    assert ranks(configurations) == {"high": 1, "as high": 1, "low": 3}


def test_the_method_names_what_was_used():
    assert "Holm's correction for 28 comparisons (all pairs of 8" in describe_method(
        28, "all pairs of 8 configurations"
    )
    assert "need 6 common trials" in describe_method(0, "")


def simulated(random: np.random.Generator, levels: list[float]) -> dict[str, Accuracies]:
    """Return 15 trials of each configuration as counts of 1,250 images, a trial's images being easy or hard for all."""
    ease = random.normal(0, 0.25, 15)
    chance = 1 / (1 + np.exp(-(np.log(np.divide(levels, np.subtract(1, levels)))[:, None] + ease)))
    counts = random.binomial(1250, chance)
    return {str(index): by_seed(row / 1250) for index, row in enumerate(counts)}


def test_equal_configurations_have_a_false_loser_in_at_most_five_percent_of_sweeps():
    random = np.random.default_rng(2026)
    false = sum(
        any(difference.significant for difference in compare_all(simulated(random, [0.86] * 8)).differences.values())
        for _ in range(500)
    )
    print(f"{false} of 500 sweeps of 8 equal configurations declare one worse")
    assert false <= 25


def test_a_true_difference_is_found():
    random = np.random.default_rng(2026)
    found = [compare_all(simulated(random, [0.86] * 7 + [0.83])).differences for _ in range(50)]
    assert sum(one["7"].significant for one in found if "7" in one) >= 45
    assert all(math.isfinite(difference.p or math.nan) for one in found for difference in one.values())


def test_summary_is_scipy_s():
    values = [0.91, 0.93, 0.9, 0.96]
    got = summary(values)
    expected = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert got["ci95"] == pytest.approx(expected)
    assert got["std"] == pytest.approx(np.std(values, ddof=1))
    assert (got["mean"], got["min"], got["max"]) == (pytest.approx(0.925), 0.9, 0.96)
    alone = {"mean": 0.5, "min": 0.5, "max": 0.5, "std": None, "ci95": None, "ci95_counts": None}
    assert summary([0.5], images=10) == alone


def test_intervals_of_differences_stay_within_100_points():
    first, second = by_seed([1.0, 1.0, 0.1, 1.0, 1.0, 1.0]), by_seed([0.0, 0.1, 0.0, 0.0, 0.0, 0.9])
    for pair in ((first, second), (second, first)):
        (difference,) = differences([pair])
        assert difference.interval is not None
        assert -1 <= difference.interval[0] <= difference.interval[1] <= 1
