"""Folds of an audit: no group is parted, and each class is in all folds if it has enough groups."""

import numpy as np
import pytest

from graft.audit.held_out import folds_of, groups_of_classes


@pytest.mark.parametrize("mixed", [True, False])
def test_no_fold_parts_a_group_and_each_has_all_classes(mixed: bool):
    together = np.repeat(np.arange(20), 6)
    labels = np.tile([0, 0, 0, 1, 1, 2], 20) if mixed else together % 3
    fold = folds_of(labels, together, 5)
    assert all(len(np.unique(fold[together == group])) == 1 for group in range(20))
    assert sorted(set(fold)) == [0, 1, 2, 3, 4]
    assert all(set(labels[fold == number]) == {0, 1, 2} for number in range(5))
    assert (folds_of(labels, together, 5) == fold).all()


def test_a_group_of_two_classes_counts_for_both():
    labels, together = np.array([0, 1, 0, 0, 3]), np.array([7, 7, 7, 2, 2])
    assert groups_of_classes(labels, together).tolist() == [2, 1, 0, 1]
    assert folds_of(labels, np.zeros(5, int), 5).tolist() == [0] * 5
    assert len(set(folds_of(labels, together, 5))) == 2
