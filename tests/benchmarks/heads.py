"""Seconds to solve each head for fifteen trials of 1,000 images and 1,280 features.

    python tests/benchmarks/heads.py [TRIALS] [IMAGES] [FEATURES] [CLASSES] [head=NAME ...]

The features are random: each class about a mean of its own, with 200 directions that all classes share, as those of a
network. As a job does it, trials are solved at once, one thread each.
"""

import sys
import time
from functools import partial

import torch

from graft.heads.best_solved_head import BestSolved
from graft.heads.head import Logistic, Ridge
from graft.heads.points_head import KNN, KernelRidge
from graft.heads.solved_head import LDA, SVM, NearestMean
from graft.solvers.trials_at_once import solve_all

HEADS = {each.__name__: each for each in (LDA, NearestMean, KNN, KernelRidge, SVM, Ridge, Logistic, BestSolved)}


def examples(trials: int, images: int, features: int, classes: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return each trial's features and labels."""
    random = torch.Generator().manual_seed(0)
    centres = 0.15 * torch.randn(classes, features, generator=random)
    shared = torch.randn(200, features, generator=random) / 200**0.5
    labels = torch.arange(images) % classes
    found = []
    for _ in range(trials):
        varied = torch.randn(images, 200, generator=random) @ shared
        found.append((centres[labels] + varied + 0.3 * torch.randn(images, features, generator=random), labels))
    return found


def solve(head: type, given: list[tuple[torch.Tensor, torch.Tensor]], trial: int) -> dict[str, torch.Tensor]:
    """Return the head of one trial."""
    return head.fit(*given[trial])


def main(words: list[str]) -> None:
    """Print a line for each head: the seconds on the clock, and those of all processors."""
    sizes = [int(word) for word in words if word.isdigit()]
    trials, images, features, classes = [*sizes, *(15, 1000, 1280, 10)[len(sizes) :]]
    names = [word.removeprefix("head=") for word in words if word.startswith("head=")] or list(HEADS)
    given = examples(trials, images, features, classes)
    for name in names:
        HEADS[name].fit(given[0][0][:50], given[0][1][:50])  # imports scikit-learn
        start, used = time.monotonic(), time.process_time()
        solve_all(partial(solve, HEADS[name], given), range(trials), max(images, features))
        elapsed, used = time.monotonic() - start, time.process_time() - used
        print(f"{name:12} {elapsed:6.1f} s, {used:6.1f} s of processors; {torch.get_num_threads()} threads", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
