from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
import yaml
from sklearn.preprocessing import StandardScaler

from graft.backbones.backbone import CNN
from graft.data.dataset import MNIST5k
from graft.data.preprocess import Preprocess
from graft.errors import GraftError
from graft.files import read_tensors
from graft.heads.head import Logistic, Ridge, SolvedHead
from graft.model.stages import Weights
from graft.solvers.weights import ClassWeight

Run = Callable[..., dict]


def features(classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % classes
    centres = 0.4 * torch.randn(classes, 200, generator=random)
    x = 5 + 3 * (centres[labels] + torch.randn(60, 200, generator=random))
    x[:, 7] = 1.0  # constant
    return x, labels


@pytest.mark.parametrize(
    ("head", "value", "ulps", "dtype"),
    [
        (Ridge, 1.0, 1, "f4"),
        (Ridge, 1.0, -1, "f4"),
        (Ridge, -250.0, 3, "f4"),
        (Ridge, 1e-6, -2, "f4"),
        (Ridge, 0.0, 1, "f4"),
        (Ridge, 1.0, 1, "f8"),
        (Logistic, 1.0, 1, "f4"),
    ],
)
def test_a_feature_that_varies_by_rounding_errors_is_constant(
    head: type[SolvedHead], value: float, ulps: int, dtype: str
):
    x, y = features(3)
    x = x.numpy().astype(dtype)
    x[:, 7] = value
    for image in (0, 5, 9):
        for _ in range(abs(ulps)):
            x[image, 7] = np.nextafter(x[image, 7], np.sign(ulps) * np.inf, dtype=dtype)
    weight, bias = head.fit(torch.from_numpy(x), y).values()
    assert weight[:, 7].abs().max() < 1e-3
    if dtype == "f8":  # scikit-learn sees rounding errors of double precision only
        assert np.asarray(StandardScaler().fit(x).scale_)[7] == 1
    x[:, 7] = 0
    expected, expected_bias = head.fit(torch.from_numpy(x), y).values()
    others = [feature for feature in range(200) if feature != 7]
    torch.testing.assert_close(weight[:, others], expected[:, others], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(bias + weight[:, 7] * value, expected_bias, atol=1e-4, rtol=1e-4)


def test_a_feature_that_varies_little_but_truly_is_standardized():
    x, y = features(3)
    small = x.clone()
    small[:, 3] = 1e-12 * x[:, 3]
    small[:, 5] = 1000 + x[:, 5] / 100
    (weight, bias), (expected, expected_bias) = Ridge.fit(small, y).values(), Ridge.fit(x, y).values()
    torch.testing.assert_close(small @ weight.T + bias, x @ expected.T + expected_bias, atol=0.02, rtol=0.01)


def test_logistic_needs_no_folds_for_single_images():
    x, _ = features(2)
    weight, bias = Logistic.fit(x[:3], torch.arange(3)).values()
    assert (x[:3] @ weight.T + bias).argmax(1).tolist() == [0, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("head", ["ridge", "logistic", "lda", "nearest_mean", "svm", "solved"])
def test_a_job_with_a_fitted_head(run: Run, tmp_path: Path, digits: MNIST5k, head: str):
    result = run("source.epochs=1", "trials=2", f"head={head}", "dataset.val_per_class=5")
    assert {trial["epoch"] for trial in result["trials"]} == {1}
    assert {trial.get("head") for trial in result["trials"]} <= (
        {"lda", "nearest_mean"} if head == "solved" else {None}
    )
    assert result["accuracy"]["min"] > 0.6
    assert result["parameters"]["trainable"] == 8005
    history = pandas.read_csv(tmp_path / "job" / "history.csv")
    assert set(history["split"]) == {"train", "val", "test"}
    assert set(history["epoch"]) == {1}
    tensors = read_tensors(tmp_path / "job" / "weights.safetensors")
    assert tensors is not None
    backbone = CNN(Preprocess([1, 28, 28]))
    for number in (1, 2):
        prefix = f"frozen.stage{number}."
        stage = {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
        backbone.stages[number - 1].load_state_dict(stage)
    with torch.no_grad():
        found = backbone(digits.images.read(digits.test)) @ tensors["trials.head.0.weight"][1].T
    right = (found + tensors["trials.head.0.bias"][1]).argmax(1) == digits.images.labels[digits.test] // 2
    assert right.float().mean().item() == pytest.approx(result["trials"][1]["accuracy"], abs=2e-3)
    alone = run("source.epochs=1", "trials=1", "seed=1", f"head={head}", "dataset.val_per_class=5", name="alone")
    assert alone["trials"][0]["accuracy"] == pytest.approx(result["trials"][1]["accuracy"], abs=1e-3)


@pytest.mark.slow
def test_trials_of_the_same_images_are_solved_once(run: Run, monkeypatch: pytest.MonkeyPatch):
    solved: list[int] = []
    fit = Ridge.fit

    def counted(features: torch.Tensor, labels: torch.Tensor, class_weight: ClassWeight) -> Weights:
        solved.append(len(labels))
        return fit(features, labels, class_weight)

    monkeypatch.setattr(Ridge, "fit", counted)
    different = run("source.epochs=1", "trials=3", "head=ridge")
    assert solved == [100] * 3
    assert len({trial["accuracy"] for trial in different["trials"]}) > 1
    solved.clear()
    same = run("source.epochs=1", "trials=3", "head=ridge", "dataset.small_per_class=all", name="all")
    assert solved == [1250]
    assert len({trial["accuracy"] for trial in same["trials"]}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("head", ["knn", "kernel_ridge"])
def test_a_job_whose_head_keeps_its_training_images(run: Run, tmp_path: Path, digits: MNIST5k, head: str):
    result = run("source.epochs=1", "trials=2", f"head={head}")
    assert result["accuracy"]["min"] > 0.6
    assert result["parameters"]["trainable"] == 0
    model = yaml.safe_load((tmp_path / "job" / "model.yaml").read_text())
    assert model["head"]["num_points"] == 100
    tensors = read_tensors(tmp_path / "job" / "weights.safetensors")
    assert tensors is not None
    assert tensors["trials.head.points"].shape == (2, 100, 1600)
    alone = run("source.epochs=1", "trials=1", "seed=1", f"head={head}", name="alone")
    assert alone["trials"][0]["accuracy"] == pytest.approx(result["trials"][1]["accuracy"], abs=1e-3)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("head=ridge", "tune=full"), "tune.thaw must be 0 with head=ridge.*try tune=frozen, or head=plain"),
        (("head=logistic", "source=scratch"), "source must be .* with head=logistic"),
        (("head=ridge", "augment=digits", "regularize.ema=0.9"), "(?s)try augment=none, .*try regularize.ema=0"),
        (("head=ridge", "backbone.keep=0"), "backbone.keep must be above 0 with head=ridge"),
        (("head=knn", "tune=full", "trials=1"), "tune.thaw must be 0 with head=knn"),
        (("head=knn", "trainer.precision=bf16-mixed"), "trainer.precision must be 32-true with head=knn"),
        (("head=nearest_mean", "class_weights=balanced"), "class_weights must be null with head=nearest_mean"),
    ],
)
def test_heads_that_cannot_be_fitted_are_refused(run: Run, overrides: tuple[str, ...], message: str):
    with pytest.raises(GraftError, match=message):
        run(*overrides)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["knn", "kernel_ridge"])
def test_more_images_than_can_be_compared_with_each_other_are_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch, head: str
):
    monkeypatch.setattr("graft.run.check_plan.MOST_POINTS", 99)
    with pytest.raises(
        GraftError, match=rf"head must be another one with 100 training images: .* got {head}; try head"
    ):
        run(f"head={head}")
    monkeypatch.setattr("graft.run.check_plan.MOST_POINTS", 100)
    run(f"head={head}", "source.epochs=1", "trials=1")


@pytest.mark.parametrize("head", ["ridge", "lda", "nearest_mean", "knn"])
def test_classes_without_training_images_are_refused_before_training(
    run: Run, monkeypatch: pytest.MonkeyPatch, head: str
):
    sample = MNIST5k.sample

    def lacking(data: MNIST5k, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        train, val = sample(data, seed)
        return train[data.images.labels[train] != 9], val

    monkeypatch.setattr(MNIST5k, "sample", lacking)
    with pytest.raises(GraftError, match=rf"head must be another one where .* \(9\), got {head}; try head=plain"):
        run(f"head={head}")


def test_a_job_on_frozen_stages_in_bfloat16_is_near_one_in_32_bits(run: Run, tmp_path: Path):
    words = ("source.epochs=1", "trials=2", "head=ridge")
    exact, half = run(*words), run(*words, "frozen_precision=bf16-mixed", name="half")
    assert half["identity"] != exact["identity"]
    for one, other in zip(exact["trials"], half["trials"], strict=True):
        assert one["loss"] != other["loss"]
        assert one["accuracy"] == pytest.approx(other["accuracy"], abs=0.03)
