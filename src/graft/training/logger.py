"""Loggers: the mean over trials inside a band from the lowest to the highest trial, and a job's final answer.

TensorBoard draws while a job trains, and gets the answer as a run below the job's, so that its HParams tab has the
answer's numbers alone. The other loggers get the whole job as it ends, from its result: a run of theirs then has all
trials, whether they trained side by side, one by one, in rounds or after an interruption.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from torch.utils.tensorboard.summary import hparams

MakeLogger = Callable[[Path], Logger]  # from the job's folder

EVENTS = "tensorboard"  # subfolder of a job's folder
ANSWER = "answer"  # name of a run within a job's, or a sweep's: what is known as it ends
IMAGES = ".images"  # end of the name of a file of events that has the training images
LINES = ("mean", "trials_highest", "trials_lowest")  # TensorBoard sorts them: the mean comes first


@dataclass(frozen=True)
class Final:
    """What a logger gets of a finished job, or of a sweep.

    Attributes:
        settings: knobs and choices, by key.
        numbers: the answer's, by tag.
        texts: in Markdown, by tag.
        pictures: bytes (height, width, 3), by tag.
        epoch: the last one.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)
    epoch: int = 0


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
    layout = {  # "Step" is all that TensorBoard writes at the axis
        f"{metric} (a step is an epoch)": {
            split: ["Margin", [f"{metric}/{split}/{line}" for line in (mean, lowest, highest)]] for split in splits
        }
        for metric in ("accuracy", "loss")
    }
    logger.experiment.add_custom_scalars(layout)
    return logger


def forget_curves(folder: Path) -> None:
    """Remove the curves of a job, and all else in its TensorBoard but the training images."""
    for path in (folder / EVENTS).rglob("*"):
        if path.is_file() and path.suffix != IMAGES:
            path.unlink()


def log_images(folder: Path, pictures: Mapping[str, np.ndarray]) -> None:
    """Give TensorBoard pictures of a job that begins; `forget_curves` lets them stay."""
    logger = tensorboard(folder, filename_suffix=IMAGES)
    _add(logger, Final(pictures=pictures))
    logger.finalize("success")


def log_answer(folder: Path, final: Final) -> None:
    """Give TensorBoard the answer of a job or a sweep, in place of an earlier one."""
    shutil.rmtree(_events(folder, ANSWER), ignore_errors=True)
    logger = tensorboard(folder, ANSWER)
    if final.numbers:
        logger.log_metrics(dict(final.numbers), step=final.epoch)
        # Without the list of keys that Lightning adds: TensorBoard would take one job's list for all jobs', where it
        # otherwise finds all of them, and shows those first in which the jobs differ.
        _, started, ended = hparams(dict(final.settings), {})
        writer = logger.experiment.file_writer
        assert writer is not None  # it is not closed
        for event in (started, ended):
            writer.add_summary(event)
    _add(logger, final)
    logger.finalize("success")


def log_job(logger: Logger, points: Mapping[int, Mapping[str, float]], final: Final) -> None:
    """Log a finished job.

    Args:
        logger: gets the job as one run, with its texts and pictures if it is one of those that take such.
        points: of the curves, by name, of each epoch.
        final: what is known as it ends; of a refit without numbers.
    """
    logger.log_hyperparams(dict(final.settings))
    for epoch in sorted(points):
        logger.log_metrics({"epoch": epoch, **points[epoch]}, step=epoch)
    if final.numbers:
        logger.log_metrics(dict(final.numbers), step=final.epoch)
    _add(logger, final)
    logger.finalize("success")


def takes_pictures(logger: Logger) -> bool:
    """Return whether a logger takes texts and pictures."""
    return isinstance(logger, TensorBoardLogger | WandbLogger | MLFlowLogger)


def _add(logger: Logger, final: Final) -> None:
    """Give a logger the texts and pictures, if it is one of those that take such."""
    if isinstance(logger, TensorBoardLogger):
        for tag, text in final.texts.items():
            logger.experiment.add_text(tag, text, final.epoch)
        for tag, picture in final.pictures.items():
            logger.experiment.add_image(tag, picture, final.epoch, dataformats="HWC")
    elif isinstance(logger, WandbLogger):
        for tag, text in final.texts.items():
            logger.log_text(tag, ["text"], [[text]])
        for tag, picture in final.pictures.items():
            logger.log_image(tag, [picture])
    elif isinstance(logger, MLFlowLogger):
        for tag, text in final.texts.items():
            logger.experiment.log_text(logger.run_id, text, f"{tag}.md")
        for tag, picture in final.pictures.items():
            logger.experiment.log_image(logger.run_id, picture, f"{tag}.png")


def tensorboard(folder: Path, part: str = "", **settings: Any) -> TensorBoardLogger:
    """Return a logger of TensorBoard's.

    Args:
        folder: the job's.
        part: name of a run within the job's, such as that of a part of the trials; "": the job's own.
        settings: of the writer.
    """
    version = str(_events(folder, part).relative_to(folder))
    return TensorBoardLogger(folder, name="", version=version, default_hp_metric=False, **settings)


def _events(folder: Path, part: str) -> Path:
    # TensorBoard calls a run by its folder, and shows the end of a long name: that has to be the job's.
    return folder / EVENTS / folder.resolve().name / part


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
