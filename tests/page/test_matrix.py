import numpy as np
from made_predictions import folded, made

from graft.page.matrix import classes_table, matrix_of


def test_a_share_of_images_that_count_once_is_not_called_one_of_predictions():
    labels = np.arange(20) % 2
    predicted = np.tile(labels, (3, 1))
    predicted[:, 3] = 0
    found = folded(predicted, labels, 5, 3, failed=[0, 7])
    tests = found.tests
    matrix = matrix_of(found)
    assert f"images were tested by {tests.min()} to 3 trials, and count once each in a share" in matrix.count
    words = [cell.words for _, cells in matrix.rows for cell in cells]
    wrong = next(each for each in words if each.startswith("class1 taken for class0"))
    assert f"{tests[3]} of {tests[labels == 1].sum()} predictions (10.0 % of class1, each image once)" in wrong


def test_a_share_of_images_that_all_trials_tested_is_that_of_predictions():
    said = np.array([[0, 1, 1, 1], [0, 0, 1, 1]])
    matrix = matrix_of(made(said, [0, 0, 1, 1], 2))
    assert "count once" not in matrix.count
    assert (
        matrix.rows[0][1][1].words == "class0 taken for class1: 1 of 4 predictions (25.0 % of class0); 0 to 1 a trial"
    )


def test_trials_of_one_computation_count_once_and_say_so():
    found = made([[0, 1, 1, 1]] * 5, [0, 0, 1, 1], 2, copies=True)
    expected = "1 trial (5 trials are one computation and count as one), 4 test images"
    assert matrix_of(found).count.startswith(f"4 predictions: {expected}")
    assert expected in classes_table(found).caption
