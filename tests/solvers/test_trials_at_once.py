import threading

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from graft.errors import GraftError
from graft.solvers import trials_at_once
from graft.solvers.trials_at_once import solve_all


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_trials_are_solved_at_once_with_one_thread_each_and_keep_their_order(two_threads: None):
    together = threading.Barrier(2, timeout=30)  # breaks unless both trials are in it

    def solve(trial: int) -> tuple[int, int, int]:
        together.wait()
        blas = max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
        return trial, torch.get_num_threads(), blas

    assert solve_all(solve, [0, 1], size=10) == [(0, 1, 1), (1, 1, 1)]
    assert torch.get_num_threads() == 2


def test_trials_that_need_much_memory_are_solved_one_by_one_with_all_threads(
    two_threads: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(trials_at_once, "WORKING_MEMORY", 6 * 8 * 10**2)
    assert solve_all(lambda trial: torch.get_num_threads(), range(3), size=10) == [2, 2, 2]


def test_an_error_of_a_trial_is_raised_and_threads_are_as_before(two_threads: None):
    def solve(trial: int) -> np.ndarray:
        if trial == 1:
            raise GraftError("no training image has the classes [2]")
        return np.zeros(1)

    with pytest.raises(GraftError, match="classes"):
        solve_all(solve, range(3), size=10)
    assert torch.get_num_threads() == 2
