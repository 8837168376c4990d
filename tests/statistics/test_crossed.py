import numpy as np
import pytest

from graft.statistics.crossed import estimate


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


def test_its_interval_covers_the_mean_of_other_trials_and_images():
    random, covered = np.random.default_rng(0), 0
    for _ in range(1000):
        values = random.normal(size=(10, 1)) + 3 * random.normal(size=50) + random.normal(size=(10, 50))
        low, high = estimate(values).interval()
        covered += low <= 0 <= high
    assert 930 <= covered <= 970
