"""Loggers: the mean over trials inside a band from the lowest to the highest trial, and a job's final answer.

TensorBoard draws while a job trains. The other loggers get the whole job as it ends, from its result: a run of theirs
then has all trials, whether they trained side by side, one by one, in rounds or after an interruption.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

MakeLogger = Callable[[Path], Logger]  # from the job's folder

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
    logger = tensorboard(folder, part)
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
    logger = tensorboard(folder)
    logger.log_hyperparams(dict(settings), points)
    logger.finalize("success")


def log_job(
    logger: Logger,
    settings: Mapping[str, Any],
    points: Mapping[int, Mapping[str, float]],
    accuracy: Mapping[str, Any],
) -> None:
    """Log a finished job.

    Args:
        logger: gets the job as one run.
        settings: knobs and choices.
        points: of the curves, by name, of each epoch.
        accuracy: as in `result.json`: mean, min and max of the trials, and the interval of the mean; of a refit empty.
    """
    logger.log_hyperparams(dict(settings))
    for epoch in sorted(points):
        logger.log_metrics(dict(points[epoch]), step=epoch)
    if accuracy:
        final = zip(LINES, (accuracy["mean"], accuracy["max"], accuracy["min"]), strict=True)
        interval = zip(("interval_low", "interval_high"), accuracy["ci95"] or (), strict=False)
        answer = {f"test_accuracy/{name}": value for name, value in (*final, *interval)}
        logger.log_metrics(answer, step=max(points, default=0))
    logger.finalize("success")


def tensorboard(folder: Path, part: str = "") -> TensorBoardLogger:
    """Return the logger of TensorBoard's curves, of a part of the trials or of all."""
    # TensorBoard calls a run by its folder, and shows the end of a long name: that has to be the job's.
    version = "/".join(filter(None, (EVENTS, folder.resolve().name, part)))
    return TensorBoardLogger(folder, name="", version=version, default_hp_metric=False)


def csv(folder: Path) -> CSVLogger:
    """Return the logger of `csv/metrics.csv`, a row for each epoch, in place of an earlier one."""
    return CSVLogger(folder, name="", version="csv")


def wandb(folder: Path, project: str = "graft", offline: bool = False) -> WandbLogger:
    """Return a logger of Weights & Biases, whose run has the job's name.

    Args:
        folder: the job's; the run's files are in it.
        project: name of the project.
        offline: whether the run stays there.
    """
    return _Run(folder.resolve().name, folder, offline=offline, project=project, version=None)


class _Run(WandbLogger):
    """A run that ends with its job; the next job of the process would otherwise write into it."""

    def finalize(self, status: str) -> None:
        super().finalize(status)
        self.experiment.finish()


def mlflow(folder: Path, experiment: str = "graft", tracking_uri: str | None = None) -> MLFlowLogger:
    """Return a logger of MLflow, whose run has the job's name.

    Args:
        folder: the job's.
        experiment: name of the experiment.
        tracking_uri: where runs are stored; None: MLFLOW_TRACKING_URI, else `mlflow.db` in the working directory.
    """
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    return MLFlowLogger(experiment, folder.resolve().name, uri)
