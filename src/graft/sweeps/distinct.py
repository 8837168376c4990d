"""The jobs of a grid that repeat a configuration, however it was typed: it runs once."""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from graft.config.build import to_plain
from graft.config.one_form import CLASS_KEYS, as_text
from graft.config.values import Undecided, Values
from graft.errors import GraftError
from graft.job_folder import FAILURE, RESULT
from graft.process import tell

MAX_NAMED = 3  # jobs that a message names one by one


def distinct_jobs(
    jobs: Sequence[DictConfig], configs: Sequence[DictConfig], folder: Path, unused: Sequence[Collection[str]]
) -> list[DictConfig]:
    """Return one job of each configuration, and say which others are left out; refuse two of them in one folder.

    Args:
        jobs: as Hydra composes them.
        configs: the same without Hydra's own part.
        folder: of the sweep.
        unused: keys without effect on each job, as the dropout of a head that is solved at once.

    Raises:
        GraftError: two different jobs have the same folder; names both.
    """
    by_folder: dict[str, tuple[str, str]] = {}
    by_content: dict[str, list[tuple[str, DictConfig]]] = {}
    shared = set.intersection(*(set(job.hydra.overrides.task) for job in jobs))
    for job, content in zip(jobs, _contents(configs, unused), strict=True):
        words = list(job.hydra.overrides.task)
        typed = " ".join([word for word in words if word not in shared] or words)
        place = unicodedata.normalize("NFC", str(job.hydra.sweep.subdir)).casefold()  # some file systems' equality
        other, others = by_folder.setdefault(place, (typed, content))
        if others != content:
            raise GraftError(
                f"{job.hydra.sweep.subdir} would be the folder of two jobs, {other} and {typed}; try them one by one, "
                "each with another name="
            )
        by_content.setdefault(content, []).append((typed, job))
    parts = [_kept(equal, folder) for equal in by_content.values()]
    left_out = [words for _, repeated in parts for words in repeated]
    if left_out:
        more = f", and {len(left_out) - MAX_NAMED} more" if len(left_out) > MAX_NAMED else ""
        repeat = f"{len(left_out)} of {len(jobs)} jobs {'repeats' if len(left_out) == 1 else 'repeat'} a configuration"
        tell(f"{repeat}, which runs once: {', '.join(left_out[:MAX_NAMED])}{more}")
    return [job for kept, _ in parts for job in kept]


def _contents(configs: Sequence[DictConfig], unused: Sequence[Collection[str]]) -> list[str]:
    """Return each configuration as a text; equal ones, however they were typed, have equal texts.

    `[cat,dog]`, `[0,1]` and `all` may be the same classes: where jobs differ in nothing else, their data set says it.
    """
    used = [_without(to_plain(cfg), keys) for cfg, keys in zip(configs, unused, strict=True)]
    plain = _without_auto(configs, used)
    texts = [as_text(config) for config in plain]
    if all(len({_kind(config, key) for config in plain}) == 1 for key in CLASS_KEYS):
        return texts
    alike: dict[str, list[int]] = {}
    for index, config in enumerate(plain):
        dataset = {key: value for key, value in config["dataset"].items() if f"dataset.{key}" not in CLASS_KEYS}
        alike.setdefault(as_text(config | {"dataset": dataset}), []).append(index)
    for indices in alike.values():
        if any(len({_kind(plain[index], key) for index in indices}) > 1 for key in CLASS_KEYS):
            classes = _classes(configs[indices[0]])
            for index in indices:
                texts[index] = as_text(plain[index], classes)
    return texts


def _without(config: Mapping[str, Any], keys: Collection[str], above: str = "") -> dict[str, Any]:
    """Return a plain configuration without keys, or groups."""
    return {
        name: _without(value, keys, f"{above}{name}.") if isinstance(value, Mapping) else value
        for name, value in config.items()
        if f"{above}{name}" not in keys
    }


def _without_auto(configs: Sequence[DictConfig], plain: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return plain configurations, `tune.thaw=auto` as what it stands for if each such job is then another one.

    Where some are not, `auto` stays a value of the grid: of `source=scratch,big tune=auto,full` no job is left out.
    """
    auto = [index for index, cfg in enumerate(configs) if OmegaConf.select(cfg, "tune.thaw") == "auto"]
    others = {as_text(config) for index, config in enumerate(plain) if index not in auto}
    try:
        frozen = {index: Values(configs[index]).num_unfrozen() == [0] for index in auto}
    except Undecided:
        return plain
    found = list(plain)
    for index in auto:
        found[index] = plain[index] | {"tune": plain[index]["tune"] | {"thaw": 0 if frozen[index] else "all"}}
    return found if all(as_text(found[index]) in others for index in auto) else plain


def _kind(config: Mapping[str, Any], key: str) -> str | frozenset[type] | None:
    """Return how classes were typed: `all` or `rest`, or by names, by numbers or by both; None without such a key."""
    value = config["dataset"].get(key.partition(".")[2])  # a data set of the user's own may have none
    return frozenset(map(type, value)) if isinstance(value, list) else value


def _classes(cfg: DictConfig) -> Sequence[str]:
    """Return the names of a job's classes; none if its data set cannot be read, which the job will say."""
    from graft.run.make_plan import planned_images  # torch takes seconds: only if classes were typed in two ways

    try:
        return planned_images(cfg).classes
    except GraftError:
        return ()


def _kept(equal: Sequence[tuple[str, DictConfig]], folder: Path) -> tuple[list[DictConfig], list[str]]:
    """Return those of the jobs of one configuration that are to run, and in words the others.

    One that has run is kept, else the first, and one that has failed: its failure would stay in the sweep's table.
    """
    name, first = next(((typed, job) for typed, job in equal if _has(folder, job, RESULT)), equal[0])
    kept, repeated = [], []
    for typed, job in equal:
        elsewhere = job.hydra.sweep.subdir != first.hydra.sweep.subdir
        if job is first or (elsewhere and _has(folder, job, FAILURE)):
            kept.append(job)
        else:
            repeated.append(f"{typed} is {'typed again' if typed == name else name}")
    return kept, repeated


def _has(folder: Path, job: DictConfig, name: str) -> bool:
    return (folder / job.hydra.sweep.subdir / name).exists()
