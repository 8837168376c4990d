"""Shortcuts: facts about files that tell the classes apart, and no false alarms."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from graft.reading.class_folders import list_folder
from graft.reading.shortcuts import _groups, _half, cheap_facts, in_words, judged, told_by, warn_of_shortcuts


@pytest.mark.parametrize(("num_classes", "each"), [(2, 50), (10, 30), (3, 1000), (40, 10)])
def test_random_values_tell_nothing(num_classes: int, each: int):
    random, labels = np.random.default_rng(0), np.repeat(np.arange(num_classes), each)
    told = [told_by("width", random.random(len(labels)), labels, num_classes, 7) for _ in range(100)]
    assert not any(one.shortcut is not None for one in told)
    assert sum(one.above_chance for one in told) <= 2
    assert np.mean([one.accuracy for one in told]) == pytest.approx(1 / num_classes, abs=0.03)


def test_a_fact_of_one_class_among_many_is_found_and_named():
    labels = np.repeat(np.arange(10), 50)
    told = told_by("suffix", (labels == 3).astype(int), labels, 10, 7)
    assert (told.shortcut, told.found, told.mistaken) == (3, 1.0, 0.0)
    assert in_words(told, list("abcdefghij"), 10) == (
        "the suffix alone tells d from the other classes (100 % of its files, 0 % of the others; of all classes 20 %, "
        "chance 10)"
    )


def test_constant_values_and_few_files_are_no_shortcut():
    assert told_by("width", np.zeros(100), np.repeat([0, 1], 50), 2, 7).shortcut is None
    few = told_by("width", np.repeat([0, 1], 4), np.repeat([0, 1], 4), 2, 7)
    assert (few.accuracy, few.shortcut) == (1.0, None)  # four files of each class may be a chance


def test_what_follows_from_the_picture_has_to_tell_more():
    labels = np.repeat([0, 1], 1000)
    predictions = labels.copy()
    predictions[::8] = 1 - predictions[::8]  # 7 of 8 are right
    assert judged("width", predictions, labels, 2, 7).shortcut is not None
    assert judged("size of the file", predictions, labels, 2, 7).shortcut is None


def test_facts_of_patients_are_no_shortcut_to_their_classes():
    random, alarms = np.random.default_rng(0), 0
    for _ in range(50):
        patients = np.repeat(np.arange(12), 30)
        labels, values = random.permutation(np.repeat([0, 1], 6))[patients], random.integers(0, 10, 12)[patients]
        alarms += told_by("width", values, labels, 2, 7).shortcut is not None
        told = told_by("width", values, labels, 2, 7, patients)
        assert (told.shortcut, told.above_chance) == (None, False)
    assert alarms > 20  # where files count as if each were a patient's
    telling = told_by("width", np.repeat([0, 1], 300), np.repeat([0, 1], 300), 2, 7, np.arange(600) // 10)
    assert (telling.accuracy, telling.shortcut) == (1.0, 0)


def test_files_of_a_single_group_tell_nothing():
    told = told_by("size of the file", np.arange(40), np.repeat([0, 1], 20), 2, 7, np.zeros(40, dtype=int))
    assert (told.shortcut, told.accuracy, told.above_chance) == (None, 0.5, False)


def test_groups_are_counted_as_by_hand():
    labels, groups = np.array([0, 1, 0, 2, 2, 1]), np.array([9, 9, 4, 4, 5, 6])
    own, others = _groups(labels, 4, groups)
    for label in range(4):
        assert own[label] == len(set(groups[labels == label]))
        assert others[label] == len(set(groups[labels != label]))
    half = _half(labels, groups)
    assert all(len(set(half[groups == group])) == 1 for group in groups)


def test_the_limit_is_newcombe_s():
    own, others, n, m = 0.9, 0.2, 40, 60
    level = float(1 - 2 * 0.01 / (2 * 3 * 2))
    low = stats.binomtest(36, n).proportion_ci(level, "wilson").low
    high = stats.binomtest(12, m).proportion_ci(level, "wilson").high
    limit = own - others - ((own - low) ** 2 + (high - others) ** 2) ** 0.5
    labels = np.repeat([0, 1], [n, m])
    predictions = np.concatenate([np.repeat([0, 1], [36, 4]), np.repeat([0, 1], [12, 48])])
    assert (judged("width", predictions, labels, 2, 3).shortcut is not None) == (limit >= 0.5)
    assert limit < 0.5  # beyond doubt it is less than the difference, 0.7


def write(root: Path, sizes: dict[str, tuple[int, int]], suffix: dict[str, str]) -> None:
    random = np.random.default_rng(0)
    for name, size in sizes.items():
        for index in range(40):
            path = root / name / f"{index:02}{suffix[name]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)


def test_a_folder_whose_classes_have_different_sizes_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    write(tmp_path / "a", {"cat": (8, 8), "dog": (8, 12)}, {"cat": ".bmp", "dog": ".bmp"})
    warn_of_shortcuts(list_folder(str(tmp_path / "a"), False).files, "COMMAND")
    assert "alone tells the classes apart (100 %, chance 50) and 2 other facts: COMMAND says more" in caplog.text
    caplog.clear()
    files = list_folder(str(tmp_path / "a"), False).files
    warn_of_shortcuts(files, "COMMAND", [f"{file.class_name}{int(file.path.stem) % 4}" for file in files])
    assert "alone tells" not in caplog.text  # of four patients of each class
    caplog.clear()
    write(tmp_path / "b", {"cat": (8, 8), "dog": (8, 8)}, {"cat": ".bmp", "dog": ".bmp"})
    files = list_folder(str(tmp_path / "b"), False).files
    caplog.clear()
    warn_of_shortcuts(files, "COMMAND")
    assert caplog.text == ""
    assert cheap_facts(files) == {}
