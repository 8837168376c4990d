"""The quick version of tests/benchmarks/coverage.py: simulated heads, with the same draws in every run."""

import numpy as np
import pytest
from benchmarks.coverage import coverage, draws, equal_weights, false_winners, simulated

from graft.statistics import simultaneous

HEADS = simulated([f"head{number}" for number in range(8)])
PAIR = [HEADS["head0"], HEADS["head1"]]


# 300 repetitions of a true 95 % have a standard error of 1.3 points.
@pytest.mark.parametrize(("design", "over_trials"), [((6, 450), 0.9), ((15, 100), 0.7)])
def test_the_interval_of_a_mean_holds_for_other_trials_and_images(design: tuple[int, int], over_trials: float):
    (ours, t), _ = coverage(PAIR[:1], design, repetitions=300)
    assert 0.91 < ours < 0.985
    assert t < over_trials


@pytest.mark.parametrize(("design", "over_trials"), [((6, 450), 0.92), ((50, 300), 0.8)])
def test_the_interval_of_a_difference_holds_for_other_trials_and_images(design: tuple[int, int], over_trials: float):
    (ours, t), _ = coverage(PAIR, design, repetitions=300)
    assert 0.91 < ours < 0.985
    assert t < over_trials


def test_the_interval_is_as_wide_as_over_trials_where_images_add_nothing():
    random = np.random.default_rng(0)
    images = random.random(2000)
    hard = [np.array([images < mean for mean in random.normal(0.7, 0.05, 400)]) for _ in range(2)]
    _, (ours, t) = coverage(hard, (15, 1250), repetitions=100)
    assert t <= ours < 1.03 * t


def test_equal_configurations_have_a_false_winner_in_five_percent_of_sweeps_at_most(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(simultaneous, "DRAWS", 2000)  # its quantiles in a fiftieth of the time
    ours, t = false_winners(list(HEADS.values()), (50, 200), repetitions=100)
    assert ours <= 0.1  # 5 % of 100 sweeps and two standard errors
    assert t > 0.2


def test_images_are_weighted_so_that_all_heads_have_the_same_mean():
    weights = equal_weights(list(HEADS.values()))
    means = [float(matrix.mean(0) @ weights) for matrix in HEADS.values()]
    assert np.ptp([matrix.mean() for matrix in HEADS.values()]) > 0.001
    assert means == pytest.approx([means[0]] * 8, abs=1e-6)
    assert weights.min() > 0
    assert weights.sum() == pytest.approx(1)


def test_trials_and_images_are_drawn_alike_of_all_heads():
    numbered = np.arange(12).reshape(3, 4)
    for first, second in draws([numbered, 10 * numbered], (5, 6), repetitions=3):
        assert first.shape == (5, 6)
        assert (second == 10 * first).all()
        assert len(np.unique(first // 4, axis=1).T) == 1  # a row of the outcomes is a trial, a column an image
        assert len(np.unique(first % 4, axis=0)) == 1
