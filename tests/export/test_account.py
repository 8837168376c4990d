import numpy as np
import pandas
import pytest

from graft.analysis.calibration_error import calibration_error
from graft.export.account import Account, make_account
from graft.results.outcomes import SplitOutcomes, StoredOutcomes

CLASSES = ["cat", "dog", "hen"]
# Two trials, four images: each alone has two right, their mean has three.
PROBABILITY = np.array(
    [
        [[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.1, 0.2, 0.7], [0.5, 0.1, 0.4]],
        [[0.4, 0.6, 0.0], [0.1, 0.9, 0.0], [0.7, 0.2, 0.1], [0.0, 0.0, 1.0]],
    ],
    np.float16,
)
LABEL = np.array([[0, 1, 2, 2]])


def stored(
    probability: np.ndarray | None = PROBABILITY, image: list[list[int]] | None = None, groups: str = ""
) -> StoredOutcomes:
    images = np.array([[3, 5, 8, 9]] if image is None else image)
    label = np.broadcast_to(LABEL, images.shape)
    split = SplitOutcomes(PROBABILITY.argmax(2), label, images, np.zeros((2, 4)), probability)
    return StoredOutcomes([0, 7], CLASSES, 1, pandas.DataFrame({"group": groups}, index=range(10)), split)


def test_an_ensemble_s_predictions_are_those_of_the_mean():
    account = make_account(stored(), [0, 7])
    assert account.averaged
    assert account.predicted.tolist() == [0, 1, 0, 2]
    assert account.counts.right == 3
    assert account.confidence is not None
    np.testing.assert_allclose(account.confidence, [0.65, 0.65, 0.4, 0.7], atol=1e-3)
    assert account.counts.recalls(CLASSES) == [("cat", 1, 1), ("dog", 1, 1), ("hen", 1, 2)]
    assert account.counts.wrong() == [("hen", "cat", 1, 2)]
    assert account.groups is None
    groups = make_account(stored(groups="P1"), [0, 7]).groups
    assert groups is not None
    assert groups.tolist() == ["P1"] * 4


def test_one_trial_s_predictions_are_those_that_it_made():
    account = make_account(stored(), [7])
    assert account.averaged
    assert account.predicted.tolist() == [1, 1, 0, 2]
    without = make_account(stored(None), [7])
    assert (without.predicted == account.predicted).all()
    assert without.confidence is None
    assert without.calibration_error() is None


def test_trials_count_apart_where_their_images_differ_or_probabilities_are_not_stored():
    assert make_account(stored(None), [0, 7]).predicted.tolist() == [0, 0, 2, 0, 1, 1, 0, 2]
    folds = make_account(stored(image=[[-1, 2, 3, 4], [5, 6, 7, 8]]), [0, 7])
    assert not folds.averaged
    assert folds.predicted.tolist() == [0, 2, 0, 1, 1, 0, 2]
    assert folds.labels.tolist() == [1, 2, 2, 0, 1, 2, 2]
    assert make_account(stored(image=[[-1, 2, 3, 4], [5, 6, 7, 8]]), [0]).predicted.tolist() == [0, 2, 0]


def test_the_calibration_error_is_the_distance_of_confidence_and_accuracy():
    sure = np.full(100, 0.9)
    labels, predicted = np.zeros(100, int), np.repeat([0, 1], 50)
    found = Account(CLASSES, True, labels, predicted, sure).calibration_error()
    assert found is not None
    assert found[0] == pytest.approx(0.4)
    assert 0.01 < found[1] < 0.04  # the mean distance of a binomial share of 100 from 0.9 is 0.024
    assert found[0] == calibration_error(sure, labels == predicted)  # as predict.py has it
    certain = Account(CLASSES, True, labels, labels, np.ones(100)).calibration_error()
    assert certain == (0, 0)
