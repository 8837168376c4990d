"""A job's folder: the names of its files, its result, and its lock."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from graft.files import locked_file
from graft.process import environment_rank

RESULT = "result.json"  # written last: a job whose folder has it is finished
HISTORY = "history.csv"
OUTCOMES = "outcomes.safetensors"  # what every trial said of every image; graft.run.outcome_writer describes it
IMAGES = "images.csv"  # the images that the job used, by number
FAILURE = "failure.json"  # in place of a result: why the job failed
TRIAL_RUN = "trial_run.json"  # in place of a result: that of a job which a trainer flag has cut short, and how
PRUNED = "pruned.json"  # in place of a result: when a search's pruner ended the job
ROUNDS = "rounds.json"  # in a sweep's folder: why jobs of trials=auto got no more trials
PLANNED = "planned.json"  # in the folder of a sweep over a grid: the folders of its jobs, from before the first runs
ROUND = "round.json"  # while a round of trials=auto runs: how many trials the job shall have
EXPORT, HUB = "export", "hub"  # folders in a job's own that `src/export.py` writes
SEARCH = "search.json"  # while a search's job runs: which trial of which Optuna study it is


def read_result(folder: Path, name: str = RESULT) -> dict[str, Any] | None:
    """Return the content of a job's `result.json`, or `trial_run.json`; None if it is missing or damaged."""
    try:
        result = json.loads((folder / name).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) else None


def finished_result(folder: Path, identity: str) -> dict[str, Any] | None:
    """Return a job's result if all its trials finished and its identity is this one; None otherwise."""
    result = read_result(folder)
    return result if result is not None and result.get("identity") == identity and is_finished(result) else None


def is_finished(result: Mapping[str, Any]) -> bool:
    """Return whether all trials of a job finished, and no trainer flag has cut them short."""
    return "trial_run" not in result and all(trial.get("error") is None for trial in result["trials"])


@contextmanager
def locked_job_folder(folder: Path) -> Iterator[None]:
    """Hold a job folder's lock: one process at a time runs the job, the others wait.

    Only rank 0 of a job's ranks takes it. The rank is read from the environment, because there is no process group yet.
    """
    with locked_file(folder / ".lock", f"the job {folder.name}") if environment_rank() == 0 else nullcontext():
        yield
