"""The job that `run=` names: a folder, a zip file of one, or the winner of a sweep."""

from pathlib import Path

from graft.inference.model_file import MODEL
from graft.process import tell


def named_job(run: Path) -> Path:
    """Return the folder or the zip file of the job that is meant, of a sweep the winner's folder, and say which.

    Raises:
        GraftError: there is no such job, or it has no weights.
    """
    if run.is_file() or (run / MODEL).exists():
        return run
    from graft.commands.best_job import best_job  # pandas and matplotlib take a second, which one job need not wait

    choice = best_job(run)
    if choice.why:
        tell(choice.why)
    return choice.folder
