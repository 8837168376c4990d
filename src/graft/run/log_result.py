"""A finished job's numbers for the loggers that its configuration names."""

import logging
from pathlib import Path
from typing import Any

from graft.config.identity import result_config
from graft.run.history import JobHistory
from graft.run.plan import Plan
from graft.training.logger import log_final, log_job

log = logging.getLogger("graft")


def fill_hparams(plan: Plan, folder: Path, content: dict[str, Any]) -> None:
    """Fill TensorBoard's HParams tab: knobs, choices and final accuracies.

    Args:
        plan: the job's.
        folder: the job's.
        content: of its `result.json`.
    """
    if "tensorboard" in plan.loggers and content["accuracy"]:  # a refit has none
        log_final(folder, _settings(content), content["accuracy"])


def log_result(plan: Plan, folder: Path, history: JobHistory, content: dict[str, Any]) -> None:
    """Give a finished job to the loggers that do not log while it trains; one that fails takes nothing with it.

    Args:
        plan: the job's.
        folder: the job's.
        history: of all its trials.
        content: of its `result.json`, which is written.
    """
    for name, make in plan.loggers.items():
        if name == "tensorboard":
            continue
        try:
            log_job(make(folder), _settings(content), history.points(), content["accuracy"])
        except Exception as error:  # whatever a server or its package raises
            reason = " ".join(str(error).split())
            log.warning("logger=%s has not got %s, whose result is stored: %s", name, folder.name, reason)


def _settings(content: dict[str, Any]) -> dict[str, Any]:
    """Return knobs and choices, as loggers show them."""
    knobs = {
        key: value for key, value in result_config(content["config"]).items() if isinstance(value, str | int | float)
    }
    return {**knobs, **content["choices"]}
