"""The job that `run=` names: a folder, a zip file of one, or the winner of a sweep."""

from pathlib import Path

from graft.errors import GraftError
from graft.inference.model_file import MODEL, WEIGHTS
from graft.job_folder import RESULT
from graft.process import tell


def named_job(run: Path) -> Path:
    """Return the folder or the zip file of the job that is meant, of a sweep the winner's folder, and say which.

    Raises:
        GraftError: there is no finished job, several cannot be ranked, or the winner has no weights.
    """
    if not run.is_dir() or (run / MODEL).exists() or (run / RESULT).exists():
        return run  # `load` says what is wrong with it
    from graft.report.chosen_job import choose_job  # pandas takes a second, which one job need not wait
    from graft.results.metric import split_of

    best, board, why = choose_job(run)
    if why and not (best.folder / WEIGHTS).is_file():
        raise GraftError(
            f"the winner of {run}, {best.label}, has no weights (keep_weights=none); run its command again with "
            f"keep_weights=best, or name another job, such as run={board.records[1].folder}"
        )
    if why:
        by_test = split_of(board.metric) == "test"
        tell(why + (": the images that chose it make its accuracy look better than it is" if by_test else ""))
    return best.folder
