"""What jobs have left in their folders in place of a result that can be ranked."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from graft.errors import GraftError
from graft.job_folder import FAILURE, PLANNED, PRUNED, RESULT, TRIAL_RUN
from graft.results.job_files import read_json

JOB_FILES = (RESULT, FAILURE, TRIAL_RUN, PRUNED)
MAX_NAME = 1000  # characters of a planned job's


@dataclass
class Unranked:
    """What a job has left that is no result, and in words why."""

    name: str
    reason: str


class FailedJob(Unranked):
    """A job of which no trial finished."""


@dataclass
class UnavailableJob(FailedJob):
    """A job whose backbone has published weights that could not be had.

    Attributes:
        backbone: as `backbone_of` returns it.
    """

    backbone: str


class TrialRun(Unranked):
    """A job that a trainer flag has cut short."""


class PrunedJob(Unranked):
    """A job that a search's pruner ended."""


class Refit(Unranked):
    """A job that was trained again on every labeled image, so that it has no accuracy of its own."""


class DamagedFile(Unranked):
    """A file that cannot be read, or whose content is no result."""


def reasons(jobs: Iterable[object], kind: type[Unranked], without: Collection[str] = ()) -> dict[str, str]:
    """Return the reasons of one kind by name.

    Args:
        jobs: of any kinds.
        kind: the one that is meant.
        without: names that are left out.
    """
    return {job.name: job.reason for job in jobs if isinstance(job, kind) and job.name not in without}


def failed_job(name: str, content: Mapping[str, Any]) -> FailedJob:
    """Return the job that a `failure.json` is of.

    Raises:
        KeyError: it says no error.
    """
    reason = str(content["error"]).encode(errors="backslashreplace").decode()  # half letters of names that are no UTF-8
    unavailable = content.get("unavailable")
    return UnavailableJob(name, reason, unavailable) if isinstance(unavailable, str) else FailedJob(name, reason)


def skipped_jobs(jobs: Iterable[object], finished: Collection[str]) -> dict[str, str]:
    """Return the reasons, by name, of jobs whose weights could not be had, where another backbone could.

    Args:
        jobs: of any kinds.
        finished: the backbones of finished jobs.
    """
    absent = [job for job in jobs if isinstance(job, UnavailableJob)]
    return {job.name: job.reason for job in absent if any(other != job.backbone for other in finished)}


def existing(folders: Sequence[Path]) -> list[Path]:
    """Return the folders' full paths.

    Raises:
        GraftError: one of them does not exist.
    """
    absent = [folder for folder in folders if not folder.is_dir()]
    if absent and absent[0].exists():
        raise GraftError(f"{absent[0]} is a file, not a folder; try its folder, {absent[0].parent}")
    if absent:
        raise GraftError(f"there is no folder {absent[0]}; try outputs, or the folder of one sweep")
    return [folder.resolve() for folder in folders]


def job_files(folder: Path) -> Iterator[Path]:
    """Find the files below a folder by which a job, or a sweep, is known; of linked folders, only those of jobs."""
    for parent, subfolders, names in os.walk(folder):
        linked = [Path(parent, name) for name in subfolders if Path(parent, name).is_symlink()]
        yield from (Path(parent, name) for name in (*JOB_FILES, PLANNED) if name in (*names, *subfolders))
        yield from (path / name for path in linked for name in JOB_FILES if (path / name).is_file())


def unfinished_jobs(sweeps: Iterable[Path], root: Path) -> dict[str, str]:
    """Return the jobs that sweeps planned and that have left no file, by name, with what can be done.

    Args:
        sweeps: folders that have a list of planned jobs.
        root: names are relative to it.
    """
    planned = [folder / name for folder in sweeps for name in _planned(folder)]
    return {
        job.relative_to(root).as_posix(): "the same command goes on with it"
        for job in planned
        if not any(os.path.lexists(job / name) for name in JOB_FILES)
    }


def _planned(folder: Path) -> list[str]:
    """Return the names of a sweep's planned jobs; those that are no text of one line, or lead elsewhere, do not count.

    A damaged list is as none: jobs that have run are found without it.
    """
    try:
        jobs = read_json(folder / PLANNED).get("jobs")
    except (ValueError, OSError):
        return []
    names = [name for name in jobs if isinstance(name, str)] if isinstance(jobs, list) else []
    return [
        name
        for name in dict.fromkeys(names)
        if len(name) <= MAX_NAME and name.isprintable() and _is_below(PurePath(name))
    ]


def _is_below(path: PurePath) -> bool:
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts
