"""What a job's trials say together."""

import numpy as np
import pandas
import pytest
from made_predictions import folded, made, taken
from scipy import stats

from graft.analysis.ensemble import ensemble

IMAGES = pandas.DataFrame({"draws": [0, 0, 2, 1]})
# Two trials, four images: each alone has two right, their mean has three.
PROBABILITY = np.array(
    [
        [[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.1, 0.2, 0.7], [0.5, 0.1, 0.4]],
        [[0.4, 0.6, 0.0], [0.1, 0.9, 0.0], [0.7, 0.2, 0.1], [0.0, 0.0, 1.0]],
    ]
)
LABEL = np.array([0, 1, 2, 2])


def test_trials_together_say_the_class_of_the_highest_mean_probability():
    found = ensemble(made(PROBABILITY.argmax(2), LABEL, probability=PROBABILITY), IMAGES)
    assert found is not None
    assert (found.right, found.total, found.trials, found.seen) == (3, 4, 2, 2)
    assert found.interval == pytest.approx(tuple(stats.binomtest(3, 4).proportion_ci(method="wilson")))
    assert found.in_words() == (
        "The mean of the probabilities of 2 trials is right for 75.0 % of 4 test images (30.1 to 95.4 % for other "
        "images of their kind, 95 %, of these networks as they are). They trained on 2 images in all."
    )


def test_the_interval_counts_groups():
    labels = np.repeat([0, 1, 2, 0, 1, 2], 20)
    said = np.where(np.arange(120) < 20, 1, labels)  # one of six patients is wrong
    groups = [f"P{patient}" for patient in np.repeat(np.arange(6), 20)]
    alone, grouped = (ensemble(made([said, said], labels, groups=each), IMAGES) for each in (None, groups))
    assert alone is not None
    assert alone.interval is not None
    assert grouped is not None
    assert grouped.interval is not None
    assert grouped.interval[0] < alone.interval[0] - 0.2
    assert "for other groups of images" in grouped.in_words()
    single = ensemble(made([said, said], labels, groups=["P0"] * 120), IMAGES)
    assert single is not None
    assert "(no interval for other groups" in single.in_words()


def test_nothing_is_said_of_one_trial_of_one_computation_of_folds_or_without_probabilities():
    said = PROBABILITY.argmax(2)
    assert ensemble(made(said[:1], LABEL), IMAGES) is None
    assert ensemble(made(said[[0, 0]], LABEL, copies=True), IMAGES) is None
    assert ensemble(folded(said, LABEL, 2, 2), IMAGES) is None
    bare = taken(said, LABEL[None], np.arange(4)[None], PROBABILITY, whole=False)
    assert ensemble(bare, IMAGES) is None
