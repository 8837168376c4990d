"""A job's accuracies with what each trial said of each image, where the job has stored it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from graft.results.outcomes import SplitOutcomes, StoredOutcomes
from graft.statistics.accuracies import SPLITS, Accuracies, Copies, Measured, accuracies, num_images
from graft.statistics.outcomes import Outcomes


def measured(result: Mapping[str, Any], stored: StoredOutcomes | None, metric: str = "accuracy") -> Accuracies:
    """Return the finished trials' accuracies, with their outcomes if all trials have the same images.

    Trials that have validation images of their own differ by them, too: their accuracies alone count both.

    Args:
        result: the content of a `result.json`.
        stored: the outcomes of the same job; None if it has none.
        metric: accuracy or val_accuracy.
    """
    found = accuracies(result, metric)
    split = _split(stored, metric)
    if stored is None or split is None or not split.shared or list(found) != stored.seeds:
        return found
    rows = stored.images.loc[split.image[0]]
    groups = rows["group"].to_numpy(dtype=str) if (rows["group"] != "").all() else None
    return Measured(
        Outcomes(
            seeds=tuple(stored.seeds),
            images=rows["hash"].to_numpy(dtype=str),
            values=split.correct.astype(float),
            labels=split.label[0].astype(int),
            groups=groups,
            share=share_of_pool(result),
            copies=isinstance(found, Copies),
        )
    )


def distinct_images(result: Mapping[str, Any], stored: StoredOutcomes | None, metric: str = "accuracy") -> int | None:
    """Return the number of different images on which the trials were measured; None if it is unknown."""
    split = _split(stored, metric)
    return num_images(result, metric) if split is None else len(np.unique(split.image))


def share_of_pool(result: Mapping[str, Any]) -> float:
    """Return the share of its pool of training images that each trial draws, 0 to 1; 0 if it is unknown."""
    images = result.get("images") or {}
    if images.get("draws_vary") is False:
        return 1.0
    pool, small = images.get("pool"), images.get("small")
    return min(1.0, small / pool) if pool and small else 0.0


def _split(stored: StoredOutcomes | None, metric: str) -> SplitOutcomes | None:
    return None if stored is None else {"test": stored.test, "val": stored.val}[SPLITS[metric]]
