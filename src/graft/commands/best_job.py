"""The job that a folder stands for: its own, or the winner of a sweep, as its report ranks it."""

from pathlib import Path
from typing import NamedTuple

from graft.errors import GraftError
from graft.inference.model_file import MODEL, WEIGHTS
from graft.job_folder import RESULT
from graft.report.leaderboard import rank_jobs
from graft.results.baseline import common_metric
from graft.results.metrics import split_of
from graft.results.records import read_records


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
    records = read_records([folder])
    if not records.finished:
        failed = f" ({len(records.failed)} failed)" if records.failed else ""
        raise GraftError(f"run={folder} has no finished job{failed}; try outputs/NAME of a job or a sweep")
    board = rank_jobs(records.finished, metric=common_metric([record.config for record in records.finished]))
    best = board.records[0]
    if len(board.records) == 1:
        return Choice(best.folder, "")
    if board.comparison is None:
        raise GraftError(f"run={folder} has jobs that are {board.order}; name one, such as run={best.folder}")
    if not (best.folder / WEIGHTS).is_file():
        raise GraftError(
            f"the winner of {folder}, {best.label}, has no weights (keep_weights=none); run its command again with "
            f"keep_weights=best, or name another job, such as run={board.records[1].folder}"
        )
    mean = best.spread(board.metric).mean
    by_test = split_of(board.metric) == "test"
    bias = ": the images that chose it make its accuracy look better than it is" if by_test else ""
    value = board.measure.unit.value(mean)
    why = f"{best.label} won among {len(board.records)} jobs, {board.order} ({value}){bias}"
    return Choice(best.folder, why)
