import numpy as np
import pytest
import torch
from benchmarks.overlap import draws, judge_draws
from scipy import stats

from graft.data.images import InMemoryImages
from graft.data.load import mnist5k
from graft.statistics.accuracies import Measured, average
from graft.statistics.crossed import NONE, estimate
from graft.statistics.needed import Needed, needed
from graft.statistics.outcomes import Outcomes
from graft.statistics.overlap import between_pools, for_other_pools, share_of_all
from graft.statistics.pairs import Joint, pair


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return 49 average pixels of the bundled odd digits, (images, features), and their classes, in a random order."""
    images = mnist5k(None)
    assert isinstance(images, InMemoryImages)
    odd = torch.nonzero(images.labels % 2).flatten()
    odd = odd[torch.randperm(len(odd), generator=torch.Generator().manual_seed(0))]
    x = torch.nn.functional.avg_pool2d(images.pixels[odd].float() / 255, 4).flatten(1).numpy()
    return (x - x.mean(0)) / x.std(), (images.labels[odd].numpy() - 1) // 2


def test_the_correction_lies_between_those_for_pairs_and_for_single_images():
    assert between_pools(0) == 0
    assert between_pools(0.5) == pytest.approx(0.6)
    for share in (0.1, 0.5, 0.8, 0.95):
        assert share**2 / (1 - share**2) < between_pools(share) < share / (1 - share)


def test_the_trials_part_is_widened_by_what_no_number_of_trials_or_images_reduces():
    found = estimate(np.random.default_rng(0).normal(size=(10, 1)) + np.random.default_rng(1).normal(size=(10, 30)))
    wider = for_other_pools(found, 0.5)
    assert wider.variance == pytest.approx(found.variance + 6 * found.parts.trials)
    assert (wider.parts, wider.mean) == (found.parts, found.mean)
    assert 9 <= wider.degrees < found.degrees


def test_more_trials_are_not_asked_for_where_the_images_that_all_draw_from_are_the_doubt():
    """Half of a pool in each of 15 trials: the parts are known here, and so is what endless trials would leave."""
    random = np.random.default_rng(0)
    values = 0.02 + 0.05 * random.normal(size=(15, 1)) + 0.01 * random.normal(size=(15, 400))
    found = for_other_pools(estimate(values), 0.5)
    quantile = float(stats.t.ppf(0.975, found.degrees))
    assert found.mean < quantile * found.error  # undecided
    assert found.mean < 1.96 * (0.6 * 0.05**2) ** 0.5  # and so with endless trials: b / (1 - b) is 0.6
    assert needed(found, quantile) == Needed(None, None, None, 400 / 15, shared=True)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_without_a_pool_in_common_and_with_all_of_it_nothing_is_widened(share: float):
    found = estimate(np.random.default_rng(0).normal(size=(5, 20)))
    assert for_other_pools(found, share) == found


def test_a_single_trial_says_nothing_of_others():
    found = estimate(np.random.default_rng(0).normal(size=(1, 20)))
    assert for_other_pools(found, 0.5) == found


@pytest.mark.parametrize("share", [0.1, 0.8])
def test_it_is_exact_where_half_of_the_variance_comes_from_single_images_and_half_from_pairs(share: float):
    random, covered, drawn, dimensions = np.random.default_rng(0), 0, 24, 10
    for _ in range(250):
        single, pair = random.normal(size=(2, round(drawn / share), dimensions))
        trials = np.empty(10)
        for trial in range(10):
            chosen = random.permutation(len(single))[:drawn]
            pairs = ((pair[chosen].sum(0) ** 2).sum() - (pair[chosen] ** 2).sum()) / 2
            trials[trial] = single[chosen].sum() / (drawn * dimensions) ** 0.5
            trials[trial] += pairs / (dimensions * drawn * (drawn - 1) / 2) ** 0.5
        values = trials[:, None] + 2 * random.normal(size=100) + random.normal(size=(10, 100))
        low, high = for_other_pools(estimate(values), share).interval()
        covered += low <= 0 <= high
    assert covered >= 0.93 * 250
    assert covered <= 0.98 * 250


def test_it_covers_on_real_digits():
    found = judge_draws(draws(*digits(), 0.5, 60, heads=("ridge1", "ridge100")), 15, 450, np.random.default_rng(0))
    for plain, *_, corrected in found.values():
        assert plain[0] < corrected[0]
        assert corrected[0] >= 0.93
        assert corrected[1] <= 1.5  # times as wide as needed


def test_configurations_of_different_shares_add_what_each_adds_alone():
    assert share_of_all([0.3, 0.3], [1.0, 5.0]) == pytest.approx(0.3)
    assert share_of_all([0.1, 0.8], [2.0, 0.0]) == pytest.approx(0.1)
    assert share_of_all([0.1, 0.8], [0.0, 0.0]) == 0.8  # nothing tells which of them varies
    assert share_of_all([0.1, 1.0], [2.0, 1.0]) == 1
    both = share_of_all([0.1, 0.8], [3.0, 1.0])
    assert between_pools(both) == pytest.approx((3 * between_pools(0.1) + between_pools(0.8)) / 4)


def of_shares(few: float, many: float) -> tuple[Measured, Measured]:
    """Return accuracies of 12 trials that vary much for few images, and hardly for many, on 2,000 images."""
    random = np.random.default_rng(0)
    level = 0.6 + 0.1 * random.normal(size=(12, 1)), 0.9 + 0.005 * random.normal(size=(12, 1))
    names = np.arange(2000).astype(str)
    values = [(random.random((12, 2000)) < one).astype(float) for one in level]
    first, second = (
        Outcomes(tuple(range(12)), names, one, share=share) for one, share in zip(values, (few, many), strict=True)
    )
    return Measured(first), Measured(second)


def test_a_difference_of_few_and_many_images_is_as_uncertain_as_the_few_make_it():
    def width(few: float, many: float) -> float:
        found = pair(*of_shares(few, many)).interval(0.05)
        assert found is not None
        return found[1] - found[0]

    assert width(0.01, 0.01) < width(0.01, 0.8) < 1.2 * width(0.01, 0.01)
    assert width(0.8, 0.8) > 3 * width(0.01, 0.8)


@pytest.mark.parametrize("shares", [(0.01, 0.8), (0.8, 0.01), (0.2, 0.2), (0.1, 1.0)])
def test_all_pairs_together_are_as_wide_as_each_alone(shares: tuple[float, float]):
    both = of_shares(*shares)
    together, alone = Joint(both).estimate(0, 1, NONE), pair(*both).estimate
    assert together is not None
    assert alone is not None
    assert together.variance == pytest.approx(alone.variance)


def test_a_mean_of_configurations_has_their_common_share():
    few, many = of_shares(0.01, 0.8)
    found = average([few, many])
    assert isinstance(found, Measured)
    assert 0.01 < found.outcomes.share < 0.2


def test_trials_of_fewer_images_say_nothing_of_how_those_of_more_vary():
    random = np.random.default_rng(1)
    names = np.arange(500).astype(str)

    def trials(deviation: float, share: float) -> Measured:
        chances = 0.8 + deviation * random.normal(size=(10, 1))
        values = (random.random((10, 500)) < chances).astype(float)
        return Measured(Outcomes(tuple(range(10)), names, values, share=share))

    many, few = [trials(0.002, 0.4) for _ in range(3)], [trials(0.15, 0.01) for _ in range(6)]
    alone, together = Joint(many), Joint([*many, *few])
    expected, found = alone.estimate(0, 1, alone.prior(0)), together.estimate(0, 1, together.prior(0))
    assert expected is not None
    assert found is not None
    assert found.variance == pytest.approx(expected.variance)
    assert together.prior(0) == alone.prior(0) != together.prior(3)
