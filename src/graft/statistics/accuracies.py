"""The trials of a result: their accuracies as whole counts of images, and whether all are the same computation."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graft.statistics.outcomes import Outcomes, aligned
from graft.statistics.overlap import common_share

Accuracies = Mapping[int, float]  # in [0, 1], of the finished trials, by seed

SPLITS = {"accuracy": "test", "val_accuracy": "val"}  # whose images an accuracy counts
ROUNDING = 1e-6  # result.json has six decimals


class Copies(dict[int, float]):
    """Accuracies of trials that are all the same computation: one observation, whatever their number."""


class Unbounded(dict[int, float]):
    """Values of trials that may be any numbers, such as losses with a minus, instead of accuracies."""


class Measured(dict[int, float]):
    """Accuracies that know every image: the mean of each trial's outcomes, and the outcomes.

    Attributes:
        outcomes: of the same trials.
    """

    def __init__(self, outcomes: Outcomes):
        means = np.nanmean(outcomes.values, axis=1)
        super().__init__(zip(outcomes.seeds, means.tolist(), strict=True))
        self.outcomes = outcomes


def average(configurations: Sequence[Accuracies]) -> Accuracies:
    """Return each trial's mean over several configurations, with the mean outcomes where all have the same images.

    Seeds that some configuration lacks are left out. Copies average to copies.
    """
    known = [one.outcomes for one in configurations if isinstance(one, Measured)]
    if len(known) == len(configurations) and (alike := aligned(known)) is not None:
        values, copies = np.mean([one.values for one in alike], axis=0), all(one.copies for one in alike)
        return Measured(replace(alike[0], values=values, share=common_share(alike), copies=copies))
    seeds = [seed for seed in configurations[0] if all(seed in other for other in configurations)]
    found = {seed: float(np.mean([one[seed] for one in configurations])) for seed in seeds}
    if all(is_copies(one) for one in configurations):
        return Copies(found)
    return found if all(is_bounded(one) for one in configurations) else Unbounded(found)


def of_seeds(accuracies: Accuracies, seeds: Sequence[int]) -> Accuracies:
    """Return the accuracies of some of the trials, with their outcomes; those of copies are copies."""
    if isinstance(accuracies, Measured):
        return Measured(accuracies.outcomes.select(seeds, np.arange(len(accuracies.outcomes.images))))
    found = {seed: accuracies[seed] for seed in seeds}
    return type(accuracies)(found) if isinstance(accuracies, Copies | Unbounded) else found


def is_copies(accuracies: Accuracies) -> bool:
    """Return whether all trials are the same computation."""
    return accuracies.outcomes.copies if isinstance(accuracies, Measured) else isinstance(accuracies, Copies)


def is_bounded(accuracies: Accuracies) -> bool:
    """Return whether all values are in [0, 1], as accuracies are."""
    return accuracies.outcomes.bounded if isinstance(accuracies, Measured) else not isinstance(accuracies, Unbounded)


def accuracies(result: Mapping[str, Any], metric: str = "accuracy") -> Accuracies:
    """Return the finished trials' accuracies by seed; a trial whose loss became NaN has none.

    Args:
        result: the content of a `result.json`.
        metric: accuracy or val_accuracy.
    """
    images = _images(result, metric)
    values = {trial["seed"]: _accuracy(trial, metric, images) for trial in result["trials"]}
    finished = {seed: value for seed, value in values.items() if value is not None}
    return Copies(finished) if _same_computation(result["trials"]) else finished


def num_images(result: Mapping[str, Any], metric: str = "accuracy") -> int | None:
    """Return the number of different images on which the trials' accuracies were measured; None if it is unknown.

    All trials share the test images, unless they test folds: then those of a repeat are all different. Each trial draws
    validation images of its own, unless the data set has some or its draw is the same for all trials.
    """
    folds = num_folds(result)
    if metric == "accuracy" and folds:
        return _in_folds(result["trials"], folds)
    finished = accuracies(result, metric)
    counted = [trial[key] for trial in result["trials"] if (key := _count_key(metric, "tested")) in trial]
    images = int(min(filter(None, counted), default=0)) or _images(result, metric)
    if not images or any(_whole(value, images) is None for value in finished.values()):
        return None  # accuracies that are no counts of these images
    drawn = metric == "val_accuracy" and _draws_vary(result) and not isinstance(finished, Copies)
    return images * len(finished) if drawn else images


def dataset_of(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of a result's data set; none in results of the first format."""
    return (result.get("config") or {}).get("dataset") or {}


def num_folds(result: Mapping[str, Any]) -> int:
    """Return how many folds the trials of a result test; 0 if they all test the same images."""
    return dataset_of(result).get("folds") or 0


def _draws_vary(result: Mapping[str, Any]) -> bool:
    """Return whether each trial draws validation images of its own."""
    dataset, vary = dataset_of(result), (result.get("config") or {}).get("trials_vary")
    return bool(dataset.get("val_per_class")) and dataset.get("draw") != "first" and vary != "init"


def _in_folds(trials: Sequence[Mapping[str, Any]], num_folds: int) -> int | None:
    """Return the number of images in the folds that were tested, whose sizes are the same in each repeat."""
    sizes = {trial["seed"] % num_folds: trial["tested"] for trial in trials if trial.get("tested")}
    return sum(sizes.values()) or None


def is_finite(value: object) -> bool:
    """Return whether a value is a finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of floats
        return False


def _accuracy(trial: Mapping[str, Any], metric: str, images: int | None) -> float | None:
    """Return a trial's accuracy from its counts; without them, from six decimals and the number of images."""
    value = trial.get(metric)
    if value is None or not is_finite(value):
        return None
    tested = trial.get(_count_key(metric, "tested"))
    if tested:
        return trial[_count_key(metric, "correct")] / tested
    count = images and _whole(value, images)
    return value if not images or count is None else count / images


def _whole(accuracy: float, images: int) -> int | None:
    """Return how many of the images an accuracy of six decimals is; None if that is no whole number."""
    count = round(accuracy * images)
    return count if abs(accuracy * images - count) <= min(0.1, ROUNDING * images) else None


def _images(result: Mapping[str, Any], metric: str) -> int | None:
    images = (result.get("images") or {}).get(SPLITS[metric])
    return int(images) if images else None


def _count_key(metric: str, count: str) -> str:
    return metric.replace("accuracy", count)


def _same_computation(trials: list[dict[str, Any]]) -> bool:
    """Return whether all trials have the same metrics, whatever their seeds.

    Different networks may be right on the same number of images; their losses differ in six decimals, unless all
    are 0.
    """
    distinct = {tuple(sorted((key, str(value)) for key, value in trial.items() if key != "seed")) for trial in trials}
    return len(trials) > 1 and len(distinct) == 1 and bool(trials[0].get("loss"))
