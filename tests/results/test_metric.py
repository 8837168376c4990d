"""Metrics of stored outcomes, compared with scikit-learn's."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    roc_auc_score,
)

from graft.results.metric import METRICS, Said, in_words, name_of, split_of, with_metric
from graft.statistics.outcomes import Outcomes, of_rarest


def drawn(images: int = 60, classes: int = 3) -> tuple[Outcomes, Said]:
    random = np.random.default_rng(0)
    labels = random.choice(classes, images, p=[0.6, 0.3, 0.1])
    logits = random.normal(size=(4, images, classes)) + 2 * np.eye(classes)[labels]
    probability = (np.exp(logits) / np.exp(logits).sum(2, keepdims=True)).astype(np.float16)
    predicted = probability.argmax(2)
    of_label = np.take_along_axis(probability, np.broadcast_to(labels[None, :, None], (4, images, 1)), 2)[..., 0]
    values = (predicted == labels).astype(float)
    names = np.arange(images).astype(str)
    return Outcomes((0, 1, 2, 3), names, values, labels=labels), Said(predicted, of_label, probability)


def expected(name: str, labels: np.ndarray, said: Said, trial: int, columns: np.ndarray) -> float:
    guessed, truth = said.predicted[trial, columns], labels[columns]
    assert said.probability is not None
    probability = said.probability[trial, columns].astype(float)
    probability /= probability.sum(1, keepdims=True)
    one = np.eye(3)[truth]
    return {
        "balanced_accuracy": lambda: balanced_accuracy_score(truth, guessed),
        "macro_f1": lambda: f1_score(truth, guessed, average="macro"),
        "auroc": lambda: roc_auc_score(truth, probability, multi_class="ovr", average="macro"),
        "average_precision": lambda: average_precision_score(one, probability, average="macro"),
        "loss": lambda: -log_loss(truth, probability, labels=[0, 1, 2]),
    }[name]()


@pytest.mark.parametrize("name", [name for name in METRICS if name != "accuracy"])
def test_each_trial_s_mean_over_images_is_scikit_learn_s_metric(name: str):
    outcomes, said = drawn()
    found = with_metric(name, outcomes, said)
    for trial in range(4):
        own = expected(name, np.asarray(outcomes.labels), said, trial, np.arange(60))
        assert found.values[trial].mean() == pytest.approx(own, abs=1e-6)
    assert found.bounded == (name != "loss")


@pytest.mark.parametrize("name", [name for name in METRICS if name != "accuracy"])
def test_a_trial_that_tested_a_fold_has_the_metric_of_its_images(name: str):
    outcomes, said = drawn()
    fold = np.arange(60) % 2
    tested = fold == np.array([[0], [1], [0], [1]])
    values = np.where(tested, outcomes.values, np.nan)
    assert said.probability is not None
    said = Said(said.predicted * tested, np.where(tested, said.of_label, 1), said.probability * tested[..., None])
    with warnings.catch_warnings(action="error"):
        found = with_metric(name, replace(outcomes, values=values, folds=2), said)
    assert found.values.shape == (4, 60)
    assert found.worth == (np.inf if name == "loss" else of_rarest(outcomes))
    for trial in range(4):
        columns = np.flatnonzero(fold == trial % 2)
        assert (np.isnan(found.values[trial]) == (fold != trial % 2)).all()
        own = expected(name, np.asarray(outcomes.labels), said, trial, columns)
        assert np.nanmean(found.values[trial]) == pytest.approx(own, abs=1e-6)


def test_a_group_is_one_unit_of_a_metric_also_in_folds():
    outcomes, said = drawn()
    groups = np.char.add("g", (np.arange(60) // 5).astype(str))
    fold = np.arange(60) // 5 % 2
    values = np.where(fold == np.array([[0], [1], [0], [1]]), outcomes.values, np.nan)
    whole = with_metric(
        "macro_f1", Outcomes(outcomes.seeds, outcomes.images, outcomes.values, outcomes.labels, groups), said
    )
    assert whole.values.shape == (4, 12)
    assert whole.groups is None
    folded = Outcomes(outcomes.seeds, outcomes.images, values, outcomes.labels, groups, folds=2)
    found = with_metric("macro_f1", folded, said)
    assert found.images.tolist() == sorted(set(groups.tolist()))
    assert whole.of_groups
    assert found.of_groups
    for trial in range(4):
        own = expected("macro_f1", np.asarray(outcomes.labels), said, trial, np.flatnonzero(fold == trial % 2))
        assert np.nanmean(found.values[trial]) == pytest.approx(own, abs=1e-9)


def test_what_is_not_stored_is_said_and_a_probability_of_0_has_a_finite_loss():
    outcomes, said = drawn()
    without = Said(said.predicted, said.of_label, None)
    for name in ("auroc", "average_precision"):
        with pytest.raises(ValueError, match="are not stored"):
            with_metric(name, outcomes, without)
    loss = with_metric("loss", outcomes, without).values
    np.testing.assert_allclose(loss, with_metric("loss", outcomes, said).values, atol=2e-3)
    zero = Said(said.predicted, np.zeros_like(said.of_label), None)
    assert np.isfinite(with_metric("loss", outcomes, zero).values).all()


def test_odds_tell_apart_what_probabilities_near_1_do_not():
    labels = np.array([1, 1, 0, 0])
    rest = np.array([1e-4, 2e-4, 3e-4, 4e-4])  # all 1 - rest are 1 in float16
    probability = np.stack([rest, 1 - rest], 1)[None].astype(np.float16)
    values = np.array([[1.0, 1, 0, 0]])
    said = Said(np.ones((1, 4), dtype=int), probability[..., 1], probability)
    own = Outcomes((0,), np.array(list("abcd")), values, labels=labels)
    assert with_metric("auroc", own, said).values.mean() == pytest.approx(1)


def test_keys_have_a_split_a_name_and_words():
    assert (split_of("val_macro_f1"), name_of("val_macro_f1"), in_words("val_macro_f1")) == (
        "val", "macro_f1", "validation macro F1",
    )  # fmt: skip
    assert (split_of("auroc"), in_words("loss")) == ("test", "test loss")
