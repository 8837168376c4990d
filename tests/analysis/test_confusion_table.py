import numpy as np
import pandas
from hypothesis import given, settings
from hypothesis import strategies as st
from made_predictions import folded, made
from sklearn.metrics import confusion_matrix

from graft.analysis.confusion_table import COLUMNS, confusion_table


@st.composite
def predictions(draw: st.DrawFn):
    classes, images, trials = draw(st.integers(2, 5)), draw(st.integers(1, 12)), draw(st.integers(1, 4))
    numbers = st.integers(0, classes - 1)
    labels = draw(st.lists(numbers, min_size=images, max_size=images))
    row = st.lists(numbers, min_size=images, max_size=images)
    return made(draw(st.lists(row, min_size=trials, max_size=trials)), labels, classes)


@given(predictions())
@settings(max_examples=60, deadline=None)
def test_the_table_is_the_mean_and_range_of_scikit_learn_s_counts(found):
    places = range(len(found.classes))
    counts = np.array([confusion_matrix(found.labels, row, labels=list(places)) for row in found.predicted])
    table = confusion_table(found)
    assert list(table) == COLUMNS
    assert not table.isna().to_numpy().any()
    for row in table.to_dict("records"):
        true, said = found.classes.index(row["class"]), found.classes.index(row["prediction"])
        cell = counts[:, true, said]
        assert abs(row["images"] - cell.mean()) < 1e-6
        assert abs(row["share"] - cell.mean() / (found.labels == true).sum()) < 1e-6
        assert (row["low"], row["high"]) == (cell.min(), cell.max())
    assert len(table) == (counts.sum(0) > 0).sum()  # no cell that no trial has, and none twice
    assert abs(table["images"].to_numpy().sum() - len(found.images)) < 1e-6


def test_with_folds_each_image_counts_once_per_repeat():
    labels = np.repeat([0, 1], [6, 5])
    predicted = np.stack([labels, np.where(np.arange(11) < 2, 1, labels)])  # the second repeat errs twice
    table = confusion_table(folded(predicted, labels, 3, 2)).set_index(["class", "prediction"])
    assert table["images"].to_dict() == {
        ("class0", "class0"): 5,
        ("class0", "class1"): 1,
        ("class1", "class1"): 5,
    }
    assert table.loc[("class0", "class1"), ["low", "high"]].tolist() == [0, 2]
    assert table.loc[("class1", "class1"), ["low", "high"]].tolist() == [5, 5]


def test_the_range_is_of_repeats_that_tested_all_images():
    labels = np.repeat([0, 1], 6)
    predicted = np.stack([labels, 1 - labels])
    one_failed = confusion_table(folded(predicted, labels, 3, 2, failed=[4]))
    assert one_failed["images"].to_numpy().sum() == 12
    right = one_failed.query("`class` == prediction")
    assert right["low"].tolist() == right["high"].tolist() == [6, 6]  # of the first repeat alone
    both_failed = confusion_table(folded(predicted, labels, 3, 2, failed=[0, 4]))
    assert both_failed["low"].isna().to_numpy().all()


def test_a_thousand_classes_have_rows_for_the_pairs_that_occur_alone():
    random = np.random.default_rng(0)
    labels = np.arange(3000) % 1000
    said = np.where(random.random((4, 3000)) < 0.9, labels, random.integers(0, 1000, (4, 3000)))
    found = made(said, labels, 1000, probability=np.broadcast_to(np.float16(0.001), (4, 3000, 1000)))
    table = confusion_table(found)
    assert len(table) < 3000
    assert isinstance(table, pandas.DataFrame)
