"""What tells the jobs of a sweep from each other: the keys that were swept, and labels in words."""

import re
from collections.abc import Iterable, Mapping, Sequence

from graft.config.identity import leaves
from graft.errors import GraftError

BUDGETS = {"dataset.small_per_class": "images per class", "dataset.small_total": "images"}
# Neither changes what a job finds, or follows from what does.
UNTOLD = re.compile(r"(name|cache|trials_at_once|report|reference|val_every|test_curve|dataset\.(root|download))(\.|$)")
# Of these groups and knobs the value says enough.
NAMED = (
    "experiment",
    "dataset",
    "backbone",
    "source",
    "head",
    "tune",
    "optimizer",
    "activation",
    "augment",
    "schedule",
)

Setting = dict[str, str]  # the swept keys' values, as texts


def flat(config: Mapping) -> Setting:
    """Return a nested configuration as dotted keys and texts, without `_target_` and its like."""
    return {
        key: "null" if value is None else str(value).removesuffix(".0")
        for key, value in leaves(config).items()
        if "._" not in f".{key}"
    }


def overrides(folder: str, keys: Iterable[str]) -> dict[str, str]:
    """Read the overrides that a job's folder is named after: head=dense512_dropout=0.5.

    Args:
        folder: its name.
        keys: the configuration's top-level keys, which tell where an override begins.
    """
    starts = "|".join(re.escape(key) for key in [*keys, "experiment"])
    parts = re.split(rf"_(?=[+~]?(?:{starts})(?:\.[\w.]+)?=)", folder)
    return {key.lstrip("+~"): value for key, _, value in (part.partition("=") for part in parts) if key and value}


def known_choices(result: Mapping, folder: str) -> dict[str, str]:
    """Return a job's choice of each group; results of the first format tell only some, by their folder's name."""
    if isinstance(result.get("choices"), Mapping):
        return {str(group): str(option) for group, option in result["choices"].items()}
    config = result.get("config") or {}
    groups = {"experiment", *(key for key, value in config.items() if isinstance(value, Mapping))}
    return {group: option for group, option in overrides(folder, config).items() if group in groups}


def with_choices(jobs: Sequence[tuple[Mapping, Mapping[str, str]]]) -> list[dict[str, str]]:
    """Complete the jobs' choices, which results of the first format lack.

    Args:
        jobs: configuration and known choices of each.

    Returns:
        For each job and group of its configuration the option: the known one, else that of a job with the same
        content, else the name of the class that it builds, in small letters.
    """
    elsewhere = {
        (group, str(config.get(group))): option for config, choices in jobs for group, option in choices.items()
    }
    completed = []
    for config, choices in jobs:
        targets = {
            group: str(node["_target_"]).rpartition(".")[-1].lower()
            for group, node in config.items()
            if isinstance(node, Mapping) and "_target_" in node
        }
        same = {group: elsewhere.get((group, str(config[group])), target) for group, target in targets.items()}
        completed.append({**same, **choices})
    return completed


def settings(jobs: Sequence[tuple[Mapping, Mapping[str, str]]]) -> list[Setting]:
    """Return each job's values of the keys that differ among the jobs.

    A group whose choice differs is one key; its inner keys count where jobs with the same choice differ in them. What
    a whole experiment brings with it does not count, nor a group's copy of a knob (`head.dropout: ${dropout}`).

    Args:
        jobs: configuration and complete choices of each.
    """
    chosen = [choices for _, choices in jobs]
    values = [flat(config) for config, _ in jobs]
    groups = [group for group in _keys(chosen) if _differs(group, chosen)]
    if "experiment" in groups:
        groups = ["experiment", *(group for group in groups if not _follows(group, "experiment", chosen, chosen))]
    knobs = [key for key in _keys(values) if not UNTOLD.match(key)]
    swept = []
    for key in sorted(knobs, key=lambda key: "." in key):  # knobs before groups' copies of them
        group = key.partition(".")[0]
        if not _differs(key, values, [choices.get(group) for choices in chosen]):
            continue
        if "experiment" in groups and _follows(key, "experiment", values, chosen):
            continue
        if not any(_copies(key, other, values) for other in swept):
            swept.append(key)
    return [
        {group: own[group] for group in groups if group in own} | {key: had[key] for key in swept if key in had}
        for own, had in zip(chosen, values, strict=True)
    ]


def label(setting: Setting) -> str:
    """Return a setting in words: dense512 with dropout 0.5."""
    names = [value.replace("_", " ") for key, value in setting.items() if key in NAMED]
    rest = [said(key, value) for key, value in setting.items() if key not in NAMED and key != "dropout"]
    if "dropout" in setting and float(setting["dropout"]):
        rest.insert(0, said("dropout", setting["dropout"]))
    without = "dropout" in setting and not float(setting["dropout"])
    words = ", ".join(names) + (" with " if names and rest else "") + ", ".join(rest)
    if not without:
        return words
    return f"{words}{',' if rest else ''} without dropout" if words else "no dropout"


def said(key: str, value: str) -> str:
    """Return one swept key's value in words."""
    if key in NAMED:
        return value.replace("_", " ")
    if key in BUDGETS:
        unit = BUDGETS[key]
        return f"{value} {unit.replace('images', 'image', 1) if value == '1' else unit}"
    return f"{key.rpartition('.')[-1].replace('_', ' ')} {value}"


def listed(items: Sequence[str]) -> str:
    """Return items as a list in words: one, two and three."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def matches(baseline: str, choices: Mapping[str, str], config: Mapping) -> bool:
    """Tell whether a job is the baseline, which is named as source:scratch, or source:scratch+dropout:0."""
    has = {**flat(config), **choices}
    return all(_same_value(has.get(key), value) for key, value in _conditions(baseline).items())


def unknown_baseline(baseline: str, settings: Sequence[Mapping[str, str]]) -> GraftError:
    """Return the error that lists what could be a baseline.

    Args:
        baseline: what was asked for.
        settings: the jobs' values of the keys that differ.
    """
    there = list(dict.fromkeys(f"{key}:{value}" for setting in settings for key, value in setting.items()))
    return GraftError(
        f"report.baseline: no job has {baseline}; these jobs differ in "
        f"{', '.join(sorted(there)) or 'nothing'}; try report.baseline={min(there, default='null')}"
    )


def keys_of(baseline: str) -> set[str]:
    """Return the keys that a baseline names."""
    return set(_conditions(baseline))


def _conditions(baseline: str) -> dict[str, str]:
    return {key: value for key, _, value in (part.partition(":") for part in baseline.split("+"))}


def _same_value(had: str | None, asked: str) -> bool:
    try:
        return had is not None and float(had) == float(asked)  # dropout:0 is 0.0 in the configuration
    except ValueError:
        return had == asked


def _keys(mappings: Sequence[Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping if not key.startswith("hydra/")))


def _differs(key: str, values: Sequence[Mapping[str, str]], classes: Sequence | None = None) -> bool:
    """Tell whether those who have a key differ in it, within some class of them."""
    seen: dict[object, set[str]] = {}
    for had, kind in zip(values, classes or [None] * len(values), strict=True):
        if key in had:
            seen.setdefault(kind, set()).add(had[key])
    return any(len(kinds) > 1 for kinds in seen.values())


def _follows(key: str, leader: str, values: Sequence[Mapping], leaders: Sequence[Mapping]) -> bool:
    pairs = {(own.get(leader), had.get(key)) for had, own in zip(values, leaders, strict=True)}
    return len(pairs) == len({first for first, _ in pairs})


def _copies(key: str, knob: str, values: Sequence[Setting]) -> bool:
    return all(key not in had or had[key].strip("[]") == had.get(knob) for had in values)
