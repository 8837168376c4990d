"""How predictions are taken from a job's outcomes."""

import numpy as np
import pandas
import pytest
from made_predictions import folded, made, taken

from graft.analysis.predictions import Predictions, once


def test_trials_that_share_images_have_a_column_for_each():
    found = made([[0, 1, 2], [0, 0, 1]], [0, 1, 2])
    assert found.tested.all()
    assert found.wrong.tolist() == [[False, False, False], [False, True, True]]
    assert found.runs.tolist() == [0, 1]
    assert found.complete.all()
    confidence, mean = found.confidence(), found.mean_probability()
    assert confidence is not None
    assert mean is not None
    np.testing.assert_allclose(confidence, 0.8, atol=1e-3)
    np.testing.assert_allclose(mean[1], [0.45, 0.45, 0.1], atol=1e-3)
    of_last = found.probability_of(np.array([2, 2, 2]))
    assert of_last is not None
    np.testing.assert_allclose(of_last, [[0.1, 0.1, 0.8], [0.1, 0.1, 0.1]], atol=1e-3)


def test_folds_of_a_repeat_are_one_run():
    labels = np.arange(11) % 3
    predicted = np.stack([labels, (labels + 1) % 3])
    found = folded(predicted, labels, 3, 2)
    assert found.predicted.shape == (6, 11)
    assert found.tested.sum() == 22
    assert found.runs.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.complete.tolist() == [True, True]
    for trial, image in np.argwhere(found.tested):
        assert found.predicted[trial, image] == predicted[trial // 3, image]
    confidence, mean = found.confidence(), found.mean_probability()
    assert confidence is not None
    assert mean is not None
    assert (np.isnan(confidence) == ~found.tested).all()
    np.testing.assert_allclose(mean.sum(1), 1, atol=1e-2)
    np.testing.assert_allclose(mean[np.arange(11), labels], 0.45, atol=1e-3)
    own = found.probability_of(labels)
    assert own is not None
    np.testing.assert_allclose(own[found.tested], found.of_label[found.tested], atol=1e-6)
    assert folded(predicted, labels, 3, 2, failed=[4]).complete.tolist() == [True, False]


def test_images_of_trials_own_without_folds_are_refused():
    labels = np.arange(4) % 2
    with pytest.raises(ValueError, match="its trials were tested on different images"):
        taken(np.zeros((2, 2), int), labels.reshape(2, 2), np.arange(4).reshape(2, 2), np.full((2, 2, 2), 0.5))


def test_probabilities_that_are_not_stored_are_none():
    found = made([[0, 1]], [0, 1])
    bare = taken(found.predicted, found.labels[None], np.arange(2)[None], np.full((1, 2, 3), 1 / 3), whole=False)
    assert bare.confidence() is None
    assert bare.mean_probability() is None
    assert bare.probability_of(np.array([0, 0])) is None


def test_trials_of_one_computation_are_one_row_and_say_so():
    found = made([[0, 1, 1]] * 4, [0, 1, 2], copies=True)
    assert found.outcomes.seeds == (0,)
    arrays = (found.predicted, found.tested, found.of_label, found.confidence(), found.split.prediction)
    assert [None if each is None else each.shape for each in arrays] == [(1, 3)] * 5
    assert found.trials == "1 trial (4 trials are one computation and count as one)"
    assert made([[0, 1, 1]] * 4, [0, 1, 2]).trials == "4 trials"


def test_a_report_s_parts_share_predictions_and_tables():
    said = np.array([[0, 1, 1]])
    found = made(said, [0, 1, 2])
    calls = []

    def table(of: Predictions) -> pandas.DataFrame:
        calls.append(of)
        return pandas.DataFrame({"number": [1]})

    known = once(table)
    known(found).insert(0, "job", "x")
    assert list(known(found)) == ["number"]
    assert calls == [found]
    known(made(said, [0, 1, 2]))
    assert len(calls) == 2
