from typing import Any

import numpy as np
import pytest
import torch
from heads.solved_cases import CASES
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from graft.heads.head import STRENGTHS, Logistic
from graft.solvers import folded
from graft.solvers.folded import fold_weights


def exact(strength: float, weight: Any) -> LogisticRegression:
    return LogisticRegression(C=1 / strength, solver="newton-cholesky", max_iter=1000, tol=1e-8, class_weight=weight)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_logistic_is_scikit_learn_s_at_its_penalty(name: str):
    given = CASES[name]
    x, others = given.standardized()
    weight, bias = Logistic.fit(given.features, given.labels, given.weight).values()
    found = (given.others.double() @ weight.double().T + bias).softmax(1).numpy()
    errors = [
        np.abs(exact(strength, given.weight).fit(x, given.y).predict_proba(others) - found).max()
        for strength in STRENGTHS
    ]
    assert min(errors) < 1e-4, errors


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fewer images than features", "two classes, wide", "balanced", "weighted"])
def test_the_penalty_of_logistic_has_the_best_likelihood_in_folds(name: str):
    given = CASES[name]
    x, others = given.standardized()
    scores = [
        cross_val_score(
            exact(strength, given.weight), x, given.y, scoring="neg_log_loss",
            cv=StratifiedKFold(min(5, int(np.bincount(given.y).min())), shuffle=True, random_state=0),
        ).mean()
        for strength in STRENGTHS
    ]  # fmt: skip
    expected = exact(STRENGTHS[int(np.argmax(scores))], given.weight).fit(x, given.y).predict_proba(others)
    weight, bias = Logistic.fit(given.features, given.labels, given.weight).values()
    found = (given.others.double() @ weight.double().T + bias).softmax(1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_32_bits_in_folds_are_enough(monkeypatch: pytest.MonkeyPatch):
    """Held-out images are as likely as in double precision, to the last and weakest penalty."""
    found: dict[str, list[float]] = {"rough": [], "exact": []}
    minimize = folded.minimize

    def compared(x: torch.Tensor, loss: Any, penalty: torch.Tensor, layer: torch.Tensor, tolerance: float) -> Any:
        layers = minimize(x, loss, penalty, layer, tolerance)
        if x.dtype == torch.float32:
            double = type(loss)(loss.target.double(), loss.weights.double())
            layers_exact = minimize(x.double(), double, penalty.double(), layer.double(), 1e-13)
            for name, layers_of in (("rough", layers.double()), ("exact", layers_exact)):
                held = type(loss)(double.target, (double.weights == 0).double())
                logits = folded.times(layers_of, x.double().T)
                found[name].append(float(held.total(logits).mean()))
        return layers

    monkeypatch.setattr(folded, "minimize", compared)
    monkeypatch.setattr(folded, "FALLING", len(STRENGTHS))
    given = CASES["five classes"]
    Logistic.fit(given.features, given.labels)
    assert len(found["rough"]) == len(STRENGTHS)
    np.testing.assert_allclose(found["rough"], found["exact"], rtol=2e-3)


def test_balanced_classes_are_those_of_each_fold():
    y, held = np.array([0, 0, 0, 1, 1]), np.array([[True, False, False, False, False]])
    np.testing.assert_allclose(fold_weights(y, held, "balanced")[0, 0], [0, 1, 1, 1, 1])


@pytest.mark.parametrize("name", CASES)
def test_penalties_that_are_not_tried_would_not_be_chosen(name: str, monkeypatch: pytest.MonkeyPatch):
    given, tried = CASES[name], []
    minimize = folded.minimize

    def counted(*args: Any) -> torch.Tensor:
        tried.append(args)
        return minimize(*args)

    monkeypatch.setattr(folded, "minimize", counted)
    some = Logistic.fit(given.features, given.labels, given.weight)
    fewer = len(tried)
    monkeypatch.setattr(folded, "FALLING", len(STRENGTHS))
    every = Logistic.fit(given.features, given.labels, given.weight)
    assert fewer <= len(tried) - fewer
    for key, value in every.items():
        torch.testing.assert_close(some[key], value, rtol=0, atol=0)
