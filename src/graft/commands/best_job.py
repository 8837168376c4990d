"""The job that a folder stands for: its own, or the winner of a sweep, as its report ranks it."""

from pathlib import Path
from typing import NamedTuple

from graft.errors import GraftError
from graft.inference.model_file import MODEL, WEIGHTS
from graft.job_folder import RESULT
from graft.report.chosen_job import choose_job
from graft.results.metric import split_of


class Choice(NamedTuple):
    """A job's folder, and in words why it was chosen; empty if it is the only one."""

    folder: Path
    why: str


def best_job(folder: Path) -> Choice:
    """Return the job of a folder, or the winner of the jobs below it.

    Raises:
        GraftError: there is no finished job, several cannot be ranked, or the winner has no weights.
    """
    if not folder.is_dir() or (folder / MODEL).exists() or (folder / RESULT).exists():
        return Choice(folder, "")
    best, board, why = choose_job(folder)
    if why and not (best.folder / WEIGHTS).is_file():
        raise GraftError(
            f"the winner of {folder}, {best.label}, has no weights (keep_weights=none); run its command again with "
            f"keep_weights=best, or name another job, such as run={board.records[1].folder}"
        )
    by_test = split_of(board.metric) == "test"
    bias = ": the images that chose it make its accuracy look better than it is" if by_test else ""
    return Choice(best.folder, why and why + bias)
