from dataclasses import replace

import numpy as np
import pandas
import pytest

from graft.results.outcomes import SplitOutcomes, StoredOutcomes
from graft.run import outcome_writer
from graft.run.outcome_merge import merge


def few(seeds: list[int], images: list[int]) -> StoredOutcomes:
    """Return outcomes of two classes in which every trial said the first one, with certainty."""
    shape = (len(seeds), len(images))
    probability = np.zeros((*shape, 2), dtype=np.float16)
    probability[..., 0] = 1
    label, number = np.zeros((1, len(images)), dtype=np.uint8), np.array([images], dtype=np.int32)
    split = SplitOutcomes(np.zeros(shape, dtype=np.uint8), label, number, probability[..., 0], probability)
    table = pandas.DataFrame(
        {"path": list(map(str, images)), "hash": "x", "class": "a", "group": "", "split": "test", "draws": 0},
        index=pandas.Index(images, name="number"),
    )
    return StoredOutcomes(seeds, ["a", "b"], 1, table, split)


def test_a_merger_beyond_the_limit_keeps_the_true_classes_probabilities(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outcome_writer, "LIMIT", 16)
    first, second = few([0], [3, 4]), few([1], [3, 4])
    merged = merge(first, second)
    assert merged.test.probability is not None
    assert merged.test.shared
    again = merge(merged, few([2], [3, 4]))
    assert again.test.probability is None
    assert again.test.probability_of_label.tolist() == [[1, 1]] * 3


def fold(seed: int, images: list[int]) -> StoredOutcomes:
    """Return outcomes of two trials that test folds of this size and a smaller one."""
    first, second = few([seed], images), few([seed + 1], images)
    image = np.array([images, [-1, *(number + 10 for number in images[1:])]], dtype=np.int32)
    parts = {
        name: np.concatenate([getattr(first.test, name), getattr(second.test, name)])
        for name in ("prediction", "label", "probability_of_label", "probability")
    }
    table = few([0], sorted(set(image.ravel().tolist()) - {-1})).images
    return replace(few([seed, seed + 1], images), test=SplitOutcomes(image=image, **parts), images=table)


def test_folds_of_a_further_repeat_may_be_larger():
    merged = merge(fold(0, [3, 4]), fold(2, [3, 4, 5]))
    assert merged.seeds == [0, 1, 2, 3]
    assert merged.test.image.tolist() == [[-1, 3, 4], [-1, -1, 14], [3, 4, 5], [-1, 14, 15]]
    assert merged.test.correct.sum(1).tolist() == [2, 1, 3, 2]
    assert merged.images.index.tolist() == [3, 4, 5, 14, 15]
