"""What the loggers of a job get besides its curves: training images as it begins, and the answer as it ends."""

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from graft.logs.answer_pictures import answer_pictures
from graft.logs.logged_answer import answer_numbers, settings, texts
from graft.logs.sample_images import sample_images
from graft.results.outcomes import StoredOutcomes
from graft.run.history import JobHistory
from graft.run.plan import Plan
from graft.training.logger import Final, log_answer, log_images, log_job, takes_pictures

log = logging.getLogger("graft")


@contextmanager
def _warned(name: str, what: str) -> Iterator[None]:
    """Let a logger that fails take nothing with it."""
    try:
        yield
    except Exception as error:  # whatever a server or its package raises
        log.warning("logger=%s has not got %s: %s", name, what, " ".join(str(error).split()))


def log_begin(plan: Plan, folder: Path) -> None:
    """Give TensorBoard the training images of a job that begins."""
    if "tensorboard" in plan.loggers:
        with _warned("tensorboard", f"training images of {folder.name}"):
            log_images(folder, _samples(plan))


def log_result(
    plan: Plan,
    folder: Path,
    history: JobHistory,
    content: dict[str, Any],
    outcomes: StoredOutcomes | None,
) -> None:
    """Give a finished job to its loggers; one that fails takes nothing with it. A refit has no outcomes."""
    if not plan.loggers:
        return
    points = history.points()
    numbers = answer_numbers(content, outcomes) if content["accuracy"] else {}
    plain = Final(settings(content), numbers, epoch=max(points, default=0))

    @functools.cache
    def shown() -> Final:
        pictures: dict[str, np.ndarray] = {}
        with _warned("tensorboard", f"pictures of {folder.name}"):
            pictures = {} if outcomes is None else answer_pictures(content, outcomes, plan.data.images)
        return replace(plain, texts=texts(content, folder), pictures=pictures)

    for name, make in plan.loggers.items():
        with _warned(name, f"{folder.name}, whose result is stored"):
            if name == "tensorboard":
                log_answer(folder, shown())
                continue
            logger = make(folder)
            final = plain
            if takes_pictures(logger):
                final = replace(shown(), pictures={**_samples(plan), **shown().pictures})
            log_job(logger, points, final)


def _samples(plan: Plan) -> dict[str, np.ndarray]:
    mixed = bool(plan.regularize.mixup or plan.regularize.cutmix)
    return sample_images(plan.datamodule, plan.preprocess, plan.first_trial, mixed)
