"""What trials said of images that they did not train on, from jobs with validation images and with folds."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from graft.errors import GraftError
from graft.inference.conformal import ConformalSets
from graft.job_folder import OUTCOMES, RESULT
from graft.results.outcomes import StoredOutcomes, read_outcomes
from graft.results.unseen import UnseenImages, unseen_images

Run = Callable[..., dict]
QUICK = ("source=scratch", "epochs=1", "batch_size=50")
CLASSES = ["1", "3", "5", "7", "9"]


def found(folder: Path, seeds: list[int]) -> tuple[UnseenImages, StoredOutcomes]:
    stored = read_outcomes(folder)
    assert stored is not None
    result = unseen_images(folder, CLASSES, seeds)
    assert isinstance(result, UnseenImages)
    return result, stored


def test_validation_images_are_those_of_each_trial(run: Run, tmp_path: Path):
    run(*QUICK, "trials=3", "dataset.val_per_class=30")
    given, stored = found(tmp_path / "job", [2, 0, 1])
    assert stored.val is not None
    assert stored.val.probability is not None
    assert given.kind == "validation image"
    numbers = np.unique(stored.val.image)
    for pair in range(0, len(given.image), 11):
        row = [2, 0, 1][given.trial[pair]]
        column = np.flatnonzero(stored.val.image[row] == numbers[given.image[pair]])[0]
        assert given.probability is not None
        np.testing.assert_array_equal(given.probability[pair], stored.val.probability[row, column])
        assert given.label[given.image[pair]] == stored.val.label[row, column]
        assert given.of_label[pair] == given.probability[pair][given.label[given.image[pair]]]
    assert len(given.image) == 450
    assert not given.shared
    one, _ = found(tmp_path / "job", [1])  # all trials count
    assert len(one.image) == 450
    two, _ = found(tmp_path / "job", [0, 2])
    assert len(two.image) == 300
    assert set(two.trial) == {0, 1}
    check_refusals(tmp_path / "job")


def check_refusals(folder: Path) -> None:
    """Damage a job's files one after another."""
    assert unseen_images(folder, ["a"], [0]) == f"{OUTCOMES} is of other classes or trials than the model"
    assert unseen_images(folder, CLASSES, [7]) == f"{OUTCOMES} is of other classes or trials than the model"
    content = (folder / RESULT).read_text()
    (folder / RESULT).unlink()
    assert unseen_images(folder, CLASSES, [0]) == f"{OUTCOMES} cannot be used: there is no result.json beside it"
    (folder / RESULT).write_text(content)
    damaged = bytearray((folder / OUTCOMES).read_bytes())
    damaged[-1] ^= 1
    (folder / OUTCOMES).write_bytes(damaged)
    assert "damaged" in str(unseen_images(folder, CLASSES, [0]))
    (folder / OUTCOMES).write_bytes(b"no tensors")
    assert "damaged" in str(unseen_images(folder, CLASSES, [0]))
    (folder / OUTCOMES).unlink()
    assert unseen_images(folder, CLASSES, [0]).startswith(f"the job has no {OUTCOMES}")  # type: ignore[union-attr]


def test_every_image_of_folds_is_said_of_by_the_trial_that_tested_it(run: Run, tmp_path: Path):
    run(*QUICK, "trials=4", "dataset.folds=2", "dataset.test_per_class=null")
    given, stored = found(tmp_path / "job", [0, 1, 2, 3])
    assert given.kind == "out-of-fold image"
    assert (np.bincount(given.image) == 2).all()  # two repeats
    assert len(given.label) == len(np.unique(stored.test.image[stored.test.tested]))
    result = json.loads((tmp_path / "job" / RESULT).read_text())
    correct = [trial["correct"] for trial in result["trials"]]
    assert given.probability is not None
    right = given.probability.argmax(1) == given.label[given.image]
    assert np.bincount(given.trial, right).tolist() == pytest.approx(correct, abs=3)  # rounded ones may be equal
    mean = given.mean(given.probability)
    image = 17
    np.testing.assert_allclose(mean[image], given.probability[given.image == image].astype(float).mean(0))
    assert np.bincount(given.image, given.weight).tolist() == pytest.approx([1] * len(given.label))


def test_folds_with_validation_images_are_read_although_others_test_what_a_trial_validates_on(run: Run, tmp_path: Path):
    run(*QUICK, "trials=4", "dataset.folds=2", "dataset.test_per_class=null", "dataset.val_per_class=3")
    stored = read_outcomes(tmp_path / "job")
    assert stored is not None
    assert stored.val is not None
    assert set(stored.images["split"]) == {"test"}
    for tested, validated in zip(stored.test.image, stored.val.image, strict=True):
        assert not set(tested) & set(validated)


@pytest.mark.parametrize("images", [("dataset.val_per_class=10",), ("dataset.folds=2", "dataset.test_per_class=null")])
def test_means_over_augmented_views_say_nothing_of_a_prediction_which_sees_each_image_once(
    run: Run, tmp_path: Path, images: tuple[str, ...]
):
    run(*QUICK, "trials=2", "augment=digits", "augment.test_views=3", *images)
    given = unseen_images(tmp_path / "job", CLASSES, [0, 1])
    assert given == (
        f"{OUTCOMES} has the mean over 3 augmented views of each image, and a prediction sees it once; train without "
        "augment.test_views"
    )
    with pytest.raises(GraftError, match=r"is not possible: .*; train without augment\.test_views$"):
        ConformalSets(given, 2, 0.9)
