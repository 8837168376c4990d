import numpy as np
import pytest

from graft.statistics.winner import corrected


def sweep(random: np.random.Generator, sizes: tuple[int, int, int], gain: float = 0.0) -> dict[str, np.ndarray]:
    """Return outcomes of equal configurations, of which the first may gain."""
    configurations, trials, images = sizes
    effects = random.normal(size=(1, 1, images)) + 0.45 * random.normal(size=(configurations, 1, images))
    effects = effects + 0.12 * random.normal(size=(configurations, trials, 1)) + 0.35 * random.normal(size=sizes)
    effects[0] += gain
    return {str(index): (each > -1.2).astype(float) for index, each in enumerate(effects)}


def errors(sizes: tuple[int, int, int], gain: float, sweeps: int) -> np.ndarray:
    """Return by how much, in points, the best and the corrected mean exceed the winner's mean on other data."""
    random = np.random.default_rng(0)
    other = {name: each.mean() for name, each in sweep(np.random.default_rng(1), (2, 100, 20_000), gain).items()}
    found = []
    for _ in range(sweeps):
        values = sweep(random, sizes, gain)
        best = max(values, key=lambda name: values[name].mean())
        true = other["0" if best == "0" else "1"]
        found.append([values[best].mean() - true, corrected(values) - true])
    return 100 * np.array(found).mean(0)


def test_the_best_of_equal_configurations_is_corrected():
    best, honest = errors((8, 15, 200), 0.0, 120)
    assert best > 1.2
    assert abs(honest) < 0.6  # the standard error is 0.2


def test_a_clear_winner_keeps_its_mean():
    values = sweep(np.random.default_rng(0), (4, 15, 300), 1.0)
    assert corrected(values) == values["0"].mean()
    best, honest = errors((4, 15, 200), 0.3, 60)
    assert best - honest < 0.5


def test_it_is_the_same_each_time_and_not_above_the_best_mean():
    values = sweep(np.random.default_rng(3), (5, 6, 40))
    assert corrected(values) == corrected(values) < max(each.mean() for each in values.values())
    assert corrected({"one": values["0"]}) == values["0"].mean()
    assert corrected({"one": values["0"], "same": values["0"]}) == values["0"].mean()


def test_a_single_trial_has_images_only():
    values = sweep(np.random.default_rng(0), (6, 1, 80))
    best = max(each.mean() for each in values.values())
    assert best - 0.1 < corrected(values) < best


def test_images_of_a_group_are_resampled_together():
    values = sweep(np.random.default_rng(0), (6, 8, 60))
    repeated = {name: np.repeat(each, 5, axis=1) for name, each in values.items()}
    groups = np.repeat(np.arange(60), 5).astype(str)
    assert corrected(repeated, groups) == pytest.approx(corrected(values), abs=0.004)  # groups are in another order
    assert corrected(repeated) > corrected(repeated, groups)  # as if there were 300 images


def test_folds_have_gaps():
    values = sweep(np.random.default_rng(0), (6, 10, 100))
    tested = np.arange(100) % 5 == np.arange(10)[:, None] % 5
    gaps = {name: np.where(tested, each, np.nan) for name, each in values.items()}
    best = max(float(np.nanmean(each)) for each in gaps.values())
    assert best - 0.1 < corrected(gaps) < best


def test_what_cannot_be_resampled_is_refused():
    one = np.ones((3, 4))
    with pytest.raises(ValueError, match="the same trials on the same images"):
        corrected({"a": one, "b": np.ones((3, 5))})
    with pytest.raises(ValueError, match="the same trials on the same images"):
        corrected({"a": one, "b": np.where(np.eye(3, 4), np.nan, one)})
    with pytest.raises(ValueError, match="two images, or two groups"):
        corrected({"a": one}, np.array(["x"] * 4))
