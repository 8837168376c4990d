"""What the rounds of a sweep with trials=auto have found, as the sweep keeps it in `rounds.json`."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from graft.files import write_text
from graft.job_folder import ROUNDS
from graft.results.job_files import read_json
from graft.statistics.margin import Verdict

VERDICTS = (Verdict.WORSE, Verdict.EQUAL)  # that end the trials of a job


@dataclass(frozen=True)
class EndedJob:
    """Why a job got no more trials.

    Attributes:
        verdict: worse than another job, or equal to it within the margin.
        than: that job's folder.
        trials: number of its trials at that time.
    """

    verdict: Verdict
    than: Path
    trials: int


@dataclass(frozen=True)
class SweepRounds:
    """The rounds of one sweep.

    Attributes:
        pairs: number of pairs of jobs among which the level of each round was divided.
        margin: `report.margin`, in [0, 1].
        ended: why no job gets more trials, in a sentence; "": a search, whose rounds are those of its batches.
        best: the folder of the best job at the end; None: jobs were not compared with each other.
        jobs: those that were ended before, by folder.
    """

    pairs: int
    margin: float = 0.0
    ended: str = ""
    best: Path | None = None
    jobs: dict[Path, EndedJob] = field(default_factory=dict)


def write_rounds(folder: Path, rounds: SweepRounds) -> None:
    """Write what a sweep's rounds have found into its folder; jobs are relative to it, so that it may be moved."""

    def name(job: Path) -> str:
        return Path(os.path.relpath(job, folder.resolve())).as_posix()

    jobs = {name(job): {**asdict(ended), "than": name(ended.than)} for job, ended in rounds.jobs.items()}
    best = None if rounds.best is None else name(rounds.best)
    write_text(folder / ROUNDS, json.dumps({**asdict(rounds), "best": best, "jobs": jobs}, indent=2) + "\n")


def add_rounds(folder: Path, rounds: SweepRounds) -> None:
    """Add what the rounds of a search's batch have found to what those before have."""
    with suppress(ValueError, OSError):  # there are none, or they are damaged
        earlier = read_rounds(folder)
        rounds = replace(rounds, best=rounds.best or earlier.best, jobs={**earlier.jobs, **rounds.jobs})
    write_rounds(folder, replace(rounds, ended=""))


def read_rounds(folder: Path) -> SweepRounds:
    """Read what a sweep's rounds have found.

    Raises:
        ValueError: the file is damaged.
        OSError: it cannot be read.
    """
    content = read_json(folder / ROUNDS)
    pairs, margin, ended, best, jobs = (content.get(key) for key in ("pairs", "margin", "ended", "best", "jobs"))
    if not isinstance(pairs, int) or isinstance(pairs, bool) or pairs < 0:
        raise ValueError("it has no number of pairs")
    if not isinstance(margin, int | float) or not 0 <= margin < 1:
        raise ValueError("its margin is no fraction of 1")
    if not isinstance(ended, str) or not isinstance(best, str | None) or not isinstance(jobs, dict):
        raise ValueError("it does not say how the rounds ended")
    found = {folder / name: _ended_job(folder, name, job) for name, job in jobs.items()}
    return SweepRounds(pairs, float(margin), ended, None if best is None else folder / best, found)


def _ended_job(folder: Path, name: str, job: Any) -> EndedJob:
    if not isinstance(job, Mapping) or job.get("verdict") not in VERDICTS or not isinstance(job.get("than"), str):
        raise ValueError(f"its job {name} is neither worse than another nor equal to it")
    if not isinstance(job.get("trials"), int):
        raise ValueError(f"its job {name} has no number of trials")
    return EndedJob(Verdict(job["verdict"]), folder / job["than"], job["trials"])


def find_rounds(roots: Iterable[Path], jobs: Iterable[Path]) -> tuple[dict[Path, SweepRounds], dict[Path, str]]:
    """Find what the rounds of sweeps have found.

    Args:
        roots: folders that are searched.
        jobs: the folders of jobs in them.

    Returns:
        It by the sweep's folder, which contains a job and is in a searched one, and why files are damaged.
    """
    tops = [root.resolve() for root in roots]
    above = {parent for job in jobs for parent in job.parents if any(parent.is_relative_to(top) for top in tops)}
    found, damaged = {}, {}
    for folder in sorted(each for each in above if os.path.lexists(each / ROUNDS)):
        try:
            found[folder] = read_rounds(folder)
        except (ValueError, OSError) as error:
            damaged[folder / ROUNDS] = str(error)
    return found, damaged
