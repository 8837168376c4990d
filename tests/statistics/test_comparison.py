import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from graft.statistics.accuracies import Measured
from graft.statistics.comparison import (
    Accuracies,
    compare_all,
    describe_method,
    differences,
    ranking,
    ranks,
    spread,
    summary,
)
from graft.statistics.crossed import estimate
from graft.statistics.outcomes import Outcomes


def by_seed(values: list[float] | np.ndarray, first: int = 0) -> dict[int, float]:
    return {first + trial: float(value) for trial, value in enumerate(values)}


def drawn(trials: int, *levels: float, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    shared = random.normal(0, 0.03, trials)
    return [level + shared + random.normal(0, 0.01, trials) for level in levels]


def test_a_pair_is_scipy_s_paired_t_test_and_interval():
    first, second = drawn(10, 0.9, 0.88)
    (difference,) = differences([(by_seed(first), by_seed(second))])
    expected = stats.ttest_rel(first, second)
    interval = expected.confidence_interval(0.95)
    assert difference.p == pytest.approx(expected.pvalue)
    assert difference.interval == pytest.approx((interval.low, interval.high))
    assert difference.mean == pytest.approx(0.9 - 0.88, abs=0.01)


def measured(values: np.ndarray, **more: Any) -> Measured:
    trials, images = values.shape
    return Measured(Outcomes(tuple(range(trials)), np.arange(images).astype(str), values.astype(float), **more))


def right(random: np.random.Generator, levels: Sequence[float], trials: int = 6, images: int = 450) -> list[np.ndarray]:
    """Return what configurations have right: images and draws are easy or hard for all, and for each a little."""
    ease = random.normal(0, 1.6, images) + random.normal(0, 0.15, (trials, 1))
    return [
        ease
        + level
        + random.normal(0, 0.4, images)
        + random.normal(0, 0.1, (trials, 1))
        + random.normal(0, 0.6, (trials, images))
        > 0
        for level in levels
    ]


def test_one_pair_of_measured_configurations_is_the_crossed_design_s():
    first, second = right(np.random.default_rng(0), (2, 1.9))
    (difference,) = differences([(measured(first), measured(second))])
    expected = estimate(first.astype(float) - second)
    assert difference.design == "crossed"
    assert difference.interval == pytest.approx(expected.interval())
    assert difference.p == pytest.approx(2 * stats.t.sf(abs(expected.mean) / expected.error, expected.degrees))
    assert difference.estimate == expected
    assert difference.quantile == pytest.approx(stats.t.ppf(0.975, expected.degrees))
    compared = compare_all({"first": measured(first), "second": measured(second)})
    assert compared.differences["second"].p == pytest.approx(difference.p)


def test_verdicts_and_intervals_agree_and_repeat_to_the_digit():
    random = np.random.default_rng(1)
    for known in (True, False):
        for _ in range(20):
            values = {str(place): measured(own) for place, own in enumerate(right(random, (2, 2.1, 2.2, 2.35, 2.5)))}
            configurations = values if known else {name: dict(own) for name, own in values.items()}
            compared = compare_all(configurations)
            best = configurations[compared.best]
            others = [(own, best) for name, own in configurations.items() if name != compared.best]
            for difference in (*compared.differences.values(), *differences(others)):
                assert difference.interval is not None
                low, high = difference.interval
                assert low < (difference.mean or 0) < high
                assert difference.significant == (high < 0 or low > 0)
            again = compare_all(configurations)
            assert [own.p for own in again.differences.values()] == [own.p for own in compared.differences.values()]


def test_a_job_that_is_worse_in_all_six_trials_among_nine_is_called_worse():
    random = np.random.default_rng(3)
    counts = np.round(1000 * (0.86 + random.normal(0, 0.01, 6) + random.normal(0, 0.006, (9, 6)))) / 1000
    counts[0] += 0.007
    counts[8] = counts[0] - np.array([0.013, 0.098, 0.06, 0.045, 0.05, 0.037])
    compared = compare_all({str(place): by_seed(own) for place, own in enumerate(counts)})
    assert compared.best == "0"
    assert compared.differences["8"].significant
    assert sum(difference.significant for difference in compared.differences.values()) <= 2


def test_copies_are_compared_over_images_alone():
    """Six copies of one fit are one: McNemar's exact test of the images, and not p = 2 / 2^6 of the trials."""
    first, second = np.zeros((6, 60)), np.zeros((6, 60))
    first[:, :50], second[:, :46], second[:, 55] = 1, 1, 1
    one, other = measured(first, copies=True), measured(second, copies=True)
    (difference,) = differences([(one, other)])
    assert difference.p == pytest.approx(stats.binomtest(4, 5).pvalue)
    assert (difference.design, len(difference.per_trial)) == ("images", 1)
    assert difference.interval is not None
    assert difference.interval[0] < 0 < difference.interval[1]
    compared = compare_all({"one": one, "other": other})
    assert (compared.best, compared.differences["other"].p) == ("one", difference.p)
    own = spread(one)
    assert own.counts == "test images"
    assert own.interval == pytest.approx(tuple(stats.binomtest(50, 60).proportion_ci(method="wilson")), abs=0.005)


def test_a_copied_configuration_and_one_of_real_trials_have_the_images_part_of_both():
    random = np.random.default_rng(0)
    (first, second) = right(random, (2, 1.5))
    copied = np.repeat(first[:1], 6, axis=0)
    (difference,) = differences([(measured(copied, copies=True), measured(second))])
    assert difference.estimate == estimate(copied.astype(float) - second)
    assert difference.design == "crossed"


def test_other_images_or_folds_are_compared_over_trials_alone():
    first, second = right(np.random.default_rng(0), (2, 1.9), trials=8)
    fewer = Measured(Outcomes(tuple(range(8)), np.arange(400).astype(str), second[:, :400].astype(float)))
    for other in (fewer, dict(measured(second)), measured(second, folds=5)):
        (difference,) = differences([(measured(first), other)])
        assert (difference.design, difference.estimate) == ("trials", None)
        assert difference.p is not None


def test_configurations_of_other_trials_are_compared_over_those_that_a_pair_has():
    first, second, third = right(np.random.default_rng(0), (2.5, 2.2, 1.9))
    part = Measured(measured(third).outcomes.select((1, 3, 5), np.arange(450)))
    compared = compare_all({"first": measured(first), "second": measured(second), "third": part})
    for name, expected in (
        ("second", second.astype(float) - first),
        ("third", (third.astype(float) - first)[[1, 3, 5]]),
    ):
        found = compared.differences[name].estimate
        assert found is not None
        assert (found.mean, found.variance) == pytest.approx((expected.mean(), estimate(expected).variance))


def test_three_trials_that_know_their_images_are_enough():
    first, second = right(np.random.default_rng(0), (2.5, 1.5), trials=3)
    assert differences([(measured(first), measured(second))])[0].significant
    assert differences([(measured(first[:2]), measured(second[:2]))])[0].p is None


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


def test_prechosen_pairs_are_corrected_for_their_number():
    values = [by_seed(own) for own in drawn(12, 0.9, 0.898, 0.896, 0.894)]
    pairs = [(values[0], other) for other in values[1:]]
    together, alone = differences(pairs), [differences([own])[0] for own in pairs]
    for joint, own in zip(together, alone, strict=True):
        assert joint.p is not None
        assert own.p is not None
        assert own.p < joint.p <= 3 * own.p
        assert joint.interval is not None
        assert own.interval is not None
        assert joint.interval[0] < own.interval[0] < own.interval[1] < joint.interval[1]


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
    assert "corrected for 7 comparisons (with the best" in describe_method(7, "with the best of 8 configurations")
    assert "need 6 common trials" in describe_method(0, "")
    assert "need 3 common trials" in describe_method(0, "", 3)


@pytest.mark.parametrize("trials", [6, 15])
def test_equal_configurations_that_know_their_images_have_a_false_loser_in_at_most_five_percent(trials: int):
    random, false = np.random.default_rng(trials), 0
    for _ in range(150):
        sweep = {str(place): measured(own) for place, own in enumerate(right(random, [2.0] * 8, trials))}
        false += any(difference.significant for difference in compare_all(sweep).differences.values())
    assert false <= 12  # of 150: more happens in 5 % of all runs at a rate of 5 %


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
    got = summary(dict(enumerate(values)))
    expected = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert got["ci95"] == pytest.approx(expected)
    assert got["std"] == pytest.approx(np.std(values, ddof=1))
    assert (got["mean"], got["min"], got["max"]) == (pytest.approx(0.925), 0.9, 0.96)
    alone = {"mean": 0.5, "min": 0.5, "max": 0.5, "std": None, "ci95": None, "ci95_counts": None}
    assert summary({0: 0.5}, images=10) == alone


def test_intervals_of_differences_stay_within_100_points():
    first, second = by_seed([1.0, 1.0, 0.1, 1.0, 1.0, 1.0]), by_seed([0.0, 0.1, 0.0, 0.0, 0.0, 0.9])
    for pair in ((first, second), (second, first)):
        (difference,) = differences([pair])
        assert difference.interval is not None
        assert -1 <= difference.interval[0] <= difference.interval[1] <= 1


def test_a_mean_that_is_no_number_is_not_ranked():
    with pytest.raises(ValueError, match="no number"):
        ranks({"a": {0: 0.5}, "b": {0: float("nan")}})
