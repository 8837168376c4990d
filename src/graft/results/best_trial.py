"""The best of a job's trials: by validation accuracy, or else by the training loss, never by the test images.

A head that is solved at once has the training loss that its penalty leaves, and each trial chooses its own: the lowest
is that of the weakest penalty. So without validation images the first trial stands for all of them. (Of 15 trials of
the bundled digits, the one with the lowest training loss was on average 12th by test loss with `logistic`, 10th with
`ridge`, 7th with `kernel_ridge`, in four jobs each; 2026-11-28.)
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from graft.results.settings import is_solved


def best_trial(
    results: Mapping[int, Mapping[str, Any]], train_loss: Callable[[int], float], config: Mapping[str, Any]
) -> int:
    """Return the place of the best trial.

    Args:
        results: each trial's final metrics by its place in the job, without trials that failed.
        train_loss: returns a trial's training loss in the epoch whose weights it ends with.
        config: the job's.
    """
    by = best_by(results.values(), config)
    if by == "val_accuracy":
        return max(results, key=lambda place: results[place]["val_accuracy"])
    return min(results) if by == "first" else min(results, key=train_loss)


def best_by(results: Iterable[Mapping[str, Any]], config: Mapping[str, Any]) -> str:
    """Return what the best trial of a job is chosen by: `val_accuracy`, or else `train_loss` or `first`."""
    if any("val_accuracy" in result for result in results):
        return "val_accuracy"
    return "first" if is_solved(config) else "train_loss"
