import math

import numpy as np
import pytest
from scipy import stats

from graft.statistics.comparison import spread, summary
from graft.statistics.intervals import mean_interval, proportion_interval


def wilson(share: float, images: int) -> tuple[float, float]:
    """Return Wilson's interval as Wilson (1927) has it."""
    z = float(stats.norm.ppf(0.975))
    middle = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z / (1 + z**2 / images) * math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    return middle - half, middle + half


def test_four_images_all_right_are_not_100_to_100_percent():
    interval = mean_interval([1.0] * 6, 4)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((wilson(1, 4)[0], 1.0))
    assert interval.low == pytest.approx(0.51, abs=0.001)
    assert interval.counts == "test images"


def test_the_interval_is_student_s_where_trials_differ_more_than_the_images_explain():
    values = [0.7, 0.9, 0.8, 0.75]
    interval = mean_interval(values, 1000)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx(stats.t.interval(0.95, 3, np.mean(values), stats.sem(values)))
    assert interval.counts == "training draws"


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
    assert 0 <= interval.low <= np.mean(values) <= interval.high <= 1
    assert interval.high > interval.low
    if images is not None:
        low, high = wilson(float(np.mean(values)), images)
        assert interval.high - interval.low >= high - low - 1e-9


def test_a_mean_between_two_counts_has_an_interval_that_holds_both():
    low, high = proportion_interval(0.85, 10)
    assert (low, high) == pytest.approx((wilson(0.8, 10)[0], wilson(0.9, 10)[1]))


def test_one_trial_says_nothing_about_the_mean_of_others():
    assert mean_interval([0.9], 1000) is None


def test_result_json_has_the_interval_of_the_table():
    values = [0.93, 0.931, 0.932]
    stored, shown = summary(values, 1000), spread(dict(enumerate(values)), 1000)
    assert shown.interval is not None
    assert stored["ci95"] == list(shown.interval)
    assert stored["ci95_counts"] == shown.counts == "test images"


def test_the_mean_of_equal_numbers_is_not_below_the_lowest():
    """NumPy's mean of six times this accuracy is lower by a bit, which Matplotlib refused as a negative length."""
    for count in range(1, 919):
        for trials in (3, 6, 7, 15):
            alike = spread(dict.fromkeys(range(trials), count / 918))
            assert alike.low == alike.mean == alike.high
