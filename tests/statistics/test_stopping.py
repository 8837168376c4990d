"""Rounds of trials: their sizes and levels, single looks, and how often whole simulated sweeps are wrong."""

import runpy
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from graft.statistics.accuracies import Accuracies, Copies, Measured
from graft.statistics.margin import Verdict
from graft.statistics.outcomes import Outcomes
from graft.statistics.stopping import (
    ONLY_DRAWS,
    ONLY_IMAGES,
    ONLY_TRIALS,
    Rounds,
    best_of,
    could_narrow,
    levels,
    looks,
)

BENCHMARK = runpy.run_path(str(ROOT / "tests" / "benchmarks" / "stopping.py"))


def measured(values: np.ndarray, **about: Any) -> Measured:
    trials, images = values.shape
    return Measured(Outcomes(tuple(range(trials)), np.arange(images).astype(str), values.astype(float), **about))


def outcomes(trials: int, images: int, accuracy: float, seed: int = 0, easy: float = 0.0) -> np.ndarray:
    """Return outcomes of which each image's chance of being right varies by `easy` around the accuracy."""
    generator = np.random.default_rng(seed)
    chance = np.clip(accuracy + easy * generator.standard_normal(images), 0, 1)
    return generator.random((trials, images)) < chance


def rounds(*names: str, least: int = 6, most: int = 60, margin: float = 0.0) -> Rounds:
    pairs = len(names) * (len(names) - 1) // 2
    return Rounds(looks(least, most), pairs, margin, dict.fromkeys(names, least))


@pytest.mark.parametrize(
    ("least", "most", "sizes"),
    [(6, 60, [6, 9, 14, 21, 32, 48, 60]), (2, 4, [2, 3, 4]), (6, 6, [6]), (10, 12, [10, 12])],
)
def test_each_round_adds_half_as_many_trials_until_the_most(least: int, most: int, sizes: list[int]):
    assert looks(least, most) == sizes


@pytest.mark.parametrize(
    ("least", "most", "sizes"),
    [(6, 60, [10, 15, 25, 40, 60]), (5, 5, [5]), (2, 14, [5, 10])],
)
def test_with_folds_each_round_has_whole_repeats(least: int, most: int, sizes: list[int]):
    assert looks(least, most, folds=5) == sizes


def folded(repeats: int, noise: float) -> Measured:
    """Return outcomes of 5 folds of 200 images, of which some are hard; repeats differ by noise."""
    generator = np.random.default_rng(3)
    right = np.arange(200) % 10 > 1
    values = np.full((5 * repeats, 200), np.nan)
    for trial in range(5 * repeats):
        own = np.arange(200) % 5 == trial % 5
        values[trial, own] = (right ^ (generator.random(200) < noise))[own]
    return measured(values, folds=5)


def test_a_configuration_of_folds_gets_repeats_until_they_narrow_no_more():
    assert could_narrow(folded(1, 0.0))
    assert could_narrow(folded(2, 0.3))
    assert not could_narrow(folded(2, 0.02))


def test_a_pair_of_folds_whose_repeats_agree_can_only_be_told_apart_by_more_images():
    found = Rounds(looks(10, 60, folds=5), 1, 0.0, {"one": 10, "other": 10})
    one, other = folded(2, 0.0), folded(2, 0.0)
    other.outcomes.values[:, :3] = 1 - other.outcomes.values[:, :3]
    found.look({"one": one, "other": Measured(other.outcomes)})
    assert list(found.undecided.values()) == [ONLY_IMAGES]


def test_the_best_is_among_those_of_the_most_trials_because_few_may_have_easy_draws():
    easy = {seed: 0.9 - 0.01 * seed for seed in range(6)}
    assert best_of({"few": easy, "many": {seed: 0.95 - 0.01 * seed for seed in range(20)}}) == "many"


def test_the_looks_spend_five_percent_together():
    assert levels(looks(6, 60)) == pytest.approx([0.05 / 7] * 7)
    assert levels([6]) == [0.05]


def test_a_look_at_too_few_trials_for_a_test_spends_nothing():
    assert levels([2, 3, 6, 9]) == pytest.approx([0, 0, *levels([6, 9])])
    assert levels([2, 3]) == [0, 0]


def test_a_configuration_that_is_worse_gets_no_more_and_ends_the_rounds_of_two():
    found = rounds("good", "bad")
    found.look({"good": measured(outcomes(6, 400, 0.95)), "bad": measured(outcomes(6, 400, 0.6, seed=1))})
    assert found.best == "good"
    assert found.out == {"bad": Verdict.WORSE}
    assert found.trials == {"good": 6, "bad": 6}
    assert found.ended


def test_an_undecided_pair_goes_on_where_trials_are_what_differs():
    draws = np.random.default_rng(0).normal(0, 0.06, (2, 60, 1))
    first, second = (
        np.random.default_rng(1).random((60, 400)) < 0.7 + shift for shift in draws + np.array([[[0.03]], [[0]]])
    )
    found = rounds("first", "second", "bad")
    found.look({"first": measured(first), "second": measured(second), "bad": measured(outcomes(60, 400, 0.3, seed=2))})
    assert found.out == {"bad": Verdict.WORSE}
    assert sorted(found.going) == ["first", "second"]
    assert found.trials == {"first": 9, "second": 9, "bad": 6}
    assert not found.ended


def test_a_pair_whose_trials_all_agree_can_only_be_told_apart_by_more_images():
    rights = np.arange(200) < 150
    others = np.roll(rights, 30)
    others[:2] = True
    found = rounds("one", "other")
    found.look({"one": measured(np.tile(rights, (6, 1))), "other": measured(np.tile(others, (6, 1)))})
    assert found.undecided == {"one": ONLY_IMAGES}
    assert found.ended


@pytest.mark.parametrize(("share", "left"), [(0.0, ONLY_TRIALS), (0.8, ONLY_DRAWS)])
def test_where_all_trials_draw_most_of_one_pool_neither_trials_nor_test_images_can_tell(share: float, left: str):
    generator = np.random.default_rng(0)
    ease, draws = generator.normal(0, 0.3, 300), generator.normal(0, 0.03, (20, 1))
    both = generator.random((20, 300)) < 0.7 + ease
    other = generator.random((20, 300)) < 0.705 + ease + draws
    found = rounds("both", "other", least=20, most=21)
    found.look({"both": measured(both, share=share), "other": measured(other, share=share)})
    assert list(found.undecided.values()) == [left]


def test_a_small_difference_that_no_allowed_number_of_trials_shows_is_said_to_need_more():
    generator = np.random.default_rng(0)
    draws = {seed: 0.8 + value for seed, value in enumerate(generator.normal(0, 0.05, 9))}
    other = {seed: value + 0.003 + generator.normal(0, 0.02) for seed, value in draws.items()}
    found = rounds("one", "other", least=6, most=9)
    while not found.ended:
        found.look({"one": draws, "other": other})
    assert found.number == 2 or found.undecided
    assert set(found.undecided.values()) == {ONLY_TRIALS}


def test_configurations_within_the_margin_are_equal():
    both = outcomes(60, 2000, 0.8, easy=0.3)
    other = both ^ (np.random.default_rng(5).random(both.shape) < 0.01)
    for margin, verdict in ((0.02, {"other": Verdict.EQUAL}), (0.0, {"other": Verdict.WORSE})):
        found = rounds("both", "other", margin=margin)
        found.look({"both": measured(both), "other": measured(np.minimum(both, other))})
        assert found.out == verdict


def test_identical_configurations_are_equal_only_within_a_margin():
    values = measured(outcomes(6, 2000, 0.8))
    for margin, out in ((0.01, {"twin": Verdict.EQUAL}), (0.0, {})):
        found = rounds("one", "twin", margin=margin)
        found.look({"one": values, "twin": values})
        assert found.out == out
        assert found.ended


def test_only_the_trials_of_the_round_count_so_that_a_sweep_that_starts_again_decides_the_same():
    first, second = measured(outcomes(60, 300, 0.8)), measured(outcomes(60, 300, 0.77, seed=1))
    again, fresh = rounds("first", "second"), rounds("first", "second")
    again.look({"first": first, "second": second})
    six = [Measured(one.outcomes.select(range(6), np.arange(300))) for one in (first, second)]
    fresh.look({"first": six[0], "second": six[1]})
    assert again == fresh


def test_a_failed_configuration_gets_no_more_and_the_others_go_on():
    found = rounds("one", "other", "failed")
    draws = {seed: 0.8 + seed % 5 / 50 for seed in range(60)}
    found.look({"one": draws, "other": {seed: value + seed % 7 / 100 for seed, value in draws.items()}})
    assert "failed" not in found.going
    assert found.trials["failed"] == 6


def test_no_look_decides_on_fewer_trials_than_a_test_needs():
    found = rounds("good", "bad", least=3, most=6)
    data: dict[str, Accuracies] = {
        "good": measured(outcomes(6, 400, 0.95)),
        "bad": measured(outcomes(6, 400, 0.5, seed=1)),
    }
    found.look(data)
    assert (found.out, found.going) == ({}, ["good", "bad"])
    found.look(data)
    assert (found.out, found.going) == ({}, ["good", "bad"])
    found.look(data)
    assert found.out == {"bad": Verdict.WORSE}


def test_equal_differences_in_every_trial_need_the_sign_test():
    steps = {seed: 0.5 + seed / 100 for seed in range(60)}
    found = rounds("one", "other")
    while not found.ended:
        found.look({"one": steps, "other": {seed: value - 0.01 for seed, value in steps.items()}})
        assert (found.out == {"other": Verdict.WORSE}) == (2.0 ** (1 - looks(6, 60)[found.number - 1]) < 0.05 / 7)


def test_copies_get_no_more_trials():
    found = rounds("one", "other")
    found.look({"one": Copies(dict.fromkeys(range(6), 0.8)), "other": Copies(dict.fromkeys(range(6), 0.7))})
    assert found.undecided == {"other": ONLY_IMAGES}
    assert not could_narrow(Copies({0: 0.5, 1: 0.5}))


def test_one_configuration_gets_trials_until_its_images_are_what_the_interval_counts():
    hard = measured(outcomes(40, 50, 0.7, easy=0.5))
    found = rounds("alone")
    while not found.ended:
        found.look({"alone": hard})
    assert 6 < found.trials["alone"] < 60 or not could_narrow(hard)
    assert could_narrow(measured(np.random.default_rng(0).random((6, 500)) < np.linspace(0.3, 0.9, 6)[:, None]))
    assert could_narrow({0: 0.5, 1: 0.6})


def test_sweeps_of_equals_are_seldom_wrong_and_steps_save_trials():
    generator = np.random.default_rng(1)
    equal = BENCHMARK["modeled"]([1.0] * 6, 200, draw=0.4, image=1.0)
    courses = [BENCHMARK["course"](equal(generator), np.zeros(6)) for _ in range(60)]
    assert sum(one.first_wrong > 0 for one in courses) <= 7  # 5 % of 60 are 3; more than 7 have a chance of 1 %
    steps = np.array([0.0, -0.2, -1.0, -1.2])
    apart = BENCHMARK["modeled"](list(1.0 + steps), 300)
    courses = [BENCHMARK["course"](apart(generator), steps) for _ in range(20)]
    assert not any(one.first_wrong for one in courses)
    assert np.mean([one.trials for one in courses]) < 0.5 * 4 * 60
