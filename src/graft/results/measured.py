"""A job's accuracies, or another metric, with what each trial said of each image, where the job has stored it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graft.results.metric import Said, name_of, split_of, with_metric
from graft.results.outcomes import SplitOutcomes, StoredOutcomes
from graft.statistics.accuracies import (
    Accuracies,
    Copies,
    Measured,
    Unbounded,
    accuracies,
    is_finite,
    num_folds,
    num_images,
)
from graft.statistics.outcomes import Outcomes


def measured(result: Mapping[str, Any], stored: StoredOutcomes | None, metric: str = "accuracy") -> Accuracies:
    """Return the finished trials' accuracies, or another metric, with their outcomes if all have the same images.

    Trials that have validation images of their own differ by them, too: their values alone count both.

    Args:
        result: the content of a `result.json`.
        stored: the outcomes of the same job; None if it has none.
        metric: accuracy, val_accuracy, or the key of another metric (module metric); a loss has a minus.

    Raises:
        ValueError: a metric other than the accuracy cannot be computed; says why.
    """
    name, split = name_of(metric), _split(stored, metric)
    found = accuracies(result, metric.removesuffix(name) + "accuracy")
    folds = _num_folds(result, metric)
    if stored is None or split is None or list(found) != stored.seeds:
        if name != "accuracy":
            raise ValueError("it has not stored what its trials said of images")
        return found
    if name == "accuracy" and not (split.shared or folds):
        return found
    outcomes = _outcomes(stored, split, share_of_pool(result), folds, isinstance(found, Copies))
    if name != "accuracy":
        losses = [trial.get(metric) for trial in result["trials"] if trial["seed"] in found]
        outcomes = with_metric(name, outcomes, _said(split))
        outcomes = outcomes if outcomes.bounded else _with_exact_means(outcomes, losses)
    return Measured(outcomes) if split.shared or folds else _means(outcomes)


def _num_folds(result: Mapping[str, Any], metric: str) -> int:
    """Return how many folds the trials test; 0 where a metric is of validation images, or all have the same."""
    return num_folds(result) if split_of(metric) == "test" else 0


def _means(outcomes: Outcomes) -> Accuracies:
    """Return trials' values without their outcomes."""
    means = Measured(outcomes)
    return Unbounded(means) if not outcomes.bounded else Copies(means) if outcomes.copies else dict(means)


def _outcomes(stored: StoredOutcomes, split: SplitOutcomes, share: float, folds: int, copies: bool) -> Outcomes:
    """Return whether trials are right on all images of a split."""
    rows = stored.images.loc[numbers(split)]
    places = {name: place for place, name in enumerate(stored.classes)}
    return Outcomes(
        seeds=tuple(stored.seeds),
        images=rows["hash"].to_numpy(dtype=str),
        values=columns(split, split.correct.astype(float), np.nan),
        labels=rows["class"].map(places).to_numpy(),
        groups=stored.groups(numbers(split)),
        share=0.0 if folds else share,
        folds=folds,
        copies=copies,
    )


def _with_exact_means(outcomes: Outcomes, losses: Sequence[float | None]) -> Outcomes:
    """Return losses whose means are those of `result.json`: the stored probabilities are rounded, some of them to 0."""
    if not all(map(is_finite, losses)):
        return outcomes
    exact = -np.array(losses, dtype=float)[:, None]
    means = np.nanmean(outcomes.values, axis=1, keepdims=True)
    return replace(outcomes, values=outcomes.values + exact - means)


def _said(split: SplitOutcomes) -> Said:
    probability = None if split.probability is None else columns(split, split.probability, 0)
    return Said(columns(split, split.prediction, 0), columns(split, split.probability_of_label, 1), probability)


def numbers(split: SplitOutcomes) -> np.ndarray:
    """Return the numbers of all tested images, (images,)."""
    return split.image[0] if split.shared else np.unique(split.image[split.tested])


def columns(split: SplitOutcomes, values: np.ndarray, missing: float) -> np.ndarray:
    """Return values of trials on their images as values on all images, with another where a trial has not tested one.

    Args:
        split: whose images they are.
        values: (trials, images of a trial, ...).
        missing: the value of images that a trial has not tested.
    """
    if split.shared:
        return values
    every = numbers(split)
    spread = np.full((len(values), len(every), *values.shape[2:]), missing, dtype=values.dtype)
    rows, places = np.nonzero(np.broadcast_to(split.tested, split.prediction.shape))
    spread[rows, np.searchsorted(every, split.image[rows, places])] = values[rows, places]
    return spread


def distinct_images(result: Mapping[str, Any], stored: StoredOutcomes | None, metric: str = "accuracy") -> int | None:
    """Return the number of different images on which the trials were measured; None if it is unknown."""
    split = _split(stored, metric)
    if split is None:
        return num_images(result, metric) if name_of(metric) == "accuracy" else None
    return len(np.unique(split.image[split.tested]))


def vary(result: Mapping[str, Any]) -> str:
    """Return what a job's trials vary in, as `trials_vary` has it: not in the draw if all train on the same images."""
    same = (result.get("images") or {}).get("draws_vary") is False
    return "init" if same else str((result.get("config") or {}).get("trials_vary", "all"))


def share_of_pool(result: Mapping[str, Any]) -> float:
    """Return the share of its pool of training images that each trial draws, 0 to 1; 0 if it is unknown."""
    if vary(result) == "init":
        return 1.0
    images = result.get("images") or {}
    pool, small = images.get("pool"), images.get("small")
    return min(1.0, small / pool) if pool and small else 0.0


def _split(stored: StoredOutcomes | None, metric: str) -> SplitOutcomes | None:
    return None if stored is None else {"test": stored.test, "val": stored.val}[split_of(metric)]
