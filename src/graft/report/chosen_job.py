"""The job that a folder stands for, the winner where it has several, and how accurate it was."""

from pathlib import Path
from typing import Any, NamedTuple

from graft.errors import GraftError
from graft.job_folder import FAILURE, RESULT
from graft.nouns import few
from graft.report.leaderboard import Leaderboard, rank_jobs
from graft.report.verdicts import claim_of
from graft.results.baseline import common_metric
from graft.results.metric import in_words, split_of
from graft.results.records import Record, read_records


class ChosenJob(NamedTuple):
    """A job, all jobs of its folder, and in words why it was chosen; empty if it is the only one."""

    record: Record
    board: Leaderboard
    why: str


def choose_job(folder: Path) -> ChosenJob:
    """Return the only finished job of a folder, or the winner of those below it.

    Raises:
        GraftError: there is no finished job, or several cannot be ranked.
    """
    records = read_records([folder])
    if not records.finished:
        first = "".join(f", such as {name}: {why}" for name, why in list(records.failed.items())[:1])
        failed = f" ({len(records.failed)} failed{first})" if first else ""
        damaged = "".join(f"; left out {name}: {reason}" for name, reason in records.damaged.items())
        jobs = [folder / name for name in records.failed]
        earlier = next((job for job in jobs if all((job / name).exists() for name in (FAILURE, RESULT))), None)
        advice = f"run={earlier}, whose earlier result is left" if earlier else "outputs/NAME of a job or a sweep"
        raise GraftError(f"run={folder} has no finished job{failed}{damaged}; try {advice}")
    metric = common_metric([record.config for record in records.finished])
    board = rank_jobs(records.finished, rounds=records.rounds, metric=metric)
    best = board.records[0]
    if len(board.records) == 1:
        return ChosenJob(best, board, "")
    if board.comparison is None:
        found = list(dict.fromkeys(record.folder.relative_to(folder.resolve()).parts[0] for record in board.records))
        raise GraftError(
            f"run={folder} has {len(board.records)} jobs that cannot be ranked, because they are {board.unlike}; "
            f"name one of its folders, such as run={folder / found[0]}: {few(found, 8)}"
        )
    mean = best.spread(board.metric).mean
    value = board.measure.unit.value(mean)
    return ChosenJob(best, board, f"{best.label} won among {len(board.records)} jobs, {board.order} ({value})")


def estimate(folder: Path, chosen: ChosenJob) -> dict[str, Any]:
    """Return what is known of the accuracy of a chosen job's trials on test images, as JSON can store it.

    Args:
        folder: that it was chosen from, as it was typed.
        chosen: the job.
    """
    record, board = chosen.record, chosen.board
    found, images = record.spread(), record.result.get("images") or {}
    corrected = board.answer.corrected if board.metric == "accuracy" else None
    views = (record.config.get("augment") or {}).get("test_views")
    by_class = set(((images.get("by_class") or {}).get("small") or {}).values())
    return {
        "of": str(folder),
        "job": record.label,
        "mean": found.mean,
        "ci95": None if found.interval is None else list(found.interval),
        "ci95_holds": claim_of(record),
        "trials": found.num_trials,
        "small": images.get("small"),
        "small_per_class": by_class.pop() if len(by_class) == 1 else None,
        "jobs": len(board.records) if corrected is None else board.answer.among,
        "order": board.order,
        # Of jobs that validation images have ranked, the test images have chosen nothing.
        "chosen_by": in_words(board.metric) if split_of(board.metric) == "test" and len(board.records) > 1 else None,
        "corrected": corrected,
        **({"views": views} if views else {}),
    }
