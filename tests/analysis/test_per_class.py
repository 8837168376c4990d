from random import Random

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_predictions import folded, made
from sklearn.metrics import precision_recall_fscore_support
from test_confusion_table import predictions

from graft.analysis.per_class import METRICS, per_class
from graft.analysis.predictions import Predictions
from graft.results.metric import Said, with_metric
from graft.statistics.accuracies import Measured
from graft.statistics.comparison import spread


def drawn(trials: int, images: int, classes: int, right: float, seed: int = 0) -> Predictions:
    random = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    easy = random.random(images) < right
    said = np.where(easy | (random.random((trials, images)) < 0.5), labels, random.integers(0, classes, images))
    return made(said, labels, classes)


@given(predictions())
@settings(max_examples=80, deadline=None)
def test_values_are_scikit_learn_s_means_over_trials_and_are_inside_their_intervals(found: Predictions):
    places = list(range(len(found.classes)))
    scored = [
        precision_recall_fscore_support(found.labels, row, labels=places, zero_division=np.nan)  # type: ignore[arg-type]
        for row in found.predicted
    ]
    table = per_class(found)
    assert table["images"].tolist() == np.bincount(found.labels, minlength=len(places)).tolist()
    for place, name in enumerate(METRICS):
        means = pandas.DataFrame([one[place] for one in scored]).mean().to_numpy()  # without NaN
        values, low, high = (table[f"{name}{end}"].astype(float).to_numpy() for end in ("", "_low", "_high"))
        np.testing.assert_allclose(values, means, atol=1e-9)
        known = ~np.isnan(low)
        assert (np.isnan(high) == ~known).all()
        assert (known <= ~np.isnan(values)).all()
        assert (low[known] >= 0).all()
        assert (high[known] <= 1).all()
        assert (low[known] <= values[known] + 1e-9).all()
        assert (values[known] <= high[known] + 1e-9).all()
        for missing in table["note"][np.isnan(values)]:
            assert missing  # what is undefined is said


def test_a_recall_s_interval_is_that_of_the_accuracy_on_the_class_s_images():
    found = drawn(6, 90, 3, 0.6)
    table = per_class(found)
    for place in range(3):
        own = np.flatnonzero(found.labels == place)
        expected = spread(Measured(found.outcomes.select(found.outcomes.seeds, own)))
        row = table.iloc[place]
        assert expected.interval is not None
        assert row["recall"] == pytest.approx(expected.mean)
        assert [row["recall_low"], row["recall_high"]] == pytest.approx(expected.interval)


def test_the_mean_f1_of_classes_is_the_macro_f1_of_the_report():
    found = drawn(5, 80, 4, 0.5)
    said = Said(found.predicted, found.of_label, None)
    macro = spread(Measured(with_metric("macro_f1", found.outcomes, said)))
    assert per_class(found)["f1"].to_numpy(float).mean() == pytest.approx(macro.mean)


def test_intervals_cover_the_value_of_all_images_that_could_be_drawn():
    """Trials and images are drawn from a population whose precision and F1 are known."""
    random, inside = np.random.default_rng(3), {name: [] for name in METRICS}
    for _ in range(150):
        labels = random.integers(0, 2, 120)
        hard = random.normal(0, 1, 120)
        trial = random.normal(0, 0.3, (5, 1))
        said = np.where(labels + 0.0 + 0.8 * hard + trial + random.normal(0, 0.5, (5, 120)) > 0.5, 1, 0)
        row = per_class(made(said, labels, 2)).iloc[1]
        for name, values in inside.items():
            values.append((row[f"{name}_low"], row[f"{name}_high"]))
    labels = random.integers(0, 2, 400_000)
    noise = random.normal(0, (0.8**2 + 0.3**2 + 0.5**2) ** 0.5, 400_000)
    said = labels + noise > 0.5
    truth = np.array(precision_recall_fscore_support(labels, said)[:3])[:, 1]
    for value, (name, ends) in zip(truth, inside.items(), strict=True):
        low, high = np.array(ends, dtype=float).T
        covered = ((low <= value) & (value <= high)).mean()
        assert 0.89 <= covered <= 1, name


def test_folds_count_a_repeat_as_one_test():
    labels = np.arange(30) % 3
    random = np.random.default_rng(0)
    predicted = np.where(random.random((2, 30)) < 0.7, labels, random.integers(0, 3, (2, 30)))
    table = per_class(folded(predicted, labels, 5, 2))
    scored = np.mean([precision_recall_fscore_support(labels, row)[:3] for row in predicted], axis=0)
    for place, name in enumerate(METRICS):
        np.testing.assert_allclose(table[name].astype(float), scored[place])
        assert (table[f"{name}_low"].to_numpy() < table[name].to_numpy()).all()
    for failed in ([4], [0, 7], list(range(1, 10))):  # one trial at least is left
        values = per_class(folded(predicted, labels, 5, 2, failed=failed))
        known = values[["precision", "recall", "f1"]].astype(float).to_numpy()
        assert (((known >= 0) & (known <= 1)) | np.isnan(known)).all()


def test_what_is_undefined_is_none_and_said():
    row = per_class(made([[0, 0, 1, 1], [0, 1, 1, 1]], [0, 0, 1, 1], 3)).iloc[2]
    assert row[[f"{name}{end}" for name in METRICS for end in ("", "_low", "_high")]].isna().all()
    assert row["note"] == "no test images, so that it has no recall; no trial predicts it, so that it has no precision"
    once = per_class(made([[0, 0, 1, 1], [0, 1, 1, 1]], [2, 0, 1, 1], 3)).iloc[2]
    assert (once["recall"], once["f1"]) == (0, 0)
    assert pandas.isna(once["precision"])
    some = per_class(made([[0, 0, 1, 1], [1, 1, 1, 1]], [0, 0, 1, 1], 2)).iloc[0]
    assert some["precision"] == 1
    assert some["note"].startswith("1 of 2 trials never predict it")


def test_one_image_and_one_trial_claim_little():
    row = per_class(made([[0]], [0], 2)).iloc[0]
    assert row["recall"] == 1
    assert row["recall_low"] < 0.25
    assert pandas.isna(row["precision_low"])
    assert "too few images for an interval of precision and F1" in row["note"]


def test_all_right_is_as_wide_as_wilson_s_interval_of_the_class_s_images():
    table = per_class(made(np.tile(np.arange(20) % 2, (4, 1)), np.arange(20) % 2, 2))
    for name in METRICS:
        assert table[f"{name}_low"].tolist() == pytest.approx([0.7225] * 2, abs=1e-3)  # Wilson, 10 of 10
        assert table[f"{name}_high"].tolist() == pytest.approx([1, 1])


def test_copies_are_one_trial():
    random = np.random.default_rng(0)
    labels = np.arange(40) % 4
    said = np.where(random.random(40) < 0.7, labels, (labels + 1) % 4)[None]
    pandas.testing.assert_frame_equal(
        per_class(made(said.repeat(5, 0), labels, 4, copies=True)), per_class(made(said, labels, 4))
    )


def test_one_group_has_no_interval_of_a_ratio_and_a_wide_one_of_recall():
    labels = np.arange(20) % 2
    row = per_class(made(np.tile(labels, (2, 1)), labels, 2, groups=["g"] * 20)).iloc[0]
    assert row["recall_low"] < 0.25
    assert pandas.isna(row["precision_low"])
    assert "too few images for an interval" in row["note"]


def test_groups_are_the_units():
    labels = np.arange(40) % 2
    random = np.random.default_rng(0)
    said = np.where(np.repeat(random.random(10) < 0.6, 4), labels, 1 - labels)[None].repeat(3, 0)
    said = np.where(random.random(said.shape) < 0.1, 1 - said, said)
    alone = per_class(made(said, labels, 2))
    grouped = per_class(made(said, labels, 2, groups=np.repeat(list("abcdefghij"), 4).tolist()))
    for name in METRICS:
        np.testing.assert_allclose(alone[name].astype(float), grouped[name].astype(float))
        ends = [table[[f"{name}_low", f"{name}_high"]].to_numpy(float) for table in (alone, grouped)]
        widths = [np.diff(each).mean() for each in ends]
        assert widths[1] > 1.2 * widths[0]


def test_few_groups_whose_trials_disagree_have_an_interval_that_says_nothing():
    labels = [0, 3, 2, 3, 0, 2, 2, 1, 0, 0]
    said = [
        [2, 1, 2, 1, 2, 0, 2, 2, 0, 1],
        [0, 3, 0, 3, 0, 1, 2, 0, 0, 3],
        [2, 3, 0, 3, 0, 2, 2, 1, 2, 0],
        [0, 3, 0, 1, 2, 2, 0, 1, 0, 1],
    ]
    table = per_class(made(said, labels, 4, groups=list("0120020011")))
    assert table.loc[2, ["f1_low", "f1_high"]].tolist() == [0, 1]


@given(predictions(), st.integers(1, 4), st.randoms())
@settings(max_examples=150, deadline=None)
def test_intervals_of_few_groups_hold_their_values(found: Predictions, count: int, random: Random):
    groups = [str(random.randrange(count)) for _ in found.labels]
    table = per_class(made(found.predicted, found.labels, len(found.classes), groups=groups))
    for name in METRICS:
        values, low, high = (table[f"{name}{end}"].astype(float).to_numpy() for end in ("", "_low", "_high"))
        known = ~np.isnan(low)
        assert (known == ~np.isnan(high)).all()
        assert ((low[known] >= 0) & (high[known] <= 1)).all()
        assert ((low[known] <= values[known] + 1e-9) & (values[known] <= high[known] + 1e-9)).all()
