"""The jobs that a grid adds with `baseline=solved`: what its heads and its backbones have to beat.

These are what is solved at once on the features on which heads train, and a control beside several backbones.

Hydra calls this before anything heavy is imported: do not import torch or pandas here.
"""

import re
from collections.abc import Callable, Sequence

from hydra.errors import HydraException
from omegaconf import DictConfig

from graft.config.check import check
from graft.config.identity import without_hydra
from graft.config.refusals import explain
from graft.config.values import BASELINE, CONTROL, OF_TRAINED_HEADS, THUMBNAIL, Undecided, Values
from graft.errors import ConfigError
from graft.process import tell
from graft.results.settings import OF_BACKBONES, backbone_of

SOLVED = "solved"  # the option of the head, and of the knob
REFUSED = ("baseline", "head", "regularize", "stop", "weights")  # its own, or none that a solved head has or takes
FOUND = ("lr", "optimizer")  # whose rate a range test finds for heads that train


def baseline_jobs(jobs: Sequence[DictConfig], compose: Callable[[list[str]], DictConfig]) -> list[DictConfig]:
    """Return a job with `head=solved` for each different set of frozen features on which a grid's heads train.

    Its overrides are those of the heads' jobs, without what concerns these heads alone, such as their dropout. Where it
    cannot run, a line says why.
    """
    heads = {Values(job).solved_head() for job in jobs}
    if SOLVED in heads:
        return []  # it is asked for
    shared = set.intersection(*(set(job.hydra.overrides.task) for job in jobs))
    asked = [[*_overrides(job, shared), f"baseline={BASELINE}"] for job in jobs if trains_on_frozen_features(job)]
    return _composed(
        asked, jobs, compose, "baseline=solved beside some jobs, whose configuration does not take head=solved"
    )


def control_jobs(jobs: Sequence[DictConfig], compose: Callable[[list[str]], DictConfig]) -> list[DictConfig]:
    """Return a job with `backbone=thumbnail head=solved` for each data set on which a grid compares frozen networks."""
    compared = [job for job in jobs if has_frozen_features(job)]
    networks = {backbone_of(job) for job in compared}
    if len(networks) < 2 or THUMBNAIL in networks:
        return []  # there is nothing to compare, or it is asked for
    shared = set.intersection(*(set(job.hydra.overrides.task) for job in jobs))
    rest = [[word for word in _overrides(job, shared) if not _is_of(word, OF_BACKBONES)] for job in compared]
    asked = [["backbone=thumbnail", "source=scratch", *words, f"baseline={CONTROL}"] for words in rest]
    return _composed(
        asked, jobs, compose, "backbone=thumbnail beside these backbones, whose jobs' other keys it does not take"
    )


def _composed(
    asked: Sequence[list[str]], jobs: Sequence[DictConfig], compose: Callable[[list[str]], DictConfig], what: str
) -> list[DictConfig]:
    """Return one job for each of the overrides that are asked for, if it can run and the grid leaves it a folder.

    `what` is missing where one cannot run, in words.
    """
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
        tell(f"no {what}: {refused}")
    return added


def trains_on_frozen_features(job: DictConfig) -> bool:
    """Return whether a job is to be compared with what is solved: its head trains on stored features of images."""
    return has_frozen_features(job) and Values(job).solved_head() is None


def has_frozen_features(job: DictConfig) -> bool:
    """Return whether a job that allows baselines computes its head from stored features of images."""
    values = Values(job)
    try:
        frozen = not values.staged() and values.num_kept() > 0 and values.num_unfrozen()[-1] == 0
    except Undecided:
        return False
    stored = frozen and values.target("augment") == "none"
    # A published range is of one configuration, and refits are of one job.
    return stored and job.baseline == SOLVED and job.reference is None


def _overrides(job: DictConfig, shared: set[str]) -> list[str]:
    """Return the overrides of the solved job beside one of a grid's, but for `baseline`.

    Those that all of the grid's jobs share stay the same in this one, so that they tell no jobs apart.
    """

    def stays(word: str) -> bool:
        if _is_of(word, REFUSED) or (_is_of(word, FOUND) and word.endswith("=auto")):
            return False
        return word in shared or not _is_of(word, OF_TRAINED_HEADS)

    return [*filter(stays, job.hydra.overrides.task), f"head={SOLVED}"]


def _is_of(word: str, keys: Sequence[str]) -> bool:
    """Return whether an override is of one of these keys, or inside one of these groups."""
    return re.match(rf"[+~]*({'|'.join(keys)})([.@=]|$)", word) is not None
