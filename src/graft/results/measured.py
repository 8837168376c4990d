"""A job's accuracies with what each trial said of each image, where the job has stored it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from graft.results.outcomes import SplitOutcomes, StoredOutcomes
from graft.statistics.accuracies import SPLITS, Accuracies, Copies, Measured, accuracies, dataset_of, num_images
from graft.statistics.outcomes import Outcomes


def measured(result: Mapping[str, Any], stored: StoredOutcomes | None, metric: str = "accuracy") -> Accuracies:
    """Return the finished trials' accuracies, with their outcomes if all trials have the same images.

    Trials that have validation images of their own differ by them, too: their accuracies alone count both.

    Args:
        result: the content of a `result.json`.
        stored: the outcomes of the same job; None if it has none.
        metric: accuracy or val_accuracy.
    """
    found, split = accuracies(result, metric), _split(stored, metric)
    folds = 0 if metric == "val_accuracy" else (dataset_of(result).get("folds") or 0)
    if stored is None or split is None or not (split.shared or folds) or list(found) != stored.seeds:
        return found
    numbers, values = _columns(split)
    rows = stored.images.loc[numbers]
    groups = rows["group"].to_numpy(dtype=str) if (rows["group"] != "").all() else None
    return Measured(
        Outcomes(
            seeds=tuple(stored.seeds),
            images=rows["hash"].to_numpy(dtype=str),
            values=values,
            labels=np.searchsorted(np.unique(rows["class"]), rows["class"]),
            groups=groups,
            share=0.0 if folds else share_of_pool(result),
            folds=folds,
            copies=isinstance(found, Copies),
        )
    )


def _columns(split: SplitOutcomes) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of all tested images, (images,), and whether each trial is right, (trials, images).

    Values are NaN where a trial did not test an image.
    """
    if split.shared:
        return split.image[0], split.correct.astype(float)
    numbers = np.unique(split.image[split.tested])
    values = np.full((len(split.image), len(numbers)), np.nan)
    rows, places = np.nonzero(split.tested)
    values[rows, np.searchsorted(numbers, split.image[rows, places])] = split.correct[rows, places]
    return numbers, values


def distinct_images(result: Mapping[str, Any], stored: StoredOutcomes | None, metric: str = "accuracy") -> int | None:
    """Return the number of different images on which the trials were measured; None if it is unknown."""
    split = _split(stored, metric)
    return num_images(result, metric) if split is None else len(np.unique(split.image[split.tested]))


def share_of_pool(result: Mapping[str, Any]) -> float:
    """Return the share of its pool of training images that each trial draws, 0 to 1; 0 if it is unknown."""
    images = result.get("images") or {}
    if images.get("draws_vary") is False or (result.get("config") or {}).get("trials_vary") == "init":
        return 1.0
    pool, small = images.get("pool"), images.get("small")
    return min(1.0, small / pool) if pool and small else 0.0


def _split(stored: StoredOutcomes | None, metric: str) -> SplitOutcomes | None:
    return None if stored is None else {"test": stored.test, "val": stored.val}[SPLITS[metric]]
