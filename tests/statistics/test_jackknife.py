from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from graft.statistics.crossed import estimate
from graft.statistics.intervals import estimate_interval
from graft.statistics.jackknife import auroc, average_precision, balanced_accuracy, jackknifed, macro_f1, pseudo_values
from graft.statistics.outcomes import Outcomes
from graft.statistics.pairs import estimated

NEAR_1 = float(stats.norm.cdf(2.6 / (1 + 1.0**2 + 0.2**2) ** 0.5))  # the mean accuracy of images and draws like these


def drawn(seed: int, trials: int = 3, images: int = 40, classes: int = 3) -> tuple[Outcomes, np.ndarray]:
    """Return outcomes and predictions, of which about two thirds are right."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, images)
    predicted = np.where(random.random((trials, images)) < 0.6, labels, random.integers(0, classes, (trials, images)))
    names = np.arange(images).astype(str)
    return Outcomes(tuple(range(trials)), names, (predicted == labels).astype(float), labels=labels), predicted


def slow_f1(labels: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> float:
    labels, predicted = labels[weights > 0], predicted[weights > 0]
    scores = []
    for one in np.union1d(labels, predicted):
        hits = np.sum((labels == one) & (predicted == one))
        scores.append(2 * hits / (np.sum(labels == one) + np.sum(predicted == one)))
    return float(np.mean(scores))


def slow_balanced(labels: np.ndarray, right: np.ndarray, weights: np.ndarray) -> float:
    return float(np.mean([right[(weights > 0) & (labels == one)].mean() for one in np.unique(labels[weights > 0])]))


def test_the_pseudo_values_of_the_accuracy_are_the_outcomes():
    outcomes, _ = drawn(0)
    found = jackknifed(outcomes, lambda trial, weights: float(np.average(outcomes.values[trial], weights=weights)))
    np.testing.assert_allclose(found.values, outcomes.values, atol=1e-9)


def test_the_fast_ways_are_those_that_leave_out_each_image():
    outcomes, predicted = drawn(1)
    labels = outcomes.labels
    assert labels is not None
    f1 = jackknifed(outcomes, lambda trial, weights: slow_f1(labels, predicted[trial], weights))
    np.testing.assert_allclose(macro_f1(outcomes, predicted).values, f1.values, atol=1e-9)
    balanced = jackknifed(outcomes, lambda trial, weights: slow_balanced(labels, outcomes.values[trial], weights))
    np.testing.assert_allclose(balanced_accuracy(outcomes).values, balanced.values, atol=1e-9)
    assert macro_f1(outcomes, predicted).values[0].mean() == pytest.approx(slow_f1(labels, predicted[0], labels >= 0))


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("equal", [False, True])
def test_rank_metrics_are_scikit_learn_s_with_all_images_and_without_each(classes: int, equal: bool):
    outcomes, _ = drawn(2, images=30, classes=classes)
    labels, random = np.asarray(outcomes.labels), np.random.default_rng(0)
    shape = (*outcomes.values.shape, classes)
    scores = random.integers(0, 6, shape).astype(float) if equal else random.random(shape)
    scores += 1.5 * np.eye(classes)[labels]

    for metric, known in ((auroc, roc_auc_score), (average_precision, average_precision_score)):

        def mean(trial: int, weights: np.ndarray, known=known) -> float:
            kept = weights > 0
            return float(np.mean([known(labels[kept] == own, scores[trial, kept, own]) for own in range(classes)]))

        slow = jackknifed(outcomes, mean)
        found = metric(outcomes, scores)
        np.testing.assert_allclose(found.values, slow.values, atol=1e-9)
        assert found.values[0].mean() == pytest.approx(mean(0, np.ones(30)))
        groups = np.arange(30) % 7
        grouped = replace(outcomes, groups=groups)
        np.testing.assert_allclose(metric(grouped, scores).values, jackknifed(grouped, mean).values, atol=1e-9)


def test_the_only_image_of_a_class_leaves_the_mean_of_the_others():
    labels = np.array([0, 0, 1, 1, 2])
    own = Outcomes((0,), np.arange(5).astype(str), np.zeros((1, 5)), labels=labels)
    scores = np.random.default_rng(1).random((1, 5, 3))
    for metric, known in ((auroc, roc_auc_score), (average_precision, average_precision_score)):
        whole = np.mean([known(labels == each, scores[0, :, each]) for each in range(3)])
        without = [
            np.mean([known(labels[kept] == each, scores[0, kept, each]) for each in np.unique(labels[kept])])
            for kept in (np.arange(5) != left for left in range(5))
        ]
        expected = pseudo_values(np.array([whole]), np.array([without]))
        np.testing.assert_allclose(metric(own, scores).values, expected, atol=1e-12)
    with pytest.raises(ValueError, match="too few are left of some class"):
        auroc(replace(own, labels=np.array([0, 0, 0, 0, 1])), scores)
    with pytest.raises(ValueError, match="too few are left"):
        macro_f1(replace(own, groups=np.zeros(5)), np.zeros((1, 5), dtype=int))
    with pytest.raises(ValueError, match="images of two classes"):
        auroc(replace(own, labels=np.zeros(5, dtype=int)), scores)


def test_groups_are_left_out_whole():
    outcomes, predicted = drawn(3)
    labels, groups = np.asarray(outcomes.labels), np.arange(40) // 4
    grouped = Outcomes(outcomes.seeds, outcomes.images, outcomes.values, labels=labels, groups=groups)
    slow = jackknifed(grouped, lambda trial, weights: slow_f1(labels, predicted[trial], weights))
    assert slow.values.shape == (3, 10)
    np.testing.assert_allclose(macro_f1(grouped, predicted).values, slow.values, atol=1e-9)
    assert balanced_accuracy(grouped).values.shape == (3, 10)


def test_the_variance_of_one_trial_s_auroc_is_nearly_delong_s():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    scores = (random.normal(size=200) + labels)[None]
    own = Outcomes((0,), np.arange(200).astype(str), np.zeros((1, 200)), labels=labels)
    above, below = scores[0, 100:], scores[0, :100]
    right = (above[:, None] > below).astype(float)
    delong = right.mean(1).var(ddof=1) / 100 + right.mean(0).var(ddof=1) / 100
    assert estimate(auroc(own, np.stack([-scores, scores], 2)).values).variance == pytest.approx(delong, rel=0.02)


def test_intervals_of_macro_f1_cover_the_value_of_other_images_and_trials():
    random, covered = np.random.default_rng(0), 0
    hard = stats.norm(0.3, 1)
    truth = []
    intervals = []
    for _ in range(300):
        labels = random.choice(3, 150, p=(0.6, 0.3, 0.1))
        chance = stats.norm.cdf(hard.rvs(150, random_state=random) + random.normal(0, 0.2, (6, 1)))
        predicted = np.where(random.random((6, 150)) < chance, labels, (labels + 1) % 3)
        outcomes = Outcomes(tuple(range(6)), np.arange(150).astype(str), np.zeros((6, 150)), labels=labels)
        found = macro_f1(outcomes, predicted)
        truth.append(found.values.mean())
        intervals.append(estimate(found.values).interval())
    covered = sum(low <= np.mean(truth) <= high for low, high in intervals)
    assert 0.91 * 300 <= covered <= 0.985 * 300


@pytest.mark.parametrize("right", [0.95, 0.99])
def test_intervals_of_balanced_accuracy_cover_where_a_rare_class_has_few_mistakes(right: float):
    random, labels, covered = np.random.default_rng(0), np.repeat([0, 1], [290, 10]), 0
    for _ in range(300):
        known = random.random(300) < right
        values = np.where(random.random((5, 300)) < 0.01, ~known, known).astype(float)
        own = balanced_accuracy(Outcomes(tuple(range(5)), np.arange(300).astype(str), values, labels=labels))
        low, high = estimate_interval(estimated(own))
        covered += low <= 0.99 * right + 0.01 * (1 - right) <= high
    assert covered >= 0.93 * 300


def test_one_mistake_leaves_the_interval_of_a_metric_as_wide_as_none():
    """Classes are of equal size, so that balanced accuracy is accuracy, and its interval nearly the same one."""
    labels = np.repeat([0, 1, 2], 6)
    predicted = np.tile(labels, (15, 1))
    predicted[3, 2] = 1  # one prediction of 270
    right = (predicted == labels).astype(float)
    outcomes = Outcomes(tuple(range(15)), np.arange(18).astype(str), right, labels=labels)
    low = estimate_interval(estimate(right))[0]
    for metric in (balanced_accuracy(outcomes), macro_f1(outcomes, predicted)):
        found, bounds = estimate(metric.values), estimate_interval(estimate(metric.values))
        assert not found.proportion
        assert bounds == pytest.approx((low, 1.0), abs=1e-3)


def test_intervals_of_metrics_near_1_cover():
    random, covered = np.random.default_rng(0), np.zeros(2)
    labels = np.repeat([0, 1, 2], 8)
    for _ in range(300):
        ease = random.normal(2.6, 1.0, 24) + random.normal(0, 0.2, (15, 1))
        right = random.random((15, 24)) < stats.norm.cdf(ease)
        predicted = np.where(right, labels, (labels + 1) % 3)
        outcomes = Outcomes(tuple(range(15)), np.arange(24).astype(str), right.astype(float), labels=labels)
        for place, metric in enumerate((balanced_accuracy(outcomes), macro_f1(outcomes, predicted))):
            low, high = estimate_interval(estimate(metric.values))
            covered[place] += low <= NEAR_1 <= high
    assert (covered >= 0.93 * 300).all()


def test_what_cannot_be_computed_is_refused():
    outcomes, predicted = drawn(0)
    unlabeled = Outcomes(outcomes.seeds, outcomes.images, outcomes.values)
    with pytest.raises(ValueError, match="needs the labels"):
        macro_f1(unlabeled, predicted)
    with pytest.raises(ValueError, match="needs the labels"):
        auroc(unlabeled, np.zeros((3, 40, 3)))
