import itertools

import numpy as np
import pandas
import pytest
from scipy import stats

from graft.report.effect_sentences import budget_answers
from graft.report.effects import (
    Curve,
    budget_curves,
    budget_key,
    equal_budgets,
    is_grid,
    is_ordered,
    main_effects,
    sweep_effects,
)
from graft.statistics.accuracies import Copies, Measured
from graft.statistics.comparison import Spread, spread
from graft.statistics.mcnemar import p_value
from graft.statistics.outcomes import Outcomes

GRID = [{"head": head, "dropout": rate} for head, rate in itertools.product(("plain", "dense"), ("0", "0.25", "0.5"))]


def trials(levels: list[float], count: int = 9) -> list[dict[int, float]]:
    random = np.random.default_rng(0)
    return [dict(enumerate((level + random.normal(0, 0.01, count)).tolist())) for level in levels]


def spreads(levels: list[float]) -> list[Spread]:
    return [spread(values) for values in trials(levels)]


def test_a_grid_is_complete_and_has_two_keys():
    assert is_grid(GRID)
    assert not is_grid(GRID[1:])
    assert not is_grid([*GRID, GRID[0]])
    assert not is_grid([{"head": "plain"}, {"head": "dense"}])
    assert not is_grid([{"head": "plain", "lr": "1"}, {"head": "dense", "dropout": "0"}])
    assert not is_grid([])


def test_a_main_effect_averages_each_trial_over_all_else_and_compares_pair_by_pair():
    accuracies = trials([0.80, 0.82, 0.81, 0.85, 0.87, 0.86])
    values = np.array([[own[seed] for seed in range(1, 9)] for own in accuracies])
    del accuracies[2][0]  # a trial that one job lacks is missing in all
    effects = main_effects(GRID, accuracies)
    plain, dense = values[:3].mean(0), values[3:].mean(0)
    row = effects[effects["value"] == "plain"].iloc[0]
    assert list(effects["value"]) == ["dense", "plain", "0", "0.25", "0.5"]
    assert row["trials"] == 8
    assert row["difference"] == pytest.approx((plain - dense).mean())
    assert row["p"] == pytest.approx(stats.ttest_rel(plain, dense).pvalue)
    assert len(main_effects(GRID, [{0: 0.5}, *accuracies[1:]])) == 0


def test_a_head_without_all_combinations_is_left_out_of_main_effects():
    accuracies = trials([0.80, 0.82, 0.81, 0.85, 0.87, 0.86, 0.9])
    whole = sweep_effects(GRID, accuracies[:6], spreads([0.8] * 6))
    found = sweep_effects([*GRID, {"head": "lda", "dropout": "0"}], accuracies, spreads([0.8] * 7))
    assert (found.left_out, whole.left_out) == (["lda"], [])
    assert len(found.main) == 5
    pandas.testing.assert_frame_equal(found.main, whole.main)
    two = sweep_effects([*GRID[:3], {"head": "lda", "dropout": "0"}], accuracies[:4], spreads([0.8] * 4))
    assert (len(two.main), two.left_out) == (0, [])  # one key varies between the jobs of the other head
    failed = sweep_effects(GRID[1:], accuracies[1:6], spreads([0.8] * 5))
    assert (len(failed.main), failed.left_out) == (0, [])


def test_a_budget_takes_three_values():
    settings = [{"dataset.small_per_class": str(images)} for images in (1, 2, 5)]
    assert budget_key(settings) == "dataset.small_per_class"
    assert budget_key(settings[:2]) is None
    assert budget_key([*settings[:2], {"dataset.small_per_class": "null"}]) is None
    curves = budget_curves("dataset.small_per_class", settings[::-1], spreads([0.7, 0.6, 0.5]))
    assert [curve.images for curve in curves] == [[1, 2, 5]]


def curve(label: str, images: list[int], mean: list[float]) -> Curve:
    return Curve(label, images, mean, mean, mean)


def test_equal_budgets_are_interpolated_in_the_logarithm_and_never_extrapolated():
    big, scratch = curve("big", [10, 100, 1000], [0.7, 0.8, 0.9]), curve("scratch", [10, 1000], [0.6, 0.8])
    assert equal_budgets(big, scratch) == [(10, pytest.approx(100)), (100, pytest.approx(1000))]
    (sentence,) = budget_answers("dataset.small_total", [big, scratch])
    assert sentence == "big with 10 and 100 images equals scratch with 100 and 1000 (interpolated)."
    (sentence,) = budget_answers("dataset.small_per_class", [big, curve("worse", [10, 1000], [0.1, 0.2])])
    assert sentence == "worse with 1000 images per class does not reach big with 10."
    assert budget_answers("dataset.small_total", [big]) == []


def test_a_budget_that_is_no_number_of_images_is_no_point():
    settings = [{"dataset.small_per_class": images} for images in ("1", "2", "0.5", "all", "5")]
    assert budget_key(settings) == "dataset.small_per_class"
    (drawn,) = budget_curves("dataset.small_per_class", settings, spreads([0.5, 0.6, 0.1, 0.9, 0.7]))
    assert drawn.images == [1, 2, 5]


def test_two_jobs_of_one_budget_make_no_curve():
    settings = [{"dataset.small_per_class": images} for images in ("1", "2", "5", "5")]
    assert budget_curves("dataset.small_per_class", settings, spreads([0.5, 0.6, 0.7, 0.9])) == []


def test_a_curve_s_band_stays_within_0_and_100_percent():
    settings = [{"dataset.small_per_class": images} for images in ("1", "2", "5")]
    wide = [spread({0: 1.0, 1: 0.7}), spread({0: 1.0, 1: 0.9}), spread({0: 0.0, 1: 0.1})]
    (drawn,) = budget_curves("dataset.small_per_class", settings, wide)
    assert min(drawn.low) == 0
    assert max(drawn.high) == 1


@pytest.mark.parametrize(
    ("better", "other"),
    [
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0]),
        ([1.0, 1.0, 1.0], [0.9, 1.0, 1.0]),  # 100 % is reached with 5 images or fewer
        ([1.0, 1.0, 1.0], [0.999, 1.0, 0.999]),
        ([0.9, 0.9, 0.9], [0.9, 0.9, 0.9]),
        ([0.91, 0.91, 0.91], [0.90, 0.92, 0.90]),  # within the noise of all budgets
    ],
)
def test_at_a_ceiling_and_on_a_flat_curve_no_budget_equals_another(better: list[float], other: list[float]):
    def noisy(label: str, mean: list[float]) -> Curve:
        return Curve(label, [2, 5, 8], mean, [value - 0.03 for value in mean], [min(1, value + 0.03) for value in mean])

    for make in (noisy, lambda label, mean: curve(label, [2, 5, 8], mean)):
        if make is noisy or better[0] == 1 or better == other:
            sentences = budget_answers("dataset.small_per_class", [make("dense512", better), make("plain", other)])
            assert sentences == ["How many images plain needs to equal dense512 cannot be told."]


def test_a_main_effect_of_copies_has_no_test():
    same = [Copies(dict.fromkeys(range(8), value)) for value in (0.5, 0.6, 0.7, 0.8)]
    settings = [{"head": head, "lr": lr} for head in ("ridge", "logistic") for lr in ("1", "2")]
    effects = main_effects(settings, same)
    assert not effects["p"].notna().to_numpy().any()
    assert effects["difference"].dropna().tolist() == pytest.approx([-0.2, -0.1])


def test_numbers_are_ordered_and_options_are_not():
    assert is_ordered(["0", "0.5", "1e-3"])
    assert not is_ordered(["plain", "dense512"])
    assert not is_ordered(["1", "auto"])
    assert not is_ordered(["1", "nan"])


def test_copies_that_know_their_images_stay_copies_in_main_effects():
    settings = [{"head": head, "keep": keep} for head in ("ridge", "logistic") for keep in ("1", "2")]
    right = np.random.default_rng(0).random((4, 40)) < np.array([[0.9], [0.8], [0.6], [0.5]])
    images = np.array([str(number) for number in range(40)])
    jobs = [
        Measured(Outcomes(tuple(range(6)), images, np.tile(row.astype(float), (6, 1)), copies=True)) for row in right
    ]
    head = main_effects(settings, jobs).query("key == 'head'").set_index("value")
    averages = right[:2].mean(0) - right[2:].mean(0)
    assert head.loc["logistic", "p"] == pytest.approx(p_value(averages))
