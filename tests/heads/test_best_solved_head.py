"""The best solved head: it is the one that folds and estimators of scikit-learn's own find best."""

import numpy as np
import pytest
import torch
from heads.solved_cases import Case, case
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from graft.errors import GraftError
from graft.heads.best_solved_head import CANDIDATES, BestSolved, best_candidate, candidate
from graft.heads.solved_head import LDA

THEIRS = {
    "lda": lambda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    "nearest_mean": NearestCentroid,
}


def right_in_folds(given: Case, name: str) -> int:
    """Return how many training images scikit-learn's estimator has right, each left out with its fold."""
    x, right = given.features.double().numpy(), 0
    folds = StratifiedKFold(min(5, np.bincount(given.y).min()), shuffle=True, random_state=0)
    for train, held in folds.split(x, given.y):
        model = make_pipeline(StandardScaler(), THEIRS[name]()).fit(x[train], given.y[train])
        right += int((model.predict(x[held]) == given.y[held]).sum())
    return right


@pytest.mark.parametrize("counts", [[20, 20, 20], [4, 4, 4, 4], [5, 9]])
@pytest.mark.parametrize("width", [2, 30])
def test_it_is_the_head_that_scikit_learn_s_folds_find_best(counts: list[int], width: int):
    given = case(counts, width)
    right = {name: right_in_folds(given, name) for name in CANDIDATES}
    place = best_candidate(given.features, given.labels)
    assert list(CANDIDATES)[place] == max(right, key=lambda name: right[name])
    state = BestSolved.fit(given.features, given.labels)
    assert candidate({f"head.{name}": value for name, value in state.items()}) == list(CANDIDATES)[place]
    expected = list(CANDIDATES.values())[place].fit(given.features, given.labels)
    torch.testing.assert_close({name: state[name] for name in expected}, expected)
    network = BestSolved(width, len(counts))
    network.load_state_dict(state)
    torch.testing.assert_close(
        network(given.others), given.others @ expected["0.weight"].T + expected["0.bias"], atol=1e-4, rtol=1e-4
    )


def test_each_candidate_is_chosen_where_it_is_better(monkeypatch: pytest.MonkeyPatch):
    labels = torch.arange(60) % 3
    noise = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    means = torch.tensor([[0.0, 0.0], [1.0, 0.9], [2.0, 1.8]])[labels]
    along = means + noise @ torch.tensor([[3.0, 2.9], [0.01, -0.01]])  # their noise is along one line: LDA tells it
    assert list(CANDIDATES)[best_candidate(along, labels)] == "lda"
    wrong = {"0.weight": torch.zeros(3, 2), "0.bias": torch.zeros(3)}
    monkeypatch.setattr(LDA, "fit", lambda *_: wrong)
    assert list(CANDIDATES)[best_candidate(9 * means + noise, labels)] == "nearest_mean"


def test_single_images_of_classes_leave_nothing_to_fold():
    given = case([1, 1, 1], 8)
    assert best_candidate(given.features, given.labels) == 0
    assert BestSolved.fit(given.features, given.labels)["chosen"] == 0


def test_with_class_weights_the_nearest_mean_is_no_candidate(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise AssertionError

    given = case([20, 5, 5], 10, "balanced")
    monkeypatch.setattr(CANDIDATES["nearest_mean"], "fit", refuse)
    assert best_candidate(given.features, given.labels, "balanced") == 0


def test_a_class_without_images_is_refused():
    with pytest.raises(GraftError, match=r"no training image has the classes \[1\]; .* head=plain"):
        BestSolved.fit(torch.rand(20, 4), torch.arange(2).repeat(10) * 2)


def test_other_heads_have_no_candidate():
    assert candidate({"head.0.weight": torch.zeros(1)}) is None
