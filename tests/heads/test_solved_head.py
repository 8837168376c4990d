import warnings
from typing import Any, cast

import numpy as np
import pytest
import torch
from heads.solved_cases import CASES, Case, case
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from graft.errors import GraftError
from graft.heads.head import Logistic, Ridge, SolvedHead
from graft.heads.points_head import KNN, KernelRidge, PointsHead
from graft.heads.solved_head import LDA, MARGINS, SVM, NearestMean, shrunk


def logits(head: type[LDA | NearestMean | SVM], given: Case) -> np.ndarray:
    """Return a fitted head's logits of the other images."""
    layer = head(given.features.shape[1], int(given.labels.max()) + 1)
    layer.load_state_dict(head.fit(given.features, given.labels, given.weight))
    with torch.no_grad():
        return layer.double()(given.others.double()).numpy()


@pytest.mark.parametrize("name", CASES)
def test_lda_is_scikit_learn_s_in_the_space_of_all_features(name: str):
    given = CASES[name]
    x, others = given.standardized()
    weights = given.sample_weight
    priors = np.bincount(given.y, weights) / weights.sum()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a single image
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=priors).fit(x, given.y)
    found = logits(LDA, given)
    expected = model.decision_function(others)
    difference = found[:, 1] - found[:, 0] if expected.ndim == 1 else found - found[:, :1]
    np.testing.assert_allclose(difference, expected if expected.ndim == 1 else expected - expected[:, :1], atol=1e-4)
    np.testing.assert_allclose(torch.tensor(found).softmax(1), model.predict_proba(others), atol=1e-4)
    np.testing.assert_array_equal(found.argmax(1), model.predict(others))


@pytest.mark.parametrize("shape", [(3, 50), (20, 7), (20, 1), (2, 9), (1, 9), (40, 300)])
def test_the_shrinkage_is_scikit_learn_s(shape: tuple[int, int]):
    x = np.random.default_rng(1).normal(size=shape) * np.linspace(0.3, 2, shape[1])
    x = x - x.mean(0)
    diagonal, factor = shrunk(x, np.full(shape[1], 1e-9))
    scale = np.where(x.std(0) > 0, x.std(0), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        share = ledoit_wolf_shrinkage(x / scale)
    np.testing.assert_allclose(diagonal, share * (x.std() > 0) * scale**2, atol=1e-9)
    np.testing.assert_allclose(factor.T @ factor, (1 - share) * x.T @ x / shape[0], atol=1e-9)


def test_lda_of_classes_of_two_images_or_one_shares_what_they_have():
    for counts in ([2, 2, 2], [1, 1, 1], [2, 1, 2]):
        given = case(counts, 30)
        found = LDA.fit(given.features, given.labels)
        assert all(value.isfinite().all() for value in found.values())
        weight, bias = found.values()
        assert (given.features @ weight.T + bias).argmax(1).tolist() == given.labels.tolist()
    nearest = NearestMean.fit(given.features, given.labels)
    assert nearest["0.weight"].shape == weight.shape


def test_lda_inverts_a_covariance_that_needs_no_shrinkage():
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])  # whose covariance is the identity
    x, y = torch.cat([corners, corners + torch.tensor([1.0, 0.5])]), torch.arange(2).repeat_interleave(4)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(StandardScaler().fit_transform(x), y)
    weight, bias = LDA.fit(x, y).values()
    expected = model.decision_function(StandardScaler().fit_transform(x))
    np.testing.assert_allclose((x @ weight.T + bias).diff(dim=1)[:, 0], expected, atol=1e-4)


@pytest.mark.parametrize("counts", [[3, 3], [2, 2], [1, 1]])
@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_lda_of_a_feature_that_is_constant_in_each_class_is_finite(counts: list[int], apart: float):
    y = torch.arange(2).repeat_interleave(torch.tensor(counts))
    x = 0.1 + apart * y[:, None].float()
    weight, bias = LDA.fit(x, y).values()
    said = x @ weight.T + bias
    assert said.isfinite().all()
    assert said.abs().max() < 10
    if apart:
        assert said.argmax(1).tolist() == y.tolist()


@pytest.mark.parametrize("name", CASES)
def test_nearest_mean_is_scikit_learn_s(name: str):
    given = CASES[name]
    x, others = given.standardized()
    model = NearestCentroid().fit(x, given.y)
    found = logits(NearestMean, given)
    np.testing.assert_array_equal(found.argmax(1), model.predict(others))
    distances = ((others[:, None] - model.centroids_) ** 2).sum(2)
    sharp = np.polyfit((-distances + distances.mean(1, keepdims=True)).ravel(), found.ravel(), 1)[0]
    np.testing.assert_allclose(torch.tensor(found).softmax(1), torch.tensor(-sharp * distances).softmax(1), atol=1e-4)


def test_nearest_mean_is_as_sharp_as_its_left_out_images_are_right():
    """The likelihood of images that are left out one by one, as a plain loop has it, is highest at the head's own b."""
    given = CASES["five classes"]
    x, y = given.standardized()[0], given.y
    distances = np.empty((len(x), 5))
    for image in range(len(x)):
        rest = np.arange(len(x)) != image
        means = np.stack([x[rest & (y == label)].mean(0) for label in range(5)])
        distances[image] = ((x[image] - means) ** 2).sum(1)
    smoothing = 1 / (len(x) + 2)
    target = np.where(y[:, None] == np.arange(5), 1 - smoothing, smoothing / 4)

    def loss(b: float) -> float:
        return -(target * torch.tensor(-b * distances).log_softmax(1).numpy()).sum(1).mean()

    layer, means = NearestMean.fit(given.features, given.labels), np.stack([x[y == c].mean(0) for c in range(5)])
    deviation = given.features.double().numpy().std(0)
    slope = layer["0.weight"].numpy()[0] - layer["0.weight"].numpy()[1]
    b = float(np.median(slope * deviation / (2 * (means[0] - means[1]))))
    assert loss(b) <= min(loss(0.98 * b), loss(1.02 * b))


@pytest.mark.parametrize("name", CASES)
def test_the_svm_is_scikit_learn_s_at_its_penalty(name: str):
    given = CASES[name]
    x, others = given.standardized()
    found, unit = logits(SVM, given), (x**2).sum(1).mean()
    errors = []
    for margin in MARGINS:
        model = LinearSVC(C=margin / unit, dual=cast("Any", False), tol=1e-9, max_iter=10000)
        expected = model.fit(x, given.y, given.sample_weight).decision_function(others)
        errors.append(np.abs((found[:, 1] if expected.ndim == 1 else found) - expected).max())
    assert min(errors) < 1e-4, errors


def test_the_svm_s_penalty_has_most_right_in_folds():
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    given = CASES["five classes"]
    x, y = given.standardized()[0], given.y
    unit = (x**2).sum(1).mean()
    model = LinearSVC(dual=cast("Any", False), tol=1e-8, max_iter=10000)
    division = StratifiedKFold(5, shuffle=True, random_state=0)
    search = GridSearchCV(
        model, {"C": list(MARGINS / unit)}, cv=division, scoring=lambda model, x, y: (model.predict(x) == y).sum()
    ).fit(x, y)
    weight, bias = SVM.fit(given.features, given.labels).values()
    expected = search.best_estimator_.decision_function(x)
    np.testing.assert_allclose((given.features @ weight.T + bias).numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("head", [LDA, NearestMean, SVM, KNN, KernelRidge, Ridge, Logistic])
def test_a_class_without_images_is_refused(head: type[SolvedHead | PointsHead]):
    with pytest.raises(GraftError, match=r"no training image has the classes \[1\]; .* head=plain"):
        head.fit(torch.rand(20, 4), torch.arange(2).repeat(10) * 2)


@pytest.mark.parametrize("head", [LDA, NearestMean, SVM])
def test_equal_images_of_different_classes_are_no_error(head: type[LDA | NearestMean | SVM]):
    features, labels = torch.full((6, 4), 2.5), torch.arange(6) % 3
    state = head.fit(features, labels)
    said = features @ state["0.weight"].T + state["0.bias"]
    torch.testing.assert_close(said.softmax(1), torch.full((6, 3), 1 / 3), atol=0.01, rtol=0)
