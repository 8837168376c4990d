import math

import numpy as np
import pytest

from graft.statistics.accuracies import Copies, Measured, accuracies, average, is_copies, num_images
from graft.statistics.comparison import compare_all
from graft.statistics.outcomes import Outcomes


def result(*trials: dict, **more: object) -> dict:
    return {"trials": [{"seed": seed, **trial} for seed, trial in enumerate(trials)], **more}


def test_accuracies_are_counts_where_these_are_stored():
    """Plain and ridge are both right on 868 of 918 images in the mean; six decimals differ by 1.7e-7."""
    plain = result(*({"accuracy": round(count / 918, 6), "correct": count, "tested": 918} for count in (866, 870, 868)))
    ridge = result(*({"accuracy": 0.945534, "correct": 868, "tested": 918} for _ in range(3)))
    assert accuracies(plain) == {0: 866 / 918, 1: 870 / 918, 2: 868 / 918}
    compared = compare_all({"plain": accuracies(plain), "ridge": accuracies(ridge)})
    assert compared.tied == ["ridge"]
    assert num_images(plain) == 918


def test_without_counts_six_decimals_are_whole_numbers_of_the_test_images():
    values = accuracies(result({"accuracy": 0.945534}, {"accuracy": 0.943355}, images={"test": 918}))
    assert values == {0: 868 / 918, 1: 866 / 918}


@pytest.mark.parametrize("images", [None, {}, {"test": None}, {"test": 0}, {"test": 7}])
def test_accuracies_that_are_no_counts_of_the_images_are_taken_as_they_are(images: dict | None):
    found = result({"accuracy": 0.945534}, {"accuracy": 0.5}, images=images)
    assert accuracies(found) == {0: 0.945534, 1: 0.5}
    assert num_images(found) is None


def test_trials_without_an_accuracy_have_none():
    found = result({"accuracy": None}, {"accuracy": math.nan}, {"accuracy": math.inf}, {"accuracy": 0.5})
    assert accuracies(found) == {3: 0.5}


def test_trials_whose_metrics_are_all_equal_are_copies_of_one_computation():
    fit = {"accuracy": 0.9, "loss": 0.312345, "epoch": 1}
    assert isinstance(accuracies(result(fit, fit, fit)), Copies)
    assert not isinstance(accuracies(result(fit)), Copies)  # one trial is no copy
    assert not isinstance(accuracies(result(fit, {**fit, "loss": 0.312346})), Copies)
    perfect = {"accuracy": 1.0, "loss": 0.0, "epoch": 9}
    assert not isinstance(accuracies(result(perfect, perfect)), Copies)  # different networks may have no loss left
    assert not isinstance(accuracies(result({"accuracy": 0.9}, {"accuracy": 0.9})), Copies)


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ({"val_per_class": 10, "draw": "stratified"}, 150),  # each trial draws its own
        ({"val_per_class": 10, "draw": "first"}, 50),
        ({"val_per_class": 0}, 50),  # the data set's
    ],
)
def test_validation_images_are_each_trial_s_own_where_they_are_drawn(dataset: dict, expected: int):
    trials = [{"accuracy": 0.5, "val_accuracy": value, "loss": value} for value in (0.5, 0.6, 0.7)]
    found = result(*trials, images={"val": 50, "test": 10}, config={"dataset": dataset})
    assert num_images(found, "val_accuracy") == expected
    assert num_images(found) == 10
    found["config"]["trials_vary"] = "init"
    assert num_images(found, "val_accuracy") == 50


def test_averages_of_configurations_keep_their_outcomes_where_images_are_the_same():
    images = np.array(["a", "b"])
    first = Measured(Outcomes((0, 1), images, np.array([[1.0, 0.0], [1.0, 1.0]]), share=0.2))
    second = Measured(Outcomes((1, 0), images, np.array([[0.0, 1.0], [0.0, 0.0]]), share=0.5, copies=True))
    found = average([first, second])
    assert isinstance(found, Measured)
    assert found == {0: 0.25, 1: 0.75}
    assert found.outcomes.values.tolist() == [[0.5, 0.0], [0.5, 1.0]]
    assert (found.outcomes.share, found.outcomes.copies) == (0.5, False)
    other = Measured(Outcomes((0, 1), np.array(["a", "c"]), np.ones((2, 2))))
    assert average([first, other]) == {0: 0.75, 1: 1.0}
    assert not isinstance(average([first, other]), Measured)


def test_averages_of_copies_are_copies():
    copies = Copies({0: 0.5, 1: 0.5})
    assert is_copies(average([copies, Copies({0: 1.0, 1: 1.0, 2: 1.0})]))
    assert average([copies, {0: 1.0, 2: 0.0}]) == {0: 0.75}
    assert not is_copies(average([copies, {0: 1.0, 2: 0.0}]))


def test_folds_are_different_images():
    trials = [
        {"seed": seed, "accuracy": 1.0, "correct": size, "tested": size} for seed, size in enumerate((4, 3, 4, 3))
    ]
    found = {"trials": trials, "images": {"test": 3}, "config": {"dataset": {"folds": 2}}}
    assert num_images(found) == 7
