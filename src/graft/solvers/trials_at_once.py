"""Several trials' heads solved at once, one thread each: eigenvectors and small products gain little from two."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Head = TypeVar("Head")

WORKING_MEMORY = 2**31  # bytes at most of all trials that are solved at once, but for the first
SQUARES = 6  # matrices of (images, images) or (features, features) in double precision that a head has at a time


def solve_all(solve: Callable[[int], Head], trials: Sequence[int], size: int) -> list[Head]:
    """Return the head of each trial, in their order.

    As many are solved at once as PyTorch has threads here, if their memory allows.

    Args:
        solve: finds the head of a trial.
        trials: by their places.
        size: images or features of the largest trial, whichever are more.
    """
    import scipy.linalg  # noqa: F401  brings a BLAS of its own, which can be limited only once it is loaded
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    workers = min(threads, len(trials), max(1, WORKING_MEMORY // (SQUARES * 8 * size**2)))
    each = threads // workers
    try:
        with (
            threadpool_limits(each),
            ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(each,)) as pool,
        ):
            return list(pool.map(solve, trials))
    finally:
        torch.set_num_threads(threads)
