"""What every trial of a finished job said of every image, read and checked; `graft.run.outcome_writer` writes it.

Each check raises a ValueError that says what is wrong with `outcomes.safetensors` ("it has ...") or with the list of
images ("its images.csv has ..."); a report leaves the outcomes out and repeats the reason.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from graft.job_folder import IMAGES, OUTCOMES, RESULT
from graft.nouns import few
from graft.results.job_files import check_result, read_json
from graft.results.outcome_files import read_images, read_tensors

TOLERANCE = 2e-3  # of probabilities that float16 has rounded
FEW_IMAGES = 20  # of fewer, a network that has learned something may name one class by chance
TENSORS = ("prediction", "probability", "probability_of_label", "label", "image")


@dataclass(frozen=True, eq=False)
class SplitOutcomes:
    """What the trials said of one split's images, sorted by number.

    Attributes:
        prediction: place of the predicted class among the classes, (trials, images).
        label: place of the true class, (1, images), or (trials, images) if trials have images of their own.
        image: the images' numbers, in the shape of `label`; -1 where a trial has fewer images than others.
        probability_of_label: probability of the true class, in [0, 1], (trials, images), float16.
        probability: of each class, (trials, images, classes), float16; None if it was too large to store.
    """

    prediction: np.ndarray
    label: np.ndarray
    image: np.ndarray
    probability_of_label: np.ndarray
    probability: np.ndarray | None

    @property
    def correct(self) -> np.ndarray:
        """Whether each prediction is right, (trials, images); `result.json` has its sums."""
        return (self.prediction == self.label) & self.tested

    @property
    def tested(self) -> np.ndarray:
        """Whether there is an image, in the shape of `image`: where folds differ in size, some trials have fewer."""
        return self.image >= 0

    @property
    def shared(self) -> bool:
        """Whether all trials have the same images."""
        return len(self.image) == 1

    @property
    def one_class(self) -> int:
        """Number of trials that predict one class for all their images, although these are many and of several."""
        labels, tested = (np.broadcast_to(each, self.prediction.shape) for each in (self.label, self.tested))
        trials = zip(self.prediction, labels, tested, strict=True)
        return sum(
            own.sum() >= FEW_IMAGES and len(np.unique(said[own])) == 1 < len(np.unique(true[own]))
            for said, true, own in trials
        )


@dataclass(frozen=True, eq=False)
class StoredOutcomes:
    """What the finished trials of a job said of its images.

    Attributes:
        seeds: of the finished trials, in the order of rows.
        classes: their names, in the order of probabilities.
        views: number of views of an image whose probabilities were averaged; 1 without test-time augmentation.
        images: the images by their number, sorted, with the columns path, hash, class, group, split and draws;
            `images.loc[test.image[0], "hash"]` are the test images' hashes.
        test: of the test images.
        val: of the validation images; None without them.
    """

    seeds: list[int]
    classes: list[str]
    views: int
    images: pandas.DataFrame
    test: SplitOutcomes
    val: SplitOutcomes | None = None

    def groups(self, numbers: np.ndarray) -> np.ndarray | None:
        """Return the groups of images of these numbers, (images,); None where some have none: then images count."""
        names = self.images.loc[numbers, "group"]
        return names.to_numpy(dtype=str) if (names != "").all() else None


def read_outcomes(folder: Path) -> StoredOutcomes | None:
    """Read what a finished job has stored of its images; None if it has stored nothing, as older versions do.

    Raises:
        ValueError: the files are damaged, or do not belong to each other or to the job's `result.json`.
        OSError: a file cannot be read.
    """
    path = folder / OUTCOMES
    if not os.path.lexists(path) and not os.path.lexists(folder / IMAGES):
        return None
    tensors, about = read_tensors(path)
    test, val = _split(tensors, "", about), _split(tensors, "val_", about)
    if test is None:
        raise ValueError("it has no tensor prediction")
    images = read_images(folder / IMAGES, about["images"])
    stored = StoredOutcomes(about["seeds"], about["classes"], about["views"], images, test, val)
    for split, outcomes in (("test", test), ("val", val)):
        if outcomes is not None:
            _check_listed(split, outcomes, stored)
    _check_belongs(folder / RESULT, stored, about["identity"])
    return stored


def of_label(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return the true classes' probabilities, (trials, images), of all classes' ones, (trials, images, classes)."""
    places = np.broadcast_to(label, probability.shape[:2]).astype(np.int64)
    return np.take_along_axis(probability, places[..., None], 2)[..., 0]


def _split(tensors: Mapping[str, np.ndarray], prefix: str, about: Mapping[str, Any]) -> SplitOutcomes | None:
    """Return one split's outcomes, checked in themselves; None if the file has none.

    Raises:
        ValueError: names the tensor.
    """
    found = {name: tensors[prefix + name] for name in TENSORS if prefix + name in tensors}
    if not found:
        return None
    trials, classes = len(about["seeds"]), len(about["classes"])
    missing = [name for name in ("prediction", "label", "image") if name not in found]
    if missing or found.keys().isdisjoint(("probability", "probability_of_label")):
        raise ValueError(f"it has no tensor {prefix}{missing[0] if missing else 'probability'}")
    images = np.atleast_1d(found["prediction"]).shape[-1]
    shapes = {"prediction": [(trials, images)], "probability": [(trials, images, classes)]}
    shapes |= {"probability_of_label": [(trials, images)], "label": [(1, images), (trials, images)]}
    shapes["image"] = [np.atleast_2d(found["label"]).shape]
    for name, value in found.items():
        value = found[name] = value if name not in ("label", "image") else np.atleast_2d(value)
        if value.shape not in shapes[name] or not value.size:
            expected = " or ".join(map(str, shapes[name]))
            raise ValueError(f"its {prefix}{name} has the shape {value.shape}, expected {expected}")
        _check_values(prefix + name, value, np.inf if name == "image" else classes - 1)
    if "probability" in found:
        _check_distributions(f"{prefix}probability", found["probability"], found["prediction"])
        found["probability_of_label"] = of_label(found["probability"], found["label"])
    return SplitOutcomes(**{"probability": None, **found})


def _check_values(name: str, values: np.ndarray, most: float) -> None:
    """Refuse anything but probabilities, or whole numbers from 0 to the most."""
    if "probability" in name:
        if values.dtype.kind != "f" or not ((values >= 0) & (values <= 1)).all():  # NaN is neither
            raise ValueError(f"its {name} has something else than numbers from 0 to 1")
    elif values.dtype.kind not in "iu" or values.min() < (-1 if name.endswith("image") else 0) or values.max() > most:
        raise ValueError(f"its {name} has something else than whole numbers from 0 to {most:g}")


def _check_distributions(name: str, probability: np.ndarray, prediction: np.ndarray) -> None:
    """Refuse probabilities that do not sum to 1, or of which another one than the prediction's is the largest."""
    if (np.abs(probability.sum(2, dtype=np.float32) - 1) > TOLERANCE).any():
        raise ValueError(f"its {name} of some image does not sum to 1")
    if (probability.max(2) - of_label(probability, prediction) > TOLERANCE).any():
        raise ValueError(f"its {name} of some image is largest for another class than its prediction")


def _check_listed(split: str, outcomes: SplitOutcomes, stored: StoredOutcomes) -> None:
    """Refuse images that the table does not have in this split and class."""
    numbers, labels = outcomes.image[outcomes.tested], outcomes.label[outcomes.tested]
    if ((np.diff(outcomes.image, axis=1) <= 0) & outcomes.tested[:, 1:]).any():
        raise ValueError(f"its {split} images are not sorted by number")
    rows = stored.images.index.get_indexer(numbers)
    if (rows < 0).any():
        raise ValueError(f"its {IMAGES} has no image {numbers[rows < 0][0]}")
    listed = stored.images.iloc[rows]
    allowed = {split} if stored.test.shared else {split, "test"}  # in folds others test what a trial validates on
    if not all(allowed & {*names.split("+")} for names in listed["split"].unique()):
        raise ValueError(f"its {IMAGES} has a {split} image in another split")
    if (listed["class"].to_numpy() != np.array(stored.classes, dtype=object)[labels]).any():
        raise ValueError(f"its {IMAGES} has a {split} image of another class")


def _check_belongs(path: Path, stored: StoredOutcomes, identity: str) -> None:
    """Refuse outcomes that are not those of a result: of other trials, or with other numbers of correct images."""
    if not os.path.lexists(path):
        raise ValueError(f"there is no {path.name} beside it")
    try:
        result = read_json(path)
        check_result(result)
    except ValueError as error:
        raise ValueError(f"its {path.name} is damaged: {error}") from None
    if result.get("identity") != identity:
        raise ValueError(f"its {path.name} is that of another job")
    finished = [trial for trial in result["trials"] if trial.get("error") is None]
    seeds = [trial["seed"] for trial in finished]
    if seeds != stored.seeds:
        raise ValueError(f"its seeds are {_seeds(stored.seeds)}, those of {path.name} are {_seeds(seeds)}")
    for prefix, outcomes in (("", stored.test), ("val_", stored.val)):
        counted = [(trial.get(f"{prefix}correct"), trial.get(f"{prefix}tested")) for trial in finished]
        found: list[tuple[int | None, int | None]] = [(None, None)] * len(finished)
        if outcomes is not None:
            tested = np.broadcast_to(outcomes.tested, outcomes.prediction.shape).sum(1)
            found = list(zip(outcomes.correct.sum(1).tolist(), tested.tolist(), strict=True))
        for seed, own, expected in zip(seeds, found, counted, strict=True):
            if own != expected:
                raise ValueError(
                    f"its trial of seed {seed} has {own[0]} of {own[1]} {'validation' if prefix else 'test'} images "
                    f"right, {path.name} says {expected[0]} of {expected[1]}"
                )


def _seeds(seeds: list[int]) -> str:
    return few(list(map(str, seeds)), 5)
