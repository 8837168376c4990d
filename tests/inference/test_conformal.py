import numpy as np
import pytest

from graft.errors import GraftError
from graft.inference.conformal import ConformalSets, joined, parted
from graft.results.unseen import UnseenImages


def unseen(probability: np.ndarray, label: np.ndarray, said: np.ndarray | None = None) -> UnseenImages:
    """Return what trials, (trials, images, classes), said of images; only where `said`, (trials, images), is true."""
    trial, image = np.nonzero(np.ones(probability.shape[:2]) if said is None else said)
    given = probability[trial, image].astype(np.float16)
    return UnseenImages("validation images", trial, image, given[np.arange(len(image)), label[image]], given, label)


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


@pytest.mark.parametrize("repeats", [1, 2])
def test_cross_conformal_sets_cover_at_least_what_was_asked_for(repeats: int):
    covered = []
    for seed in range(100):
        random = np.random.default_rng(seed)
        probability, label = drawn(5 * repeats, 600, random, noise=0.3)
        folds = np.stack([random.permutation(99) % 5 for _ in range(repeats)])
        said = (folds[:, None] == np.arange(5)[:, None]).reshape(5 * repeats, 99)
        sets = ConformalSets(unseen(probability[:, :99], label[:99], said), 5 * repeats, 0.9)
        covered.append(coverage_of(sets, probability[:, 99:], label[99:]))
        assert sets.words == "cross-conformal sets from 99 validation images, which may cover a little more"
    assert 0.9 < np.mean(covered) < 0.95


def test_cross_conformal_sets_compare_with_the_trials_that_did_not_train_on_an_image():
    random = np.random.default_rng(0)
    probability, label = drawn(6, 300, random)
    said = random.random((6, 60)) < 0.4
    said[0, ~said.any(0)] = True
    found = ConformalSets(unseen(probability[:, :60], label[:60], said), 6, 0.9).contains(probability[:, 60:])
    rounded = probability.astype(np.float16).astype(float)
    for image in range(0, 240, 7):
        for each in range(4):
            fewer = 0
            for known in range(60):
                trials = said[:, known]
                own = rounded[trials, known, label[known]].mean().astype(np.float16)
                fewer += own <= rounded[trials, 60 + image, each].mean().astype(np.float16)
            most_probable = probability[:, 60 + image].mean(0).argmax() == each
            assert found[image, each] == (fewer + 1 > 0.1 * 61 or most_probable)


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


@pytest.mark.parametrize(
    "names", [["cat"], ["cat", "dog"], ["a|b", "c"], ['say "x"', "|"], ["a\nb", "c\rd", "", "é,;"], [""]]
)
def test_names_of_any_kind_are_joined_and_parted(names: list[str]):
    assert parted(joined(names)) == names
