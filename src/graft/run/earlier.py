"""Rounds of a job with trials=auto: `run_rounds` runs them, `Earlier` joins finished trials and those of a new round.

The sweep that a job belongs to decides how many trials it gets, and writes their number into the job's folder. A job
that runs alone gets trials until the interval of its mean, of the metric `report.metric`, becomes hardly narrower.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas
from omegaconf import DictConfig, OmegaConf

from graft.config.identity import OTHER_IMAGES
from graft.files import read_tensors
from graft.job_folder import HISTORY, ROUND, finished_result, is_finished, read_result
from graft.model.stages import Weights
from graft.results.baseline import common_metric
from graft.results.job_files import read_history
from graft.results.measured import measured
from graft.results.outcomes import StoredOutcomes, read_outcomes
from graft.run.history import JobHistory
from graft.run.outcome_merge import merge
from graft.statistics.stopping import could_narrow, looks

log = logging.getLogger("graft")

Run = Callable[[DictConfig, Path, bool, int], dict[str, Any] | None]


def run_rounds(cfg: DictConfig, folder: Path, resume: bool, run: Run) -> dict[str, Any] | None:
    """Run a job with trials=auto: the round that its sweep asks for or, alone, as many as narrow its interval.

    Args:
        cfg: the composed configuration.
        folder: the job's folder.
        resume: whether to take the result of a job that is finished; trials of one that is not are kept anyway.
        run: runs the job up to a number of trials, and keeps those that are finished if its third argument is true.

    Returns:
        The content of `result.json`, or as `run` returns it.
    """
    asked = read_result(folder, ROUND)
    if asked is not None:
        return run(cfg, folder, True, asked["trials"])
    existing, result = read_result(folder), None
    keep = resume or (existing is not None and _goes_on(existing, folder, cfg.trials_max))
    for size in looks(cfg.trials_min, cfg.trials_max, cfg.dataset.get("folds")):
        result = run(cfg, folder, keep, size)
        if result is None or not _goes_on(result, folder, cfg.trials_max):
            break
        log.info("round of trials up to %d: more would narrow the 95 %% interval", len(result["trials"]) - 1)
        keep = True
    if result is not None and is_finished(result):
        enough = len(result["trials"]) >= cfg.trials_max
        why = f"trials_max={cfg.trials_max}" if enough else "only more test images would narrow the 95 % interval"
        log.info("trials=auto ended after %d trials: %s", len(result["trials"]), why)
    return result


def _goes_on(result: dict[str, Any], folder: Path, most: int) -> bool:
    """Return whether more trials of a job that runs alone would narrow the interval of its mean."""
    if not is_finished(result) or len(result["trials"]) >= most:
        return False
    try:
        stored = read_outcomes(folder)
    except (ValueError, OSError):
        stored = None  # the job runs again
    try:
        found = measured(result, stored, common_metric([result["config"]]))
    except ValueError:  # the metric cannot be computed, which the job's summary says
        found = measured(result, stored)
    return could_narrow(found)


def num_kept(folder: Path, count: int, keep: bool = True) -> int:
    """Return how many finished trials a job's folder seems to have, if these are kept and fewer than it should have."""
    result = read_result(folder) if keep else None
    number = len(result.get("trials") or ()) if result and is_finished(result) else 0
    return number if number < count else 0


def find_finished(
    folder: Path, identity: str, images: str, rounds: bool
) -> tuple[dict[str, Any] | None, "Earlier | None"]:
    """Return a job's result if its trials finished and, if it runs in rounds, all that a further round needs of them.

    Args:
        folder: the job's.
        identity: the job's; the result of another one is None.
        images: the fingerprint of its data set's images; that the result has others is told.
        rounds: whether it runs in rounds: then all trials run again if one of its files is damaged.
    """
    result = finished_result(folder, identity)
    known = {} if result is not None else (read_result(folder) or {}).get("contents") or {}
    if known.get("images", images) != images:
        log.warning("%s is finished, but not with these images: %s; it runs again", folder.name, OTHER_IMAGES)
    earlier = _read_earlier(folder, result) if rounds and result is not None else None
    return None if rounds and earlier is None else result, earlier


def _read_earlier(folder: Path, result: dict[str, Any]) -> "Earlier | None":
    try:
        outcomes, history = read_outcomes(folder), read_history(folder / HISTORY)
        weights = _read_weights(folder) if result["config"]["keep_weights"] == "all" else {}
    except (ValueError, OSError, KeyError):
        return None
    return None if outcomes is None else Earlier(result, history, outcomes, weights)


def _read_weights(folder: Path) -> dict[int, Weights]:
    """Read the weights of all trials, by seed.

    Raises:
        OSError: the file is damaged.
    """
    tensors = read_tensors(folder / "weights.safetensors")
    seeds = OmegaConf.select(OmegaConf.load(folder / "model.yaml"), "seeds")
    if tensors is None:
        raise OSError
    stacked = {name.removeprefix("trials."): value for name, value in tensors.items() if name.startswith("trials.")}
    return {seed: {name: value[row] for name, value in stacked.items()} for row, seed in enumerate(seeds)}


@dataclass(frozen=True)
class Earlier:
    """The finished trials of a job, to which a round adds others.

    Attributes:
        result: the content of its `result.json`.
        history: a row for each trial, epoch, split and metric.
        outcomes: what the trials said of each image.
        weights: state dicts of all trials' networks, by seed; none unless `keep_weights=all`.
    """

    result: dict[str, Any]
    history: pandas.DataFrame
    outcomes: StoredOutcomes
    weights: dict[int, Weights]

    @property
    def count(self) -> int:
        """Number of trials."""
        return len(self.result["trials"])

    def with_history(self, new: JobHistory) -> JobHistory:
        """Return the history of these trials and of new ones, whose numbers start at 0."""
        return new.after(self.history.query(f"trial < {self.count}"), self.count)

    def with_outcomes(self, new: StoredOutcomes) -> StoredOutcomes:
        """Return the outcomes of these trials and of new ones."""
        return merge(self.outcomes, new)

    def with_content(self, new: dict[str, Any]) -> dict[str, Any]:
        """Return the content of `result.json` for these trials and new ones; its accuracy is the new ones' alone."""
        old = self.result
        counts = {split: min(old["images"][split], new["images"][split]) for split in ("small", "val", "test")}
        return {
            **new,
            "trials": old["trials"] + new["trials"],
            "images": new["images"] | counts,
            "seconds": {part: old["seconds"][part] + seconds for part, seconds in new["seconds"].items()},
        }
