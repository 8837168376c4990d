"""Curves in TensorBoard: the trials' mean inside the band from the lowest to the highest."""

from collections.abc import Sequence
from pathlib import Path

import torch
from pytorch_lightning.loggers import TensorBoardLogger


def band(name: str, values: torch.Tensor) -> dict[str, float]:
    """Return a curve's point: the trials' mean, lowest and highest."""
    low, high = values.aminmax()
    mean, low, high = torch.stack([values.mean(), low, high]).tolist()
    return {f"{name}/mean": mean, f"{name}/low": low, f"{name}/high": high}


def curves(folder: Path, version: str, splits: Sequence[str]) -> TensorBoardLogger:
    """Return a logger whose Custom Scalars tab draws each split's mean inside its band."""
    logger = TensorBoardLogger(folder, name="", version=version)
    layout = {
        metric: {
            split: ["Margin", [f"{metric}/{split}/{line}" for line in ("mean", "low", "high")]] for split in splits
        }
        for metric in ("accuracy", "loss")
    }
    logger.experiment.add_custom_scalars(layout)
    return logger
