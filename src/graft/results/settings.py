"""Swept keys: which of their values distinguish the jobs of a sweep.

Do not import torch or pandas here: a sweep's baseline is checked before its first job.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from graft.config.one_form import leaves
from graft.config.values import BASELINE, CONTROL, LOADS, OF_TRAINED_HEADS, PREPROCESSING, SOLVED_HEADS

# Keys that are never listed as swept, because they do not affect the result or follow from keys that do. A search that
# was continued with more jobs has jobs with another `sweep.jobs`.
IGNORED = re.compile(
    r"(name|run|cache|trials_at_once|resume|sweep|report|logger|reference|baseline|val_every|test_curve|keep_weights"
    r"|dataset\.download)(\.|$)"
)

ADDED = {BASELINE: {"baseline": "solved"}, CONTROL: {"control": "thumbnail"}}  # settings of jobs that a sweep adds
OF_BACKBONES = ("backbone", "source", "tune")  # a control has its own
PREPARED = ("size", *PREPROCESSING)  # keys of a data set that say how a backbone gets its images

Setting = dict[str, str]  # a job's values of the swept keys, as texts
Job = tuple[Mapping, Mapping[str, str]]  # a job's configuration, and its choices: the option of each group


def flatten(config: Mapping) -> dict[str, str]:
    """Return a nested configuration as texts by dotted keys, without `_target_` and other keys of Hydra's."""
    return {
        key: "null" if value is None else str(value).removesuffix(".0")
        for key, value in leaves(config).items()
        if "._" not in f".{key}"
    }


def backbone_of(config: Mapping) -> str:
    """Return the network of a configuration's backbone, however much of it is kept: its class, and its model."""
    backbone = config.get("backbone") or {}
    return " ".join(str(backbone[key]) for key in ("_target_", "model") if backbone.get(key))


def is_solved(config: Mapping) -> bool:
    """Return whether a configuration's heads are fitted at once, without epochs."""
    head = config.get("head")
    return isinstance(head, Mapping) and head.get("_target_") in SOLVED_HEADS


def unused_split(config: Mapping) -> str:
    """Return `big` if a job's source is one of Graft's that does not pre-train on it; else an empty text."""
    source = config.get("source")
    target = str(source.get("_target_")) if isinstance(source, Mapping) else ""
    loads = target.startswith("graft.") and target.rpartition(".")[2] in LOADS
    return "big" if loads else ""


def of_the_least(config: Mapping[str, Any], split: str) -> str:
    """Return what to add to a split's name where its stored number of images is the least trial's, as with folds."""
    dataset = config.get("dataset")
    folds = isinstance(dataset, Mapping) and dataset.get("folds")
    return {"test": " of the smallest fold", "pool": ", at least"}.get(split, "") if folds else ""


def folder_overrides(folder: str, keys: Iterable[str]) -> dict[str, str]:
    """Return the overrides in a job folder's name: head=dense512_dropout=0.5.

    Args:
        folder: the name.
        keys: top-level keys of the configuration. An override begins with one of them; values may contain `_`, too.
    """
    starts = "|".join(re.escape(key) for key in [*keys, "experiment"])
    parts = re.split(rf"_(?=[+~]?(?:{starts})(?:\.[\w.]+)?=)", folder)
    return {key.lstrip("+~"): value for key, _, value in (part.partition("=") for part in parts) if key and value}


def known_choices(result: Mapping, folder: str) -> dict[str, str]:
    """Return a job's option of each group.

    Results of the first format do not store them: for these, return the options in the folder's name.
    """
    if isinstance(result.get("choices"), Mapping):
        return {str(group): str(option) for group, option in result["choices"].items()}
    config = result.get("config") or {}
    groups = {"experiment", *(key for key, value in config.items() if isinstance(value, Mapping))}
    return {group: option for group, option in folder_overrides(folder, config).items() if group in groups}


def complete_choices(jobs: Sequence[Job]) -> list[dict[str, str]]:
    """Return each job's option of every group of its configuration.

    Results of the first format lack choices. A missing option is taken from a job whose configuration of the group is
    equal; if there is none, it is the lower-case name of the class in `_target_`.
    """
    option_by_content = {
        (group, str(config.get(group))): option for config, choices in jobs for group, option in choices.items()
    }
    completed = []
    for config, choices in jobs:
        class_names = {
            group: str(node["_target_"]).rpartition(".")[-1].lower()
            for group, node in config.items()
            if isinstance(node, Mapping) and "_target_" in node
        }
        guessed = {
            group: option_by_content.get((group, str(config[group])), name) for group, name in class_names.items()
        }
        completed.append({**guessed, **choices})
    return completed


def swept_settings(jobs: Sequence[Job]) -> list[Setting]:
    """Return each job's values of the swept keys: the keys in which the jobs differ.

    A group in which jobs chose different options is one key, and its inner keys are listed only if jobs with the
    same option differ in them. Keys set by an experiment are skipped, and so are a group's copies of a top-level key
    (`head.dropout: ${dropout}`). A job that a sweep has added has the key `baseline` instead of those that
    concern heads that train, or `control` instead of these and of those that concern backbones.

    Args:
        jobs: with complete choices.
    """
    added = [ADDED.get(str(config.get("baseline")), {}) for config, _ in jobs]
    dropped = [(*OF_TRAINED_HEADS, *(OF_BACKBONES if "control" in own else ())) if own else () for own in added]
    parts = [tuple(_without(keys, part) for part in job) for job, keys in zip(jobs, dropped, strict=True)]
    chosen = [choices for _, choices in parts]
    values = [flatten(config) for config, _ in parts]
    groups = _swept_groups(chosen)
    keys = _swept_keys(values, chosen, "experiment" in groups)
    return [
        own
        | {group: choices[group] for group in groups if group in choices}
        | {key: had[key] for key in keys if key in had}
        for choices, had, own in zip(chosen, values, added, strict=True)
    ]


def _without(keys: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is under other keys: these do not concern a job, and tell it from no other."""
    return {key: value for key, value in values.items() if key not in keys}


def _swept_groups(chosen: Sequence[Mapping[str, str]]) -> list[str]:
    groups = [group for group in _union(chosen) if not IGNORED.match(group) and _differs(group, chosen)]
    if "experiment" not in groups:
        return groups
    return ["experiment", *(group for group in groups if not _set_by_experiment(group, chosen, chosen))]


def _swept_keys(values: Sequence[Setting], chosen: Sequence[Mapping[str, str]], experiments: bool) -> list[str]:
    """Return the swept keys that are not groups.

    Args:
        values: each job's configuration, flat.
        chosen: each job's choices.
        experiments: whether the jobs' experiments differ.
    """
    swept: list[str] = []
    for key in sorted(_union(values), key=lambda key: "." in key):  # top-level keys before the groups' copies of them
        group = key.partition(".")[0]
        options = [choices.get(group) for choices in chosen]
        if IGNORED.match(key) or not _differs(key, values, options):
            continue
        if experiments and _set_by_experiment(key, values, chosen):
            continue
        if not any(_copies(key, other, values) for other in swept):
            swept.append(key)
    return swept


def _union(mappings: Sequence[Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping if not key.startswith("hydra/")))


def _differs(key: str, values: Sequence[Mapping[str, str]], options: Sequence[str | None] | None = None) -> bool:
    """Return whether jobs differ in a key; jobs without it do not count.

    Args:
        key: the key.
        values: each job's.
        options: only jobs with the same option are compared; None: all are.
    """
    seen: dict[str | None, set[str]] = {}
    for had, option in zip(values, options or [None] * len(values), strict=True):
        if key in had:
            seen.setdefault(option, set()).add(had[key])
    return any(len(different) > 1 for different in seen.values())


def _set_by_experiment(key: str, values: Sequence[Mapping], chosen: Sequence[Mapping]) -> bool:
    """Return whether each experiment has one value of a key, so that its name says the value."""
    pairs = {(choices.get("experiment"), had.get(key)) for had, choices in zip(values, chosen, strict=True)}
    return len(pairs) == len({experiment for experiment, _ in pairs})


def _copies(key: str, other: str, values: Sequence[Setting]) -> bool:
    """Return whether a key has the other's value in every job; a list of one value is that value."""
    return all(key not in had or had[key].strip("[]") == had.get(other) for had in values)
