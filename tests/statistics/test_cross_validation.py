import numpy as np
import pytest
from benchmarks.overlap import cross_validated, judge_folds
from test_overlap import digits

from graft.statistics import crossed
from graft.statistics.cross_validation import SHARED, estimate, unequal_folds


def folded(outcomes: np.ndarray, num_folds: int = 5) -> np.ndarray:
    """Return outcomes of repeats, (repeats, images), as those of trials, (trials, images), NaN where not tested."""
    fold = np.arange(outcomes.shape[1]) % num_folds
    masks = np.concatenate([fold == np.arange(num_folds)[:, None]] * len(outcomes))
    return np.where(masks, outcomes.repeat(num_folds, 0), np.nan)


def test_the_variance_is_that_of_the_images_and_half_as_much_again():
    outcomes = np.random.default_rng(0).integers(0, 2, (3, 60)).astype(float)
    outcomes[:, :30] = 1  # so that folds differ by little
    found = estimate(folded(outcomes))
    assert found.mean == pytest.approx(outcomes.mean())
    assert found.parts.images == pytest.approx(outcomes.mean(0).var(ddof=1) / 60)
    assert found.variance == pytest.approx((1 + SHARED) * found.parts.images)
    assert (found.degrees, found.num_trials, found.num_images) == (pytest.approx(59), 15, 60)


def test_each_image_has_the_same_weight_and_one_that_is_not_tested_has_none():
    outcomes = np.array([[1.0, 0, 1, 1, 0, 1], [1, 0, 0, 1, 0, 1]])
    values = folded(outcomes, 3)
    values[3] = np.nan  # of a trial that failed: its images, 0 and 3, were tested once
    assert estimate(values).mean == pytest.approx(np.mean([1, 0, 0.5, 1, 0, 1]))
    values[0] = np.nan
    assert estimate(values).mean == pytest.approx(np.mean([0, 0.5, 0, 1]))
    assert estimate(values).num_images == 4


def test_groups_are_the_unit_where_there_are_some():
    values = folded(np.repeat(np.random.default_rng(0).integers(0, 2, (1, 20)).astype(float), 3, axis=1))
    groups = np.repeat(np.arange(20), 3)
    assert estimate(values, groups).parts.images == pytest.approx(3 * estimate(values).parts.images, rel=0.06)


def test_trials_that_differ_by_more_than_their_images_count():
    random, covered = np.random.default_rng(0), 0
    for _ in range(250):
        trials = random.normal(size=(10, 1))
        values = trials + random.normal(size=(10, 500)) + 0 * folded(np.zeros((2, 500)))
        found = estimate(values)
        low, high = found.interval()
        covered += low <= 0 <= high
        assert found.degrees < 20
    assert 0.93 * 250 <= covered <= 0.99 * 250


def test_it_covers_other_data_sets_of_real_digits():
    stored = cross_validated(*digits(), 150, 5, 80, heads=("ridge1", "ridge100"), repeats=2)
    for repeats in (1, 2):
        found = judge_folds(stored, repeats)
        assert np.mean([own[0] for _, own in found.values()]) >= 0.93
        assert np.mean([own[1] for _, own in found.values()]) <= 1.5  # times as wide as needed
        for usual, own in found.values():
            assert own[0] >= 0.9  # 93 % less one standard error of 80 data sets
            assert usual[0] >= 0.93  # Nadeau and Bengio's covers, too


def test_a_single_trial_tests_a_single_fold():
    values = np.full((1, 10), np.nan)
    values[0, :4] = [1, 0, 1, 1]
    assert estimate(values).variance == pytest.approx(1.5 * crossed.estimate(np.array([[1.0, 0, 1, 1]])).variance)


def test_folds_that_fewer_trials_have_tested_are_named():
    assert unequal_folds([0, 1, 2, 3, 4, 5], 3) == unequal_folds([0, 1, 5], 0) == ""
    assert unequal_folds([0, 1, 3, 4, 5], 3) == "of 3 folds, fold 2 has 1 of 2 trials"
    assert unequal_folds([1], 3) == "of 3 folds, fold 0 has 0 of 1 trial, fold 2 has 0 of 1 trial"
