"""Joins what the trials of several rounds of one job have said of its images."""

from dataclasses import replace

import numpy as np
import pandas

from graft.data.folds import NO_IMAGE
from graft.results.outcomes import SplitOutcomes, StoredOutcomes
from graft.run.outcome_writer import split_names, within_limit


def merge(first: StoredOutcomes, second: StoredOutcomes) -> StoredOutcomes:
    """Return the outcomes of both, of one job's trials with different seeds: what a run of all of them would store."""
    seeds, images = first.seeds + second.seeds, _merged_images(first.images, second.images)
    test = _joined(first.test, second.test)
    val = None if first.val is None or second.val is None else _joined(first.val, second.val)
    number = test.prediction.shape[1] + (0 if val is None else val.prediction.shape[1])
    if not within_limit(len(seeds), number, len(first.classes)):
        test, val = replace(test, probability=None), val and replace(val, probability=None)
    images["split"] = split_names(images.index.to_numpy(), images["draws"].to_numpy(), test, val)
    return StoredOutcomes(seeds, first.classes, first.views, images, test, val)


def _joined(first: SplitOutcomes, second: SplitOutcomes) -> SplitOutcomes:
    """Return two splits' outcomes, the first one's trials before the second one's."""
    widest = max(first.image.shape[1], second.image.shape[1])
    parts = first, second = [_widened(part, widest) for part in (first, second)]
    shared = first.shared and second.shared and np.array_equal(first.image, second.image)
    label, image = first.label, first.image
    if not shared:
        label = np.concatenate([np.broadcast_to(part.label, part.prediction.shape) for part in parts])
        image = np.concatenate([np.broadcast_to(part.image, part.prediction.shape) for part in parts])
    whole = [part.probability for part in parts if part.probability is not None]
    return SplitOutcomes(
        prediction=np.concatenate([part.prediction for part in parts]),
        label=label,
        image=image,
        probability_of_label=np.concatenate([part.probability_of_label for part in parts]),
        probability=np.concatenate(whole) if len(whole) == len(parts) else None,
    )


def _widened(split: SplitOutcomes, images: int) -> SplitOutcomes:
    """Return a split of folds with more places of no image at the beginning, where other values count nothing."""
    places = np.arange(images) - images + split.image.shape[1]
    wider = {name: value[:, places.clip(0)] for name, value in vars(split).items() if value is not None}
    wider["image"][:, places < 0] = NO_IMAGE
    return replace(split, **wider)


def _merged_images(first: pandas.DataFrame, second: pandas.DataFrame) -> pandas.DataFrame:
    """Return the images of both, with the draws of all trials."""
    both = pandas.concat([first, second])
    merged = both[~both.index.duplicated()].sort_index()
    return merged.assign(draws=both["draws"].groupby(level=0).sum())
