import math

import numpy as np
import pytest
from scipy import stats

from graft.statistics.comparison import spread, summary
from graft.statistics.crossed import estimate
from graft.statistics.intervals import estimate_interval, floored, mean_interval, proportion_interval


def wilson(share: float, images: int) -> tuple[float, float]:
    """Return Wilson's interval as Wilson (1927) has it."""
    z = float(stats.norm.ppf(0.975))
    middle = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z / (1 + z**2 / images) * math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    return middle - half, middle + half


def test_four_images_all_right_are_not_100_to_100_percent():
    interval = mean_interval([1.0] * 6, 4)
    assert interval is not None
    (low, high), counts = interval
    assert (low, high) == pytest.approx((wilson(1, 4)[0], 1.0))
    assert low == pytest.approx(0.51, abs=0.001)
    assert counts == "test images"


def test_the_interval_is_student_s_where_trials_differ_more_than_the_images_explain():
    values = [0.7, 0.9, 0.8, 0.75]
    interval = mean_interval(values, 1000)
    assert interval is not None
    assert interval[0] == pytest.approx(stats.t.interval(0.95, 3, np.mean(values), stats.sem(values)))
    assert interval[1] == "training draws"


def test_the_interval_of_losses_is_student_s_on_any_number_of_images():
    values = [-0.5, -0.6, -1.3]
    interval = mean_interval(values, 10, bounded=False)
    assert interval is not None
    (low, high), counts = interval
    assert (low, high) == pytest.approx((stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))[0], 0.0))
    assert counts == "training draws"


@pytest.mark.parametrize("values", [[0.98, 1.0, 0.9], [0.0, 0.02, 0.0], [0.0, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0]])
@pytest.mark.parametrize("images", [None, 1, 4, 50, 100_000])
def test_an_interval_holds_the_mean_has_a_width_and_stays_within_0_and_100_percent(
    values: list[float], images: int | None
):
    interval = mean_interval(values, images)
    if images is None and np.ptp(values) == 0:
        assert interval is None  # nothing can be said
        return
    assert interval is not None
    low, high = interval[0]
    assert 0 <= low <= np.mean(values) <= high <= 1
    assert high > low
    if images is not None:
        first, last = wilson(float(np.mean(values)), images)
        assert high - low >= last - first - 1e-9


def test_a_mean_between_two_counts_has_an_interval_that_holds_both():
    low, high = proportion_interval(0.85, 10)
    assert (low, high) == pytest.approx((wilson(0.8, 10)[0], wilson(0.9, 10)[1]))


def test_one_trial_says_nothing_about_the_mean_of_others():
    assert mean_interval([0.9], 1000) is None


def test_result_json_has_the_interval_of_the_table():
    values = [0.93, 0.931, 0.932]
    stored, shown = summary(dict(enumerate(values)), 1000), spread(dict(enumerate(values)), 1000)
    assert shown.interval is not None
    assert stored["ci95"] == list(shown.interval)
    assert stored["ci95_counts"] == shown.counts == "test images"


def test_the_mean_of_equal_numbers_is_not_below_the_lowest():
    """NumPy's mean of six times this accuracy is lower by a bit, which Matplotlib refused as a negative length."""
    for count in range(1, 919):
        for trials in (3, 6, 7, 15):
            alike = spread(dict.fromkeys(range(trials), count / 918))
            assert alike.low == alike.mean == alike.high


def test_four_images_all_right_in_all_trials_are_51_to_100_percent_for_other_trials_and_images():
    assert estimate_interval(estimate(np.ones((6, 4)))) == pytest.approx((wilson(1, 4)[0], 1.0))


@pytest.mark.parametrize("images", [1, 4, 20, 450])
@pytest.mark.parametrize("trials", [1, 2, 6])
def test_intervals_of_estimates_hold_the_mean_have_a_width_and_stay_within_0_and_100_percent(trials: int, images: int):
    random = np.random.default_rng(trials)
    for level in (0.0, 0.02, 0.5, 0.98, 1.0):
        found = estimate((random.random((trials, images)) < level).astype(float))
        low, high = estimate_interval(found)
        assert 0 <= low <= found.mean <= high <= 1
        assert high > low


def test_the_interval_does_not_jump_where_the_first_image_is_wrong():
    values = np.ones((6, 450))
    lows = []
    for wrong in range(7):  # trials that have one image wrong
        values[:wrong, 0] = 0
        lows.append(estimate_interval(estimate(values))[0])
    assert lows == sorted(lows, reverse=True)
    assert np.abs(np.diff(lows)).max() < 0.002
    assert lows[6] == pytest.approx(wilson(449 / 450, 450)[0], abs=2e-4)


def test_it_is_student_s_where_images_are_many_and_all_alike():
    random = np.random.default_rng(0)
    values = (random.random((15, 20_000)) < 0.8 + random.normal(0, 0.02, (15, 1))).astype(float)
    low, high = estimate_interval(estimate(values))
    expected = stats.t.interval(0.95, 14, values.mean(), stats.sem(values.mean(1)))
    assert high - low == pytest.approx(expected[1] - expected[0], rel=0.03)


def test_a_difference_without_a_disagreement_is_bonett_and_price_s():
    found = floored(estimate(np.zeros((6, 100))))
    assert found.error == pytest.approx(2**0.5 / 100)
    assert found.interval()[1] == pytest.approx(1.96 * 2**0.5 / 100, rel=1e-3)


def test_a_disagreement_of_one_trial_says_nothing_of_images_on_which_all_trials_would_differ():
    values = np.zeros((15, 100))
    values[0, 0] = 1
    found = estimate(values)
    least = found.parts.images + found.parts.rest + 2 / 100**2
    assert floored(found).variance == pytest.approx(least)
    assert floored(found).parts.images == pytest.approx(found.parts.images + least - found.variance)


@pytest.mark.parametrize(("images", "always", "by_chance"), [(18, 0.05, 0.005), (60, 0.02, 0.005), (114, 0.01, 0.005)])
def test_differences_cover_where_few_images_differ_always_and_others_by_chance(
    images: int, always: float, by_chance: float
):
    random, covered = np.random.default_rng(0), 0
    for _ in range(300):
        fixed = random.random(images) < always
        noise = (random.random((15, images)) < by_chance) * random.choice((-1.0, 1.0), (15, images))
        low, high = floored(estimate(np.where(fixed, 1.0, noise))).interval()
        covered += low <= always <= high
    assert covered >= 0.93 * 300


@pytest.mark.parametrize("groups", [None, np.arange(450) // 3])
def test_a_difference_of_many_disagreements_keeps_its_variance(groups: np.ndarray | None):
    random = np.random.default_rng(0)
    values = random.choice((-1.0, 0.0, 1.0), p=(0.1, 0.75, 0.15), size=(6, 450))
    found = estimate(values, groups)
    assert floored(found).variance <= 1.05 * found.variance


@pytest.mark.parametrize(
    ("trials", "images", "most"),
    [(6, 450, (97.5, 98.5)), (15, 100, (98, 100)), (50, 300, (97.5, 98.5)), (4, 20, (100, 100))],
)
def test_intervals_cover_the_mean_of_other_trials_and_images(trials: int, images: int, most: tuple[float, float]):
    """Differences cover more where images are few, because of those that none of them shows."""
    random, covered = np.random.default_rng(images), np.zeros(2)
    ease, draw = random.normal(1.5, 1.5, 20_000), random.normal(0, 0.1, 400)
    own = random.normal(0, 0.4, (2, 20_000))

    def right(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        latent = (ease + own)[:, None, columns] + draw[rows][:, None]
        return stats.norm.cdf(latent / 0.6)

    truth = right(np.arange(400)[::20], np.arange(20_000)).mean((1, 2))
    for _ in range(300):
        chance = right(random.integers(0, 400, trials), random.integers(0, 20_000, images))
        first, second = (random.random(chance.shape) < chance).astype(float)
        low, high = estimate_interval(estimate(first))
        covered[0] += low <= truth[0] <= high
        low, high = floored(estimate(first - second)).interval()
        covered[1] += low <= truth[0] - truth[1] <= high
    print(f"{trials} x {images}: {covered / 3} %")
    assert (covered / 3 >= 92).all()
    assert (covered / 3 <= np.array(most)).all()
