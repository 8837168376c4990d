import itertools

import numpy as np
import pytest
from scipy import stats

from graft.statistics.crossed import NONE, estimate, prior, satterthwaite, squares


def unbiased(values: np.ndarray) -> float:
    found = squares([values])
    return float((found.trials + found.images - found.rest)[0, 0]) / values.size


def u_statistic(values: np.ndarray) -> float:
    """Return Gallas's variance of a mean over trials and images from its four moments, by loops over all pairs."""
    trials, images = values.shape
    sums, counts = np.zeros((2, 2)), np.zeros((2, 2))  # by whether the trials and the images are the same
    cells = list(itertools.product(range(trials), range(images)))
    for (i, j), (k, m) in itertools.product(cells, cells):
        sums[int(i == k), int(j == m)] += values[i, j] * values[k, m]
        counts[int(i == k), int(j == m)] += 1
    moments = sums / counts
    return float((counts * moments).sum() / counts.sum() - moments[0, 0])


def test_the_variance_is_that_of_the_analysis_of_variance():
    values = np.random.default_rng(0).integers(0, 2, (4, 6)).astype(float)
    found = estimate(values)
    grand = values.mean()
    trials = 6 * sum((row.mean() - grand) ** 2 for row in values) / 3
    images = 4 * sum((column.mean() - grand) ** 2 for column in values.T) / 5
    rest = sum(
        (values[i, j] - values[i].mean() - values[:, j].mean() + grand) ** 2 for i in range(4) for j in range(6)
    ) / (3 * 5)
    assert found.mean == pytest.approx(grand)
    assert found.variance * 24 == pytest.approx(max(trials + images - rest, trials, images))
    assert found.square == pytest.approx((values**2).mean())


def test_the_trials_mean_square_has_an_error_only_as_far_as_it_exceeds_the_rest():
    shape = (6, 450)
    for trials, images, rest in ((0.3, 1.1, 1.0), (1.0, 1.1, 1.0), (9.0, 2.0, 1.0), (4.0, 3.0, 0.0)):
        total = max(trials + images - rest, trials, images)
        above = stats.f.cdf(trials / rest, 5, 5 * 449) if rest else 1.0
        spread = above * trials**2 / 5 + images**2 / 449 + rest**2 / (5 * 449)
        assert satterthwaite(total, (trials, images, rest), shape) == pytest.approx(total**2 / spread)
    assert satterthwaite(0.0, (0.0, 0.0, 0.0), shape) == 5


@pytest.mark.parametrize("trials", [6, 15])
@pytest.mark.parametrize(("of_trials", "of_images"), [(0.0, 0.0), (1.0, 0.0), (10.0, 0.0), (4.0, 1.0), (0.6, 30.0)])
def test_it_covers_in_the_normal_model_and_is_no_wider_than_over_trials(
    trials: int, of_trials: float, of_images: float
):
    """Mean squares are drawn from their distributions, in units of the rest's: for them nothing was chosen."""
    random, shape, count = np.random.default_rng(trials), (trials, 450), 4000
    degrees = np.array([trials - 1, 449, (trials - 1) * 449])
    expected = np.array([1 + of_trials, 1 + of_images, 1.0])
    squares = expected * random.chisquare(degrees, (count, 3)) / degrees
    total = np.maximum(squares[:, 0] + squares[:, 1] - squares[:, 2], squares[:, :2].max(1))
    found = [satterthwaite(one, own.tolist(), shape) for one, own in zip(total, squares, strict=True)]
    half = stats.t.ppf(0.975, found) * total**0.5
    covered = np.mean(np.abs(random.normal(size=count)) * (1 + of_trials + of_images) ** 0.5 < half)
    assert 0.935 < covered < 0.98  # the standard error is .35 points
    if not of_images:
        over_trials = stats.t.ppf(0.975, trials - 1) * squares[:, 0] ** 0.5
        assert half.mean() < (1.02 if trials == 6 else 1.05) * over_trials.mean()


@pytest.mark.parametrize("shape", [(2, 2), (3, 7), (6, 12)])
def test_before_its_floor_it_is_gallas_s_u_statistic(shape: tuple[int, int]):
    random = np.random.default_rng(shape)
    for values in (random.integers(0, 2, shape).astype(float), random.normal(size=shape)):
        assert unbiased(values) == pytest.approx(u_statistic(values), abs=1e-9)


def test_it_is_without_bias_over_all_draws_of_a_small_population():
    population = np.random.default_rng(3).integers(0, 2, (3, 4)).astype(float)
    means, found = [], []
    for rows in itertools.product(range(3), repeat=2):
        for columns in itertools.product(range(4), repeat=3):
            values = population[list(rows)][:, list(columns)]
            means.append(values.mean())
            found.append(unbiased(values))
    assert np.mean(found) == pytest.approx(np.var(means), abs=1e-12)


def test_differences_of_configurations_are_those_of_their_values():
    random = np.random.default_rng(1)
    for values in (random.integers(0, 2, (3, 5, 40)).astype(float), random.normal(size=(3, 5, 40))):
        together = squares(list(values))
        for first, second in itertools.permutations(range(3), 2):
            expected, found = estimate(values[first] - values[second]), together.difference(first, second)
            assert (found.mean, found.variance, found.degrees, found.square) == pytest.approx(
                (expected.mean, expected.variance, expected.degrees, expected.square), rel=1e-6
            )
        assert np.linalg.eigvalsh(together.covariance()).min() >= -1e-12
    same = squares([values[0], values[0].copy()]).difference(0, 1)
    assert (same.mean, same.variance) == (0, 0)


def test_its_interval_covers_the_mean_of_other_trials_and_images():
    random, covered = np.random.default_rng(0), 0
    for _ in range(1000):
        values = random.normal(size=(10, 1)) + 3 * random.normal(size=50) + random.normal(size=(10, 50))
        low, high = estimate(values).interval()
        covered += low <= 0 <= high
    assert 930 <= covered <= 970


def test_groups_are_the_units_whatever_their_sizes():
    random, covered, alone = np.random.default_rng(0), 0, 0
    for _ in range(500):
        groups = np.repeat(np.arange(40), random.integers(1, 9, 40))
        image = random.normal(size=40)[groups] + 0.3 * random.normal(size=len(groups))
        values = image + 0.1 * random.normal(size=(5, 1)) + random.normal(size=(5, len(groups)))
        found = estimate(values, groups)
        assert found.mean == pytest.approx(values.mean())
        low, high = found.interval()
        covered += low <= 0 <= high
        low, high = estimate(values).interval()
        alone += low <= 0 <= high
    assert 0.92 * 500 <= covered <= 0.98 * 500
    assert alone < 0.8 * 500


def test_groups_of_one_image_each_are_the_images():
    values = np.random.default_rng(0).normal(size=(3, 8))
    assert estimate(values, np.array(list("hgfedcba"))).variance == pytest.approx(estimate(values).variance)
    assert estimate(values, np.array([0, 0, 0, 0, 0, 0, 1, 2])).units == pytest.approx(64 / 38)


@pytest.mark.parametrize("values", [np.ones((1, 1)), np.ones((3, 1)), np.ones((1, 3)), np.ones((3, 3)), np.eye(2)])
def test_nothing_is_no_number_however_few_the_values(values: np.ndarray):
    with np.errstate(all="raise"):
        found = estimate(values)
    assert np.isfinite([found.mean, found.variance, found.degrees, *found.interval()]).all()
    assert found.variance >= 0


def test_a_single_trial_has_the_variance_between_images():
    values = np.random.default_rng(0).normal(size=(1, 30))
    low, high = estimate(values).interval()
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 29, values.mean(), stats.sem(values[0])))


def test_variances_that_are_alike_are_drawn_together_and_others_are_not():
    random = np.random.default_rng(0)
    alike = prior(np.cov(random.normal(size=(9, 6))), 5)
    assert 3 < alike.degrees <= 5
    assert alike.variance == pytest.approx(2, rel=0.5)
    spread = np.array([0.01, 0.02, 0.05, 0.1, 1, 5, 10, 50, 100])
    assert prior(np.cov(random.normal(size=(9, 6)) * spread[:, None]), 5).degrees < 1
    assert prior(np.cov(random.normal(size=(2, 6))), 5) == NONE
    assert prior(np.zeros((4, 4)), 5) == NONE
