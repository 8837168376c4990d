import numpy as np
import pytest

from graft.report.verdicts import epochs_answer, judge, units_of
from graft.statistics.accuracies import Accuracies, Measured
from graft.statistics.comparison import compare_all
from graft.statistics.jackknife import balanced_accuracy
from graft.statistics.outcomes import Outcomes


def jobs(*trials: int) -> dict[str, Accuracies]:
    """Return jobs with these numbers of trials, tested on the same images."""
    random, images, found = np.random.default_rng(0), np.arange(80).astype(str), {}
    for place, count in enumerate(trials):
        right = (random.random((count, 80)) < 0.7).astype(float)
        right *= np.arange(80) < (40 if count == 1 else 80)  # a single trial is not the best
        found[f"job {place}"] = Measured(Outcomes(tuple(range(count)), images, right))
    return found


def test_the_best_is_corrected_for_the_jobs_that_it_was_tested_against():
    three, two = jobs(8, 8, 1), jobs(8, 8)
    found = {name: one for name, one in three.items() if name in two}
    whole, expected = (judge(each, compare_all(each), 0.0) for each in (three, found))
    assert None in whole.verdicts.values()
    assert whole.among == expected.among == 2
    assert whole.corrected == pytest.approx(expected.corrected)
    assert judge(jobs(8, 1), compare_all(jobs(8, 1)), 0.0).corrected is None


@pytest.mark.parametrize("images", ["test images", "validation images"])
def test_words_name_the_images_that_rank(images: str):
    found = jobs(8, 8)
    answer = judge(found, compare_all(found), 0.0, images=images)
    assert f"{images} " in answer.doubt
    assert all(f"more {images}" in words or f"and {images}" in words for words in answer.deciding.values())


def test_the_units_of_a_metric_that_counts_classes_are_groups_where_images_have_them():
    images, labels = np.arange(12).astype(str), np.arange(12) % 2
    right = (np.random.default_rng(0).random((3, 12)) < 0.7).astype(float)
    alone = Outcomes((0, 1, 2), images, right, labels)
    grouped = Outcomes((0, 1, 2), images, right, labels, np.char.add("g", (np.arange(12) // 4).astype(str)))
    for each, units in ((alone, "test images"), (grouped, "test groups")):
        assert units_of(Measured(each), "test images") == units
        assert units_of(Measured(balanced_accuracy(each)), "test images") == units


def test_validation_images_that_have_chosen_epochs_are_told_where_they_rank():
    best, last = {"weights": "best"}, {"weights": "last"}
    assert epochs_answer({"a": last, "b": {}}, "val") == []
    assert epochs_answer({"a": best, "b": last}, "test") == []
    (one,) = epochs_answer({"a": best, "b": last}, "val")
    assert "weights=best has chosen the epochs of a by the same validation images" in one
    (all_of_them,) = epochs_answer({"a": best, "b": best}, "val")
    assert "chosen each trial's epoch" in all_of_them
