"""What jobs have left in their folders in place of a result that can be ranked."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass
class Unranked:
    """What a job has left that is no result, and in words why."""

    name: str
    reason: str


class FailedJob(Unranked):
    """A job of which no trial finished."""


class TrialRun(Unranked):
    """A job that a trainer flag has cut short."""


class PrunedJob(Unranked):
    """A job that a search's pruner ended."""


class Refit(Unranked):
    """A job that was trained again on every labelled image, so that it has no accuracy of its own."""


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
