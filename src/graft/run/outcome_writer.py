"""What every trial of a finished job said of every test and validation image: outcomes.safetensors and images.csv.

Both are written before `result.json`, which is last; a trial run writes neither, and a refit, which is not tested,
`images.csv` alone. `graft.results.outcomes.read_outcomes` reads and checks them.

`images.csv` has a row for each image that the job tested, validated or trained on, sorted by number:
    number   the image's place in the data set, from 0: the same in every job on the same data set
    path     of its file, relative to `dataset.root`, or the place in its part of an in-memory data set: test/17, or 17
    hash     of the file's bytes (BLAKE2b), or of an in-memory image's pixels (SHA-256), 32 hexadecimal digits
    class    its name
    group    the name of the image's group; empty in data without groups
    split    `test`, `train` or `val`; `train+val` if some trials trained and others validated on it; with folds `test`
             for all that some trial tested, on which others trained or validated
    draws    number of the trials below that trained on it
    domain   the name of the image's domain; only in data with domains

`outcomes.safetensors` has a row for each finished trial, in the order of `seeds`, and images in the order of numbers:
    prediction            (trials, images), the predicted class's place in `classes`, uint8, uint16 or uint32
    probability           (trials, images, classes), float16; the softmax of the logits, at most 64 MB in all
    probability_of_label  (trials, images), float16; in place of `probability` where that would be larger
    label                 (images,), the image's class, in the type of `prediction`
    image                 (images,), the image's number, int32

and, for validation images, the same with the prefix `val_`; `val_label` and `val_image` are (trials, images) where each
trial has validation images of its own, else (1, images). `label` and `image` of the test are (trials, images), too, if
trials test folds. Then `image` begins with -1 where a fold is smaller than others, and the other tensors count nothing
there. `prediction` is what `result.json` counts: `prediction == label` is correct, and its sum the trial's `correct`.
Rounded probabilities may be equal; so never take their argmax.

The file's metadata has one key, `graft`, a JSON object with the key `format`, 1, and:
    seeds     of the trials; a trial that failed has no row
    classes   their names, in the order of `probability`
    views     number of views of an image whose probabilities were averaged; 1 without test-time augmentation
    identity  the job's, as in `result.json`
    images    SHA-256 of the bytes of images.csv, which belongs to it
    sha256    of the tensors: of each one's name, type, shape and bytes, in the order of names
The files' bytes depend on nothing else: a repeated run writes the same.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import torch
from safetensors.numpy import save

from graft.data.folds import NO_IMAGE
from graft.data.listing import names
from graft.files import write_bytes
from graft.job_folder import IMAGES, OUTCOMES
from graft.nouns import counted
from graft.results.outcome_files import COLUMNS, DOMAIN, FORMAT, checksum
from graft.results.outcomes import SplitOutcomes, StoredOutcomes, of_label
from graft.run.history import JobHistory
from graft.run.plan import Plan
from graft.training.metrics import Outcomes

log = logging.getLogger("graft")

LIMIT = 2**26  # bytes of all classes' probabilities; beyond, only those of the true classes are stored


def keeps_all_classes(plan: Plan) -> bool:
    """Return whether a job's trials keep the probability of each class."""
    rows = plan.datamodule.rows
    return within_limit(len(plan.seeds), rows["test"].shape[1] + rows["val"].shape[1], len(plan.data.class_names))


def collect(plan: Plan, history: JobHistory, results: Sequence[Mapping[str, Any]]) -> StoredOutcomes:
    """Return what a job's finished trials said of its images: those without an error in their results."""
    finished = [trial for trial, result in enumerate(results) if "error" not in result]
    splits = {prefix: _of_split(plan, fits, finished) for prefix, fits in history.outcomes.items()}
    test, val = splits[""], splits.get("val_")
    return StoredOutcomes(
        seeds=[plan.seeds[trial] for trial in finished],
        classes=plan.data.class_names,
        views=plan.augment.test_views or 1 if plan.augment else 1,
        images=_images(plan, finished, test, val),
        test=test,
        val=val,
    )


def write_outcomes(folder: Path, outcomes: StoredOutcomes, identity: str) -> None:
    """Write `images.csv` and `outcomes.safetensors` into a job's folder, with its identity, as in its result."""
    tensors = {**_tensors("", outcomes.test), **_tensors("val_", outcomes.val)}
    for name in ("label", "image"):
        tensors[name] = tensors[name][0] if outcomes.test.shared else tensors[name]
    images = _csv(outcomes.images)
    about = {
        "format": FORMAT,
        "seeds": outcomes.seeds,
        "classes": outcomes.classes,
        "views": outcomes.views,
        "identity": identity,
        "images": hashlib.sha256(images).hexdigest(),
        "sha256": checksum(tensors),
    }
    write_bytes(folder / IMAGES, images)
    # One key: safetensors writes several in a random order.
    write_bytes(folder / OUTCOMES, save(tensors, {"graft": json.dumps(about, sort_keys=True)}))


def warn_of_one_class(outcomes: StoredOutcomes, solved: bool) -> None:
    """Warn of trials that predict one class for every test image; heads that are solved have no learning rate."""
    count = outcomes.test.one_class
    if count:
        advice = "" if solved else "; try more epochs=, a smaller lr=, or activation=relu"
        trials = f"{count} of {counted(len(outcomes.seeds), 'trial')}"
        log.warning("%s predict one class for every test image and have learned nothing%s", trials, advice)


def write_trained_on(folder: Path, plan: Plan, results: Sequence[Mapping[str, Any]]) -> None:
    """Write a refit's `images.csv`: the images that its trials were trained on, all of them; it has no outcomes."""
    finished = [trial for trial, result in enumerate(results) if "error" not in result]
    (folder / OUTCOMES).unlink(missing_ok=True)
    write_bytes(folder / IMAGES, _csv(_images(plan, finished, None, None)))


def within_limit(trials: int, images: int, classes: int) -> bool:
    """Return whether the probabilities of all classes are stored."""
    return trials * images * classes * np.dtype(np.float16).itemsize <= LIMIT


def _of_split(plan: Plan, fits: Sequence[tuple[range, Outcomes]], finished: Sequence[int]) -> SplitOutcomes:
    """Return one split's outcomes, of the finished trials, from what the trials of each fit said."""
    datamodule, number = plan.datamodule, len(plan.data.class_names)
    rows = torch.cat([found.rows.expand(len(trials), -1) for trials, found in fits])[finished]
    rows = rows[:1] if (rows == rows[0]).all() else rows
    prediction = torch.cat([found.predictions for _, found in fits])[finished].numpy()
    probability = torch.cat([found.probabilities for _, found in fits])[finished].numpy()
    kind = np.min_scalar_type(number - 1)
    label = datamodule.labels[rows].numpy().astype(kind)
    whole = probability.shape[2] == number
    return SplitOutcomes(
        prediction=prediction.astype(kind),
        label=label,
        image=datamodule.images[rows].where(rows != NO_IMAGE, NO_IMAGE).numpy().astype(np.int32),
        probability_of_label=of_label(probability, label) if whole else probability[..., 0],
        probability=probability if whole else None,
    )


def _images(
    plan: Plan, finished: Sequence[int], test: SplitOutcomes | None, val: SplitOutcomes | None
) -> pandas.DataFrame:
    """Return the images of the finished trials, by number."""
    images, datamodule = plan.data.images, plan.datamodule
    trained = datamodule.train_images[datamodule.rows["train"][finished]].numpy().ravel()
    used = [trained, *(split.image.ravel() for split in (test, val) if split is not None)]
    numbers = np.setdiff1d(np.concatenate(used), [NO_IMAGE])
    draws = np.bincount(trained, minlength=numbers[-1] + 1)[numbers]
    columns = {
        "path": names(images, numbers.tolist()),
        "hash": [images.digests[number] for number in numbers.tolist()],
        "class": [images.classes[label] for label in images.labels[torch.from_numpy(numbers)].tolist()],
        "group": [images.groups[number] for number in numbers] if images.groups else "",
        "split": split_names(numbers, draws, test, val),
        "draws": draws,
    }
    if images.domains:
        columns[DOMAIN] = [images.domains[number] for number in numbers]
    return pandas.DataFrame(columns, index=pandas.Index(numbers, name="number"))


def split_names(
    numbers: np.ndarray, draws: np.ndarray, test: SplitOutcomes | None, val: SplitOutcomes | None
) -> np.ndarray:
    """Return the split of each image, (images,), from their numbers and draws."""
    tested, validated = (np.isin(numbers, [] if split is None else split.image) for split in (test, val))
    return np.select([tested, validated & (draws > 0), validated], ["test", "train+val", "val"], "train")


def _csv(images: pandas.DataFrame) -> bytes:
    """Return the content of `images.csv`."""
    columns = [*COLUMNS[1:], *([DOMAIN] if DOMAIN in images else [])]
    return images.to_csv(columns=columns, index_label=COLUMNS[0], lineterminator="\n").encode()


def _tensors(prefix: str, split: SplitOutcomes | None) -> dict[str, np.ndarray]:
    """Return one split's tensors by name; none without the split."""
    if split is None:
        return {}
    left_out = "probability" if split.probability is None else "probability_of_label"
    return {prefix + name: np.ascontiguousarray(value) for name, value in vars(split).items() if name != left_out}
