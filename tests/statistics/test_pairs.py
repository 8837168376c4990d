import numpy as np
import pytest
from scipy import stats

from graft.statistics.accuracies import Copies, Measured
from graft.statistics.crossed import Prior
from graft.statistics.jackknife import balanced_accuracy, macro_f1
from graft.statistics.outcomes import Outcomes
from graft.statistics.pairs import Joint, estimated, pair


def measured(values: np.ndarray, copies: bool = False) -> Measured:
    trials, images = values.shape
    return Measured(Outcomes(tuple(range(trials)), np.arange(images).astype(str), values, copies=copies))


def test_pairs_that_know_no_images_are_student_s():
    random = np.random.default_rng(0)
    first, second = dict(enumerate(random.random(8))), dict(enumerate(random.random(8)))
    found = pair(first, second)
    expected = stats.ttest_rel(list(first.values()), list(second.values()))
    assert found.p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.9)
    assert found.interval(0.1) == pytest.approx((interval.low, interval.high))
    drawn = pair(first, second, usual=Prior(5.0, 0.0001))
    assert drawn.p is not None
    assert drawn.p < expected.pvalue


def test_copies_without_outcomes_are_one_trial():
    copies = Copies(dict.fromkeys(range(9), 0.5))
    assert pair(copies, Copies(dict.fromkeys(range(9), 0.4))).p is None
    assert pair(copies, dict.fromkeys(range(9), 0.4)).p is not None


def test_configurations_that_never_disagree_are_equal_with_an_interval_of_a_width():
    values = np.ones((6, 40))
    for copies in (False, True):
        found = pair(measured(values, copies=copies), measured(values, copies=copies))
        assert found.p == 1
        low, high = found.interval(0.05) or (0, 0)
        assert low < 0 < high
        assert high == pytest.approx(1.96 * 2**0.5 / 40, rel=0.1)


def test_without_common_trials_nothing_is_said():
    first, second = {0: 0.5, 1: 0.6}, {2: 0.5, 3: 0.6}
    joint = Joint([first, second])
    assert joint.covariance([0, 1]).tolist() == [[1, 0], [0, 1]]
    assert joint.prior(0).degrees == 0
    assert joint.estimate(0, 1, joint.prior(0)) is None
    assert pair(first, second).p is None
    assert (
        pair(measured(np.ones((3, 9))), Measured(Outcomes((7,), np.arange(9).astype(str), np.ones((1, 9))))).p is None
    )


@pytest.mark.parametrize(("metric", "truth"), [("balanced", 0.05), ("f1", 0.0271)])
@pytest.mark.parametrize("joint", [False, True])
def test_differences_of_metrics_of_classes_cover_where_few_images_of_a_rare_class_differ(
    metric: str, truth: float, joint: bool
):
    """All images are right but those of the rare class that the second has wrong in all trials, and some by chance."""
    random, labels, trials = np.random.default_rng(0), np.repeat([0, 1], [290, 10]), 5
    names, covered = np.arange(300).astype(str), 0
    for _ in range(200):
        first, second = (random.random((2, trials, 300)) >= 0.002).astype(float)
        second[:, (labels == 1) & (random.random(300) < 0.1)] = 0
        found = []
        for values in (first, second):
            own = Outcomes(tuple(range(trials)), names, values, labels=labels)
            predicted = np.where(values == 1, labels, 1 - labels)
            found.append(Measured(balanced_accuracy(own) if metric == "balanced" else macro_f1(own, predicted)))
        known = Joint(found).estimate(0, 1, Prior(0, 0)) if joint else None
        low, high = pair(found[0], found[1], known).interval(0.05) or (0, 0)
        covered += low <= truth <= high
    assert covered >= 0.93 * 200


def test_classes_of_equal_size_leave_a_difference_of_balanced_accuracies_that_of_accuracies():
    random, labels = np.random.default_rng(0), np.repeat([0, 1, 2], 6)
    values = (random.random((2, 5, 18)) < 0.95).astype(float)
    own = [Outcomes(tuple(range(5)), np.arange(18).astype(str), each, labels=labels) for each in values]
    plain = pair(Measured(own[0]), Measured(own[1]))
    balanced = pair(Measured(balanced_accuracy(own[0])), Measured(balanced_accuracy(own[1])))
    assert balanced.interval(0.05) == pytest.approx(plain.interval(0.05), rel=1e-3)
    assert estimated(balanced_accuracy(own[0])).units == 18
