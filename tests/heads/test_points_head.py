import tracemalloc

import numpy as np
import pytest
import torch
from heads.solved_cases import CASES, Case, case
from sklearn.kernel_ridge import KernelRidge as SklearnKernelRidge
from sklearn.neighbors import KNeighborsClassifier

from graft.heads.points_head import KNN, NEIGHBOURS, PENALTIES, WIDTHS, KernelRidge, PointsHead, median_apart
from graft.heads.solved_head import squared_distances
from graft.stack.trial_stack import TrialStack


def fitted(head: type[PointsHead], given: Case) -> PointsHead:
    points, features = given.features.shape
    layer = head(features, int(given.labels.max()) + 1, points)
    layer.load_state_dict(head.fit(given.features, given.labels, given.weight))
    return layer


def limited(given: Case) -> tuple[np.ndarray, np.ndarray]:
    """Return standardized features, those of the other images limited as no training image's can be larger."""
    x, others = given.standardized()
    return x, others.clip(-(len(x) ** 0.5), len(x) ** 0.5)


def left_out(x: np.ndarray, given: Case, model: KNeighborsClassifier) -> tuple[float, float]:
    """Return the weight of images that are right, and the log likelihood, where each is left out, by a plain loop."""
    right = likelihood = 0.0
    weights, classes = given.sample_weight, int(given.y.max()) + 1
    for image in range(len(x)):
        rest = np.arange(len(x)) != image
        near = np.flatnonzero(rest)[model.fit(x[rest], given.y[rest]).kneighbors(x[[image]])[1][0]]
        votes = np.bincount(given.y[near], weights[near], classes)
        right += weights[image] * (votes.argmax() == given.y[image])
        smoothed = (votes + 1 / classes) / (votes.sum() + 1)
        likelihood += weights[image] * np.log(smoothed[given.y[image]])
    return round(right, 9), likelihood


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name != "equal images"])  # whose neighbours are tied
def test_nearest_neighbours_are_scikit_learn_s_and_their_number_is_chosen_by_leaving_images_out(name: str):
    given = CASES[name]
    x, others = limited(given)
    numbers = [k for k in NEIGHBOURS if k < len(x)]
    scores = {k: left_out(x, given, KNeighborsClassifier(k, algorithm="brute")) for k in numbers}
    best = max(scores, key=lambda k: scores[k])
    head = fitted(KNN, given)
    assert head.state_dict()["neighbours"] == best
    model = KNeighborsClassifier(best, algorithm="brute").fit(x, given.y)
    found, classes = head(given.others).exp().numpy(), int(given.y.max()) + 1
    near = model.kneighbors(others)[1]
    votes = np.stack([np.bincount(given.y[each], given.sample_weight[each], classes) for each in near])
    np.testing.assert_allclose(found, votes + 1 / classes, atol=1e-4)
    if given.weight is None:
        shares = model.predict_proba(others)
        np.testing.assert_allclose(
            found / found.sum(1, keepdims=True), (best * shares + 1 / classes) / (best + 1), atol=1e-4
        )
        np.testing.assert_array_equal(found.argmax(1), model.predict(others))


def test_all_images_that_are_as_near_as_the_last_neighbour_count():
    given = CASES["equal images"]  # six of them, and the first of the others is their seventh
    head = fitted(KNN, given)
    head.load_state_dict({**head.state_dict(), "neighbours": torch.tensor(1)})
    expected = torch.bincount(given.labels[:6], minlength=3) + 1 / 3
    torch.testing.assert_close(head(given.others[:1]).exp()[0], expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_kernel_ridge_is_scikit_learn_s_with_the_least_error_of_left_out_images(name: str):
    given = CASES[name]
    x, others = limited(given)
    weights, targets = given.sample_weight, 2 * np.eye(given.y.max() + 1)[given.y] - 1
    distances = ((x[:, None] - x) ** 2).sum(2)
    typical, errors = np.median(distances[np.triu_indices(len(x), 1)]), {}
    for width in WIDTHS:
        for penalty in PENALTIES:
            model, error = SklearnKernelRidge(alpha=penalty, kernel="rbf", gamma=width / typical), 0.0
            for image in range(len(x)):
                rest = np.arange(len(x)) != image
                said = model.fit(x[rest], targets[rest], weights[rest]).predict(x[[image]])
                error += weights[image] * ((said - targets[image]) ** 2).sum()
            errors[width, penalty] = error
    width, penalty = min(errors, key=lambda setting: errors[setting])
    model = SklearnKernelRidge(alpha=penalty, kernel="rbf", gamma=width / typical).fit(x, targets, weights)
    np.testing.assert_allclose(fitted(KernelRidge, given)(given.others).numpy(), model.predict(others), atol=1e-4)


@pytest.mark.parametrize("head", [KNN, KernelRidge])
def test_trials_in_one_stack_say_what_they_say_one_by_one(head: type[PointsHead]):
    heads = [fitted(head, case([10, 12, 8], 20, plus=plus)) for plus in ("", "constant", "duplicates")]
    inputs = torch.stack([case([10, 12, 8], 20).others] * 3)
    expected = torch.stack([each(one) for each, one in zip(heads, inputs, strict=True)])
    torch.testing.assert_close(TrialStack(heads)(inputs), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(TrialStack(heads)(inputs[:1]), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("head", [KNN, KernelRidge])
@pytest.mark.parametrize("images", [1, 2, 6])
def test_few_images_and_equal_ones_are_no_error(head: type[PointsHead], images: int):
    features, labels = torch.full((images, 4), 2.5), torch.arange(images) % 3
    layer = head(4, min(images, 3), images)
    layer.load_state_dict(head.fit(features, labels))
    said = layer(features).softmax(1)
    assert said.isfinite().all()
    torch.testing.assert_close(said, torch.full_like(said, 1 / said.shape[1]), atol=1e-5, rtol=0)


def test_the_median_of_distances_takes_half_a_matrix():
    distances = squared_distances(*[np.random.default_rng(0).normal(size=(400, 3))] * 2)
    expected = np.median(distances[np.triu_indices(400, 1)])
    tracemalloc.start()
    assert median_apart(distances) == expected
    assert tracemalloc.get_traced_memory()[1] < 0.6 * distances.nbytes
    tracemalloc.stop()
    assert median_apart(np.zeros((1, 1))) == 0


def test_16_bits_hold_the_points_and_compute_in_32():
    for head in (KNN, KernelRidge):
        layer = fitted(head, CASES["five classes"])
        expected = layer(CASES["five classes"].others).softmax(1)
        found = layer.half()(CASES["five classes"].others.half())
        assert found.dtype == torch.float32
        assert (found.softmax(1) - expected).abs().mean() < 0.01


def test_a_feature_that_no_training_image_can_have_is_as_far_away_as_one_of_them_could_be():
    given = case([12, 10, 11], 30)
    given.features[:, 2] = 1e-4 * torch.randn(len(given.features), generator=torch.Generator().manual_seed(0))
    image = given.others[:1].clone()
    limit = len(given.features) ** 0.5 * given.features[:, 2].double().std(correction=0)
    far, farthest = image.clone(), image.clone()
    far[0, 2], farthest[0, 2] = 3.0, given.features[:, 2].double().mean() + limit
    for head in (KNN, KernelRidge):
        layer = fitted(head, given)
        torch.testing.assert_close(layer(far), layer(farthest), atol=1e-4, rtol=0)
        assert layer(far).unique().numel() > 1


@pytest.mark.parametrize("head", [KNN, KernelRidge])
def test_its_graph_takes_any_number_of_images(head: type[PointsHead]):
    given = CASES["five classes"]
    layer = fitted(head, given)
    graph = torch.export.export(layer, (given.others[:2],), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)).module()
    torch.testing.assert_close(graph(given.others), layer(given.others), atol=1e-6, rtol=0)
