import numpy as np
import pytest
from scipy.stats import norm

from graft.errors import GraftError
from graft.inference.conformal import ConformalSets, joined, parted, stouffer
from graft.results.unseen import REFIT, UnseenImages


def unseen(probability: np.ndarray, label: np.ndarray, said: np.ndarray | None = None) -> UnseenImages:
    """Return what trials, (trials, images, classes), said of images; only where `said`, (trials, images), is true."""
    trial, image = np.nonzero(np.ones(probability.shape[:2]) if said is None else said)
    given = probability[trial, image].astype(np.float16)
    return UnseenImages("validation image", trial, image, given[np.arange(len(image)), label[image]], given, label)


def drawn(trials: int, images: int, random: np.random.Generator, noise: float = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return what trials of one quality say of images, (trials, images, classes), and the labels."""
    label = random.integers(0, 4, images)
    logits = random.normal(0, noise, (trials, images, 4)) + 1.5 * np.eye(4)[label] + random.normal(0, 1, (images, 4))
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True), label


def coverage_of(sets: ConformalSets, probability: np.ndarray, label: np.ndarray) -> float:
    return float(sets.contains(probability)[np.arange(len(label)), label].mean())


@pytest.mark.parametrize(("trials", "low", "high"), [(1, 0.895, 0.91), (4, 0.895, 0.91)])
def test_split_conformal_sets_cover_what_was_asked_for(trials: int, low: float, high: float):
    covered = []
    for seed in range(200):
        probability, label = drawn(trials, 600, np.random.default_rng(seed))
        sets = ConformalSets(unseen(probability[:, :99], label[:99]), trials, 0.9)
        covered.append(coverage_of(sets, probability[:, 99:], label[99:]))
        assert sets.words == "split-conformal sets from 99 validation images"
    assert low < np.mean(covered) < high  # (99 + 1) * 0.9 is whole: 0.9 exactly in the mean, but for rounding and ties


def apart(trials: int, images: int, folds: int, random: np.random.Generator) -> np.ndarray:
    """Return which trials said something of which images, (trials, images): each trial of one fold."""
    fold = np.stack([random.permutation(images) % folds for _ in range(-(-trials // folds))])
    return (fold[:, None] == np.arange(folds)[:, None]).reshape(-1, images)[:trials]


@pytest.mark.parametrize("noise", [0.1, 1, 3])
@pytest.mark.parametrize(("trials", "folds"), [(2, 2), (5, 5), (15, 5), (12, 4)])
def test_trials_with_images_of_their_own_cover_about_what_was_asked_for(trials: int, folds: int, noise: float):
    covered: dict[float, list[float]] = {0.9: [], 0.95: []}
    for seed in range(60):
        random = np.random.default_rng(seed)
        probability, label = drawn(trials, 800, random, noise)
        known = unseen(probability[:, :300], label[:300], apart(trials, 300, folds, random))
        for coverage, found in covered.items():
            sets = ConformalSets(known, trials, coverage)
            found.append(coverage_of(sets, probability[:, 300:], label[300:]))
    for coverage, found in covered.items():
        assert coverage - 0.015 < np.mean(found) < coverage + 0.015


def test_p_values_of_trials_with_images_of_their_own_are_combined_as_a_plain_loop_does():
    random = np.random.default_rng(0)
    probability, label = drawn(6, 300, random)
    said = random.random((6, 60)) < 0.4
    said[0, ~said.any(0)] = True
    sets = ConformalSets(unseen(probability[:, :60], label[:60], said), 6, 0.9)
    found = sets.contains(probability[:, 60:])
    rounded = probability.astype(np.float16).astype(float)

    def quantile(value: float) -> float:
        at_most = sum(
            np.mean([rounded[trial, known, label[known]] <= value for trial in np.flatnonzero(said[:, known])])
            for known in range(60)
        )
        return float(norm.ppf((at_most + 0.5) / 61))

    own = [
        [quantile(rounded[trial, known, label[known]]) for trial in np.flatnonzero(said[:, known])]
        for known in range(60)
    ]
    spread = sum(len(each) * np.var(each) for each in own) / sum(len(each) - 1 for each in own)
    assert sets.correlation == pytest.approx(1 - spread)
    assert sets.words == (
        f"conformal sets from 60 validation images; p-values of 6 trials are combined, with a correlation "
        f"{1 - spread:.2f}"
    )
    scale = np.sqrt(1 / 6 + 5 / 6 * (1 - spread))
    for image in range(0, 240, 7):
        for each in range(4):
            mean = np.mean([quantile(rounded[trial, 60 + image, each]) for trial in range(6)])
            most_probable = probability[:, 60 + image].mean(0).argmax() == each
            assert found[image, each] == (norm.cdf(mean / scale) > 0.1 or most_probable)


def test_without_images_of_several_trials_the_correlation_is_each_images_own():
    random = np.random.default_rng(0)
    probability, label = drawn(5, 60, random)
    sets = ConformalSets(unseen(probability, label, apart(5, 60, 5, random)), 5, 0.9)
    assert sets.words == (
        "conformal sets from 60 validation images; p-values of 5 trials are combined, with a correlation of each "
        "image's own"
    )


def test_combined_quantiles_are_standard_normal_again():
    random = np.random.default_rng(0)
    for correlation in (0.0, 0.5, 0.9, 1.0):
        shared, own = random.normal(size=100_000), random.normal(size=(5, 100_000))
        quantiles = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
        np.testing.assert_allclose(stouffer(quantiles, correlation).std(), 1, atol=0.01)
        for level in (0.05, 0.1, 0.2):
            below = np.mean(norm.cdf(stouffer(quantiles, None)) < level)
            assert below == pytest.approx(level, abs=0.015) or (correlation == 0 and level / 2 < below < level)
    equal = np.tile([-2.0, 0.0, 1.5], (4, 1))  # trials that agree say what one of them says
    np.testing.assert_allclose(stouffer(equal, None), equal[0])
    np.testing.assert_allclose(stouffer(equal, 1.0), equal[0])


def test_the_sets_of_one_kept_trial_weigh_images_equally():
    probability, label = drawn(3, 300, np.random.default_rng(0))
    said = np.ones((3, 50), dtype=bool)
    said[1:, 20:] = False
    found = ConformalSets(unseen(probability[:, :50], label[:50], said), 1, 0.8).contains(probability[:1, 50:])
    own = probability[:, np.arange(50), label[:50]].astype(np.float16)
    for image in range(250):
        for each in range(4):
            fewer = (own <= probability[0, 50 + image, each].astype(np.float16)) * said / said.sum(0)
            most_probable = probability[0, 50 + image].argmax() == each
            assert found[image, each] == (fewer.sum() + 1 > 0.2 * 51 or most_probable)


def test_probabilities_that_are_rounded_to_one_stay_equal():
    sure = np.tile([0.99999, 0.00001], (1, 50, 1))
    sets = ConformalSets(unseen(sure, np.zeros(50, dtype=int)), 1, 0.9)
    assert sets.contains(sure[:, :3]).tolist() == [[True, False]] * 3
    assert sets.contains(np.array([[[0.3, 0.7]]])).tolist() == [[False, True]]  # no set is empty


def test_too_few_images_for_the_coverage_are_refused_with_advice():
    probability, label = drawn(1, 40, np.random.default_rng(0))
    with pytest.raises(GraftError) as error:
        ConformalSets(unseen(probability[:, :18], label[:18]), 1, 0.95)
    assert str(error.value) == (
        "coverage=0.95 needs at least 19 images that were not trained on, and the job has 18 validation images; try "
        "coverage=0.947, or train with a larger dataset.val_per_class, or dataset.folds=5"
    )
    ConformalSets(unseen(probability[:, :18], label[:18]), 1, 0.947)
    ConformalSets(unseen(probability[:, :19], label[:19]), 1, 0.95)
    with pytest.raises(
        GraftError, match=r"coverage=0\.9 is not possible: no images; train with dataset\.val_per_class=20"
    ):
        ConformalSets("no images", 1, 0.9)
    with pytest.raises(GraftError, match=r"take the job that it was made from$"):  # no training gives a refit any
        ConformalSets(REFIT, 1, 0.9)


@pytest.mark.parametrize(
    "names", [["cat"], ["cat", "dog"], ["a|b", "c"], ['say "x"', "|"], ["a\nb", "c\rd", "", "é,;"], [""]]
)
def test_names_of_any_kind_are_joined_and_parted(names: list[str]):
    assert parted(joined(names)) == names
