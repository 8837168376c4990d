"""What is asked of the outcomes of single images."""

import numpy as np
import pytest

from graft.results.outcomes import SplitOutcomes

LABELS = np.arange(24) % 3


def split(predicted: list[np.ndarray], labels: np.ndarray = LABELS, last: int = 0) -> SplitOutcomes:
    """Return outcomes of images with these labels; of the last trial the first `last` places are no images."""
    image = np.tile(np.arange(len(labels)), (len(predicted), 1))
    image[-1, :last] = -1
    certain = np.ones((len(predicted), len(labels)), np.float16)
    return SplitOutcomes(np.array(predicted), np.tile(labels, (len(predicted), 1)), image, certain, None)


@pytest.mark.parametrize(
    ("found", "number"),
    [
        (split([LABELS, 0 * LABELS, 0 * LABELS + 2]), 2),
        (split([0 * LABELS + (np.arange(24) == 5)]), 0),  # one image of another class
        (split([0 * LABELS], 0 * LABELS), 0),  # there is only one class
        (split([0 * LABELS[:19]], LABELS[:19]), 0),  # too few images
        (split([LABELS, np.where(np.arange(24) < 4, 1, 0)], last=4), 1),  # what is no image says nothing
        (split([LABELS, 0 * LABELS], last=5), 0),  # too few in this fold
    ],
)
def test_trials_that_predict_one_class_are_counted(found: SplitOutcomes, number: int):
    assert found.one_class == number
