import numpy as np
import pandas
from hypothesis import given, settings
from made_predictions import folded, made, taken
from test_confusion_table import predictions

from graft.analysis.mistakes import mistakes
from graft.analysis.predictions import Predictions

COLUMNS = ["number", "path", "hash", "class", "group", "prediction", "wrong", "trials", "said"]
COLUMNS += ["probability", "probability_of_label", "seeds"]


def plain(found: Predictions) -> dict[int, tuple[str, float, int, str]]:
    """Return the same by plain loops: prediction, share, trials and seeds of each image that some trial got wrong."""
    rows = {}
    for image, number in enumerate(found.images.index.tolist()):
        said: list[int] = []
        seeds, tested = [], 0
        for trial, seed in enumerate(found.outcomes.seeds):
            if not np.isnan(found.outcomes.values[trial, image]):
                tested += 1
                if found.predicted[trial, image] != found.labels[image]:
                    said.append(int(found.predicted[trial, image]))
                    seeds.append(str(seed))
        if said:
            most = max(sorted(set(said)), key=said.count)
            rows[number] = (found.classes[most], len(said) / tested, tested, " ".join(seeds))
    return rows


def listed(table: pandas.DataFrame) -> dict[int, tuple[str, float, int, str]]:
    columns = [table[name].tolist() for name in ("prediction", "wrong", "trials", "seeds")]
    return dict(zip(table["number"].tolist(), zip(*columns, strict=True), strict=True))


@given(predictions())
@settings(max_examples=60, deadline=None)
def test_each_image_that_some_trial_got_wrong_has_a_row(found: Predictions):
    table = mistakes(found)
    assert list(table) == COLUMNS
    assert listed(table) == plain(found)
    order = list(zip(-table["wrong"], -table["probability"], table["number"], strict=True))
    assert order == sorted(order)
    assert not table.isna().to_numpy().any()


def test_folds_have_the_trials_that_tested_an_image():
    labels = np.arange(17) % 3
    predicted = np.stack([labels, np.where(np.arange(17) < 6, (labels + 1) % 3, labels), (labels + 1) % 3])
    found = folded(predicted, labels, 4, 3, failed=[5])
    table = mistakes(found)
    assert listed(table) == plain(found)
    assert set(table["trials"]) == {2, 3}
    np.testing.assert_allclose(table["probability"], 0.8, atol=1e-3)


def test_the_probability_of_a_prediction_is_that_of_the_trials_that_said_it():
    # Two of three trials are wrong on the first image, and say class 2 and class 1; both are as frequent.
    probability = np.array([[[0.1, 0.3, 0.6]], [[0.2, 0.5, 0.3]], [[0.9, 0.1, 0.0]]])
    found = made([[2], [1], [0]], [0], probability=probability)
    row = mistakes(found).iloc[0]
    assert row["prediction"] == "class1"  # the first of the equally frequent ones
    assert (row["wrong"], row["said"]) == (2 / 3, 1)
    np.testing.assert_allclose([row["probability"], row["probability_of_label"]], [0.5, 0.15], atol=1e-3)
    bare = taken(np.array([[2], [1], [0]]), np.array([[0]]), np.array([[7]]), probability, whole=False)
    row = mistakes(bare).iloc[0]
    assert row["number"] == 7
    assert row["probability"] is None or np.isnan(row["probability"])
    np.testing.assert_allclose(row["probability_of_label"], 0.15, atol=1e-3)


def test_without_all_probabilities_the_least_probable_label_is_first():
    probability = np.array([[[0.3, 0.7], [0.1, 0.9]]])
    bare = taken(np.array([[1, 1]]), np.array([[0, 0]]), np.array([[0, 1]]), probability, whole=False)
    assert mistakes(bare)["number"].tolist() == [1, 0]


def test_no_mistakes_are_an_empty_table_with_its_columns():
    assert list(mistakes(made([[0, 1]], [0, 1]))) == COLUMNS
    assert len(mistakes(made([[0, 1]], [0, 1]))) == 0
