"""The jobs that a grid adds with `baseline=solved`: what is solved at once on the features on which its heads train.

Hydra calls this before anything heavy is imported: do not import torch or pandas here.
"""

import re
from collections.abc import Callable, Sequence

from hydra.errors import HydraException
from omegaconf import DictConfig

from graft.config.check import check
from graft.config.identity import without_hydra
from graft.config.refusals import explain
from graft.config.values import BASELINE, OF_TRAINED_HEADS, Undecided, Values
from graft.errors import ConfigError
from graft.process import tell

SOLVED = "solved"  # the option of the head, and of the knob
REFUSED = ("baseline", "head", "regularize", "stop", "weights")  # its own, or none that a solved head has or takes
FOUND = ("lr", "optimizer")  # whose rate a range test finds for heads that train


def baseline_jobs(jobs: Sequence[DictConfig], compose: Callable[[list[str]], DictConfig]) -> list[DictConfig]:
    """Return a job with `head=solved` for each different set of frozen features on which a grid's heads train.

    Its overrides are those of the heads' jobs, without what concerns these heads alone, such as their dropout. Where it
    cannot run, a line says why.

    Args:
        jobs: the grid's.
        compose: composes a job from its overrides.
    """
    heads = {Values(job).sklearn_head() for job in jobs}
    if SOLVED in heads:
        return []  # it is asked for
    shared = set.intersection(*(set(job.hydra.overrides.task) for job in jobs))
    asked = [_overrides(job, shared) for job in jobs if trains_on_frozen_features(job)]
    added, refused, folders = [], "", {job.hydra.sweep.subdir for job in jobs}
    for overrides in dict.fromkeys(map(tuple, asked)):
        try:
            job = compose(list(overrides))
            check(without_hydra(job))
        except (ConfigError, HydraException) as error:
            refused = refused or str(explain(error) if isinstance(error, HydraException) else error)
            continue
        if job.hydra.sweep.subdir not in folders:  # hydra.sweep.subdir= may give all jobs one folder
            added.append(job)
    if refused:
        tell(f"no baseline=solved beside some jobs, whose configuration does not take head=solved: {refused}")
    return added


def trains_on_frozen_features(job: DictConfig) -> bool:
    """Return whether a job is to be compared with what is solved: its head trains on stored features of images."""
    values = Values(job)
    try:
        frozen = not values.staged() and values.num_kept() > 0 and values.num_unfrozen()[-1] == 0
    except (Undecided, TypeError, ValueError):  # the check says what is wrong
        return False
    stored = frozen and values.target("augment") == "none"
    # A published range is of one configuration, and refits are of one job.
    return stored and job.baseline == SOLVED and job.reference is None and values.sklearn_head() is None


def _overrides(job: DictConfig, shared: set[str]) -> list[str]:
    """Return the overrides of the solved job beside one of a grid's.

    Args:
        job: that one.
        shared: overrides of all of the grid's jobs, which stay the same in this one, so that they tell no jobs apart.
    """

    def stays(word: str) -> bool:
        if _is_of(word, REFUSED) or (_is_of(word, FOUND) and word.endswith("=auto")):
            return False
        return word in shared or not _is_of(word, OF_TRAINED_HEADS)

    return [*filter(stays, job.hydra.overrides.task), f"head={SOLVED}", f"baseline={BASELINE}"]


def _is_of(word: str, keys: Sequence[str]) -> bool:
    """Return whether an override is of one of these keys, or inside one of these groups."""
    return re.match(rf"[+~]*({'|'.join(keys)})([.@=]|$)", word) is not None
