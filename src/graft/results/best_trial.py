"""The best of a job's trials: by validation accuracy, or else by the training loss, never by the test images."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any


def best_trial(results: Mapping[int, Mapping[str, Any]], train_loss: Callable[[int], float]) -> int:
    """Return the place of the best trial.

    Args:
        results: each trial's final metrics by its place in the job, without trials that failed.
        train_loss: returns a trial's training loss in the epoch whose weights it ends with.
    """
    if best_by(results.values()) == "val_accuracy":
        return max(results, key=lambda place: results[place]["val_accuracy"])
    return min(results, key=train_loss)


def best_by(results: Iterable[Mapping[str, Any]]) -> str:
    """Return what the best trial of a job is chosen by: `val_accuracy`, or else `train_loss`."""
    return "val_accuracy" if any("val_accuracy" in result for result in results) else "train_loss"
