"""TensorBoard curves: the mean over trials inside a band from the lowest to the highest trial."""

from collections.abc import Sequence
from pathlib import Path

import torch
from pytorch_lightning.loggers import TensorBoardLogger


def band(name: str, values: torch.Tensor) -> dict[str, float]:
    """Return one point of a curve, the mean, lowest and highest of the trials' values, (trials,)."""
    low, high = values.aminmax()
    mean, low, high = torch.stack([values.mean(), low, high]).tolist()  # one transfer from the GPU
    return {f"{name}/mean": mean, f"{name}/low": low, f"{name}/high": high}


def curves(folder: Path, version: str, splits: Sequence[str]) -> TensorBoardLogger:
    """Return a logger whose Custom Scalars tab draws the band of each split.

    Args:
        folder: the job's folder.
        version: subfolder for the events.
        splits: the splits that are evaluated, such as `train` and `val`.
    """
    logger = TensorBoardLogger(folder, name="", version=version)
    layout = {
        metric: {
            split: ["Margin", [f"{metric}/{split}/{line}" for line in ("mean", "low", "high")]] for split in splits
        }
        for metric in ("accuracy", "loss")
    }
    logger.experiment.add_custom_scalars(layout)
    return logger
