"""TensorBoard curves: the mean over trials inside a band from the lowest to the highest trial."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers import TensorBoardLogger

EVENTS = "tensorboard"  # subfolder of a job's folder
LINES = ("mean", "trials_highest", "trials_lowest")  # TensorBoard sorts them: the mean comes first


def band(name: str, values: torch.Tensor) -> dict[str, float]:
    """Return one point of a curve, the mean, highest and lowest of the trials' values, (trials,)."""
    low, high = values.aminmax()
    points = torch.stack([values.mean(), high, low]).tolist()  # one transfer from the GPU
    return {f"{name}/{line}": point for line, point in zip(LINES, points, strict=True)}


def curves(folder: Path, splits: Sequence[str], part: str = "") -> TensorBoardLogger:
    """Return a logger whose Custom Scalars tab draws the band of each split.

    Args:
        folder: the job's folder.
        splits: the splits that are evaluated, such as `train` and `val`.
        part: name of a part of the trials; "": all.
    """
    logger = _logger(folder, part)
    mean, highest, lowest = LINES
    layout = {
        metric: {
            split: ["Margin", [f"{metric}/{split}/{line}" for line in (mean, lowest, highest)]] for split in splits
        }
        for metric in ("accuracy", "loss")
    }
    logger.experiment.add_custom_scalars(layout)
    return logger


def log_final(folder: Path, settings: Mapping[str, Any], accuracy: Mapping[str, Any]) -> None:
    """Fill TensorBoard's HParams tab.

    Args:
        folder: the job's folder.
        settings: knobs and choices.
        accuracy: on the test images, as `result.json` has it: mean, min and max of the trials, and ci95.
    """
    points = {f"test_accuracy/{line}": accuracy[key] for line, key in zip(LINES, ("mean", "max", "min"), strict=True)}
    ends = zip(("mean_ci95_low", "mean_ci95_high"), accuracy.get("ci95") or (), strict=False)  # none of a single trial
    points |= {f"test_accuracy/{name}": end for name, end in ends}
    logger = _logger(folder, "")
    logger.log_hyperparams(dict(settings), points)
    logger.finalize("success")


def _logger(folder: Path, part: str) -> TensorBoardLogger:
    # TensorBoard calls a run by its folder, and shows the end of a long name: that has to be the job's.
    version = "/".join(filter(None, (EVENTS, folder.resolve().name, part)))
    return TensorBoardLogger(folder, name="", version=version, default_hp_metric=False)
