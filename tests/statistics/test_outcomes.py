from typing import Any

import numpy as np
import pytest

from graft.statistics.accuracies import Measured
from graft.statistics.outcomes import Outcomes, aligned, of_rarest


def outcomes(seeds: tuple[int, ...], images: str, values: object, **more: Any) -> Outcomes:
    return Outcomes(seeds, np.array(list(images)), np.asarray(values, dtype=float), **more)


def paired(*configurations: Outcomes) -> list[Outcomes]:
    found = aligned(configurations)
    assert found is not None
    return found


def test_two_configurations_are_paired_by_seed_and_by_image():
    one = outcomes((0, 1, 2), "abc", [[1, 2, 3], [4, 5, 6], [7, 8, 9]], labels=np.array([0, 1, 2]))
    other = outcomes((2, 0, 5), "bca", [[8, 9, 7], [2, 3, 1], [0, 0, 0]], groups=np.array(["x", "y", "z"]))
    first, second = paired(one, other)
    assert first.seeds == second.seeds == (0, 2)
    assert first.images.tolist() == second.images.tolist() == ["a", "b", "c"]
    assert first.values.tolist() == second.values.tolist() == [[1, 2, 3], [7, 8, 9]]
    assert first.labels is not None
    assert second.groups is not None
    assert first.labels.tolist() == [0, 1, 2]
    assert second.groups.tolist() == ["z", "x", "y"]


def test_images_of_the_same_content_are_paired_in_their_order():
    first, second = paired(outcomes((0,), "aab", [[1, 2, 3]]), outcomes((0,), "baa", [[3, 1, 2]]))
    assert first.values.tolist() == second.values.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("ab", "a"), ("a", "ab"), ("ab", "aa")])
def test_unlike_images_cannot_be_paired(first: str, second: str):
    one, other = (outcomes((0,), images, np.ones((1, len(images)))) for images in (first, second))
    assert aligned([one, other]) is None


def test_without_common_seeds_no_trial_is_left():
    first, _ = paired(outcomes((0,), "a", [[1]]), outcomes((1,), "a", [[1]]))
    assert first.values.shape == (0, 1)


def test_arrays_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"values have the shape \(1, 2\), expected \(trials, images\) \(1, 1\)"):
        outcomes((0,), "a", [[1, 1]])
    with pytest.raises(ValueError, match="labels have the shape"):
        outcomes((0,), "a", [[1]], labels=np.array([1, 2]))


def test_measured_accuracies_are_the_means_over_the_tested_images():
    assert Measured(outcomes((4, 7), "abc", [[1, 0, np.nan], [1, 1, 0]])) == {4: 0.5, 7: pytest.approx(2 / 3)}


def test_one_unit_of_the_rarest_class_is_worth_one_of_so_many():
    labels = np.array([0, 0, 0, 0, 7, 7])
    assert of_rarest(outcomes((0,), "abcdef", [[1] * 6], labels=labels)) == 2 * (2 + 2)
    groups = np.array(["x", "x", "y", "z", "z", "z"])
    assert of_rarest(outcomes((0,), "abcdef", [[1] * 6], labels=labels, groups=groups)) == 2 * (1 + 2)
