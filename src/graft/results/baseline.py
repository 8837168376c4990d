"""Baselines: conditions that select the jobs to compare with, as in source:scratch+dropout:0.

Do not import torch or pandas here: a mistyped baseline must be refused before a sweep's first job.
"""

from collections.abc import Mapping, Sequence

from graft.errors import GraftError
from graft.results.settings import ADDED, flatten


def matches_baseline(baseline: str, choices: Mapping[str, str], config: Mapping) -> bool:
    """Return whether a job fulfills all conditions of a baseline, by its options or its configuration's values.

    A job that a sweep has added is found by what tables call it, too: `baseline:solved`, `control:thumbnail`.
    """
    values = {**flatten(config), **choices}
    if baseline in {f"{key}:{value}" for key, value in ADDED.get(str(config.get("baseline")), {}).items()}:
        return True
    return all(_equal(values.get(key), value) for key, value in _conditions(baseline).items())


def baseline_keys(baseline: str) -> set[str]:
    """Return the keys in a baseline's conditions."""
    return set(_conditions(baseline))


def common_baseline(configs: Sequence[Mapping]) -> str | None:
    """Return the baseline in the jobs' configurations, if all have the same."""
    baselines = {(config.get("report") or {}).get("baseline") for config in configs}
    return baselines.pop() if len(baselines) == 1 else None


def common_margin(configs: Sequence[Mapping]) -> float:
    """Return the margin in the jobs' configurations, in percent points, if all have the same; else 0."""
    margins = {(config.get("report") or {}).get("margin") or 0.0 for config in configs}
    return float(margins.pop()) if len(margins) == 1 else 0.0


def common_metric(configs: Sequence[Mapping]) -> str:
    """Return the metric in the jobs' configurations that ranks them, if all have the same; else accuracy."""
    metrics = {(config.get("report") or {}).get("metric") or "accuracy" for config in configs}
    return str(metrics.pop()) if len(metrics) == 1 else "accuracy"


def common_figures(configs: Sequence[Mapping]) -> tuple[str, ...]:
    """Return the formats of pictures in the jobs' configurations, if all have the same; else png."""
    found = {_listed((config.get("report") or {}).get("figures") or "png") for config in configs}
    return found.pop() if len(found) == 1 else ("png",)


def _listed(formats: str | Sequence[str]) -> tuple[str, ...]:
    return (formats,) if isinstance(formats, str) else tuple(map(str, formats))


def unknown_baseline(baseline: str, settings: Sequence[Mapping[str, str]]) -> GraftError:
    """Return the error for a baseline that matches no job; it lists the conditions that would match some.

    Args:
        baseline: the one that was asked for.
        settings: the jobs' values of the swept keys.
    """
    possible = {f"{key}:{value}" for setting in settings for key, value in setting.items()}
    return GraftError(
        f"report.baseline: no job has {baseline}; these jobs differ in "
        f"{', '.join(sorted(possible)) or 'nothing'}; try report.baseline={min(possible, default='null')}"
    )


def _conditions(baseline: str) -> dict[str, str]:
    return {key: value for key, _, value in (part.partition(":") for part in baseline.split("+"))}


def _equal(value: str | None, expected: str) -> bool:
    try:
        return value is not None and float(value) == float(expected)  # dropout:0 matches 0.0
    except ValueError:
        return value is not None and value.casefold() == expected.casefold()  # fused:true matches True
