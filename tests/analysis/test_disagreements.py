import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_predictions import folded, made

from graft.analysis.disagreements import disagreements


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_images_have_the_shares_of_both_jobs_and_the_largest_difference_first(seed: int):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, 15)
    one, other = (random.integers(0, 3, (4, 15)) for _ in range(2))
    table = disagreements(made(one, labels), made(other, labels))
    shares = np.stack([(one == labels).mean(0), (other == labels).mean(0)])
    assert set(table["number"]) == set(np.flatnonzero(shares[0] != shares[1]))
    for row in table.to_dict("records"):
        assert [row["first"], row["second"]] == shares[:, row["number"]].tolist()
        assert row["difference"] == pytest.approx(row["first"] - row["second"])
        assert row["trials"] == 4
    assert (np.diff(np.abs(table["difference"])) <= 1e-9).all()
    swapped = disagreements(made(other, labels), made(one, labels))
    assert swapped["number"].tolist() == table["number"].tolist()
    assert swapped["difference"].tolist() == (-table["difference"]).tolist()


def test_trials_that_one_job_lacks_do_not_count():
    labels = np.zeros(3, int)
    two, three = made([[0, 0, 1], [0, 1, 1]], labels), made([[0, 0, 0], [0, 1, 0], [1, 1, 1]], labels)
    table = disagreements(two, three)
    assert table["number"].tolist() == [2]
    assert table[["first", "second", "trials"]].to_numpy().tolist() == [[0, 1, 2]]


def test_jobs_of_other_images_or_folds_are_refused():
    first, second = made([[0, 1, 1]], [0, 1, 0]), made([[0, 1]], [0, 1])
    with pytest.raises(ValueError, match="not tested on the same images"):
        disagreements(first, second)
    labels = np.arange(6) % 2
    with pytest.raises(ValueError, match="not tested on the same images"):
        disagreements(folded(labels[None], labels, 3, 1), folded(labels[None], labels, 2, 1))


def test_folds_are_paired_by_trial():
    labels = np.arange(6) % 2
    table = disagreements(folded(labels[None], labels, 3, 1), folded(1 - labels[None], labels, 3, 1))
    assert table["difference"].tolist() == [1] * 6
    assert table["trials"].tolist() == [1] * 6


def test_trials_of_one_computation_stand_for_any_trial_of_the_other_job():
    labels = np.zeros(3, int)
    copies, others = made([[0, 1, 1]] * 4, labels, copies=True), made([[0, 0, 1], [0, 1, 1], [1, 0, 1]], labels)
    table = disagreements(copies, others)
    assert table[["number", "trials"]].to_numpy().tolist() == [[1, 3], [0, 3]]
    np.testing.assert_allclose(table[["first", "second"]].to_numpy(float), [[0, 2 / 3], [1, 2 / 3]])
    table = disagreements(others, copies)
    np.testing.assert_allclose(table[["first", "second"]].to_numpy(float), [[2 / 3, 0], [2 / 3, 1]])
    both = disagreements(copies, made([[0, 0, 1]] * 2, labels, copies=True))
    assert both[["number", "first", "second", "trials"]].to_numpy().tolist() == [[1, 0, 1, 1]]
