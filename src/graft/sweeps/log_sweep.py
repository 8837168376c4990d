"""A sweep's answer in TensorBoard, as a run of the sweep's own beside those of its jobs."""

import logging
import shlex
from pathlib import Path

from omegaconf import DictConfig

from graft.training.logger import Final, log_answer

log = logging.getLogger("graft")


def log_sweep(config: DictConfig) -> None:
    """Give TensorBoard the table and the sentences of a sweep's report, its `leaderboard.md`, and what was typed."""
    folder = Path(config.hydra.sweep.dir)
    report = folder / "leaderboard.md"
    if "tensorboard" not in config.logger or not report.exists():
        return
    typed = shlex.join(["python", "src/train.py", "-m", *config.hydra.overrides.task])
    try:
        log_answer(folder, Final(texts={"answer": report.read_text("utf-8"), "command": f"```\n{typed}\n```"}))
    except OSError as error:  # the report itself is written
        log.warning("logger=tensorboard has not got the answer of %s: %s", folder.name, error)
