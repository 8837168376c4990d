"""What a job's trials said of images that they did not train on, other than test images."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graft.job_folder import OUTCOMES, read_result
from graft.results.refits import refit_of

if TYPE_CHECKING:  # pandas takes half a second, which is often not needed
    from graft.results.outcomes import SplitOutcomes, StoredOutcomes

NO_IMAGES = "the job has neither validation images (dataset.val_per_class) nor folds (dataset.folds)"

NO_VIEWS = "; train without augment.test_views"

REFIT = (
    "a refit was trained on every labeled image, so that none is left for it, and what holds for models of fewer "
    "training images does not hold for this one; for such predictions take the job that it was made from"
)


@dataclass(frozen=True, eq=False)
class UnseenImages:
    """What trials said of images that they did not train on, as pairs of a trial and an image.

    Attributes:
        kind: of an image, in words.
        trial: place of the trial among the kept ones, or if one is kept, among all, (pairs,).
        image: place of the image in `label`, (pairs,).
        of_label: probability of the image's true class, (pairs,), float16.
        probability: of each class, (pairs, classes), float16; None where only those of the true classes are stored.
        label: place of each image's true class, (images,).
    """

    kind: str
    trial: np.ndarray
    image: np.ndarray
    of_label: np.ndarray
    probability: np.ndarray | None
    label: np.ndarray

    @property
    def weight(self) -> np.ndarray:
        """The weight of each pair, (pairs,): every image counts 1."""
        return (1 / np.bincount(self.image))[self.image]

    @property
    def shared(self) -> bool:
        """Whether each trial said something of each image."""
        return len(self.image) == len(np.unique(self.trial)) * len(self.label)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Return the mean of pairs' values, (pairs, ...), over the trials of each image, (images, ...)."""
        order = np.argsort(self.image, kind="stable")
        starts = np.searchsorted(self.image[order], np.arange(len(self.label)))
        sums = np.add.reduceat(values[order].astype(np.float64), starts)
        return sums / np.bincount(self.image).reshape(-1, *[1] * (values.ndim - 1))


def unseen_images(folder: Path, classes: list[str], seeds: list[int]) -> UnseenImages | str:
    """Return what a job's trials said of images that they did not train on; or, in words, why there is nothing.

    If one trial's weights are kept, all trials count: the kept one may be the best on its validation images, where it
    then looks better than it is, and the others have the same configuration.

    Args:
        folder: the job's.
        classes: the model's.
        seeds: of the kept trials.
    """
    folds = _num_folds(folder)
    stored = _stored(folder, bool(folds))
    if isinstance(stored, str):
        return stored
    if stored.classes != classes or not set(seeds) <= set(stored.seeds):
        return f"{OUTCOMES} is of other classes or trials than the model"
    rows = [stored.seeds.index(seed) for seed in (seeds if len(seeds) > 1 else stored.seeds)]
    split = stored.test if folds else stored.val
    if split is None:
        return NO_IMAGES
    if stored.views > 1:
        seen = f"{OUTCOMES} has the mean over {stored.views} augmented views of each image"
        return f"{seen}, and a prediction sees it once{NO_VIEWS}"
    return _pairs("out-of-fold image" if folds else "validation image", split, rows)


def _num_folds(folder: Path) -> int | None:
    """Return the number of folds of a job's data set; None without them, or without a result."""
    config = (read_result(folder) or {}).get("config")
    dataset = config.get("dataset") if isinstance(config, dict) else None
    return dataset.get("folds") if isinstance(dataset, dict) else None


def _stored(folder: Path, folds: bool) -> "StoredOutcomes | str":
    """Return a job's outcomes; or, in words, why they cannot be used."""
    if refit_of(folder) is not None:
        return REFIT
    if not (folder / OUTCOMES).exists():
        return f"the job has no {OUTCOMES}, which says what its trials said of images"
    if not folds and not _has_validation(folder):
        return NO_IMAGES
    from graft.results.outcomes import read_outcomes

    try:
        return read_outcomes(folder) or f"there is no {OUTCOMES}"
    except (ValueError, OSError) as error:
        return f"{OUTCOMES} cannot be used: {error}"


def _pairs(kind: str, split: "SplitOutcomes", rows: list[int]) -> UnseenImages:
    """Return what trials, given as rows of a split's outcomes, said of its images."""
    image, label = (np.broadcast_to(each, split.prediction.shape)[rows] for each in (split.image, split.label))
    counted = image >= 0
    _, first, place = np.unique(image[counted], return_index=True, return_inverse=True)
    return UnseenImages(
        kind,
        trial=np.nonzero(counted)[0],
        image=place,
        of_label=split.probability_of_label[rows][counted],
        probability=None if split.probability is None else split.probability[rows][counted],
        label=label[counted][first].astype(np.int64),
    )


def _has_validation(folder: Path) -> bool:
    """Return whether a job has stored what its trials said of validation images; this is quick."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / OUTCOMES, "np") as file:
            return "val_label" in file.keys()  # noqa: SIM118
    except (OSError, SafetensorError):
        return True  # reading it all says what is wrong
