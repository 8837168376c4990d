"""Effects of single swept keys: main effects in a grid, and learning curves over training set sizes (budgets)."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas

from graft.report.rows import difference_columns
from graft.results.labels import BUDGETS, label
from graft.results.settings import Setting
from graft.statistics.accuracies import Accuracies, average, of_seeds
from graft.statistics.comparison import Spread, compare_all, spread
from graft.statistics.intervals import TOLERANCE

MIN_CURVE_POINTS = 3  # budgets


@dataclass(frozen=True)
class Curve:
    """One configuration's learning curve: accuracy by the number of training images.

    Attributes:
        label: the configuration without its budget.
        images: budgets, ascending.
        mean: over the trials, for each budget.
        low: lower end of the mean's 95 % interval; the mean itself if there is no interval.
        high: upper end.
        jobs: place of each budget's job.
    """

    label: str
    images: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]
    jobs: Sequence[int] = ()


@dataclass(frozen=True)
class Effects:
    """Effects of a sweep's keys.

    Attributes:
        main: main effects, as `main_effects` returns them; empty unless the sweep is a grid.
        budget: the swept key that counts training images; None if there are no curves.
        curves: of accuracy against these images, the best first.
        left_out: heads that main effects leave out, because they lack some of the other keys' combinations.
    """

    main: pandas.DataFrame
    budget: str | None
    curves: list[Curve]
    left_out: list[str] = field(default_factory=list)


def sweep_effects(settings: Sequence[Setting], accuracies: Sequence[Accuracies], spreads: Sequence[Spread]) -> Effects:
    """Return the effects that a sweep's jobs allow to compute; main effects without the baselines that it has added.

    Args:
        settings: the jobs' values of the swept keys.
        accuracies: of each job, by seed.
        spreads: of each job, with the interval of its mean.
    """
    own = {place: setting for place, setting in enumerate(settings) if not setting.keys() & {"baseline", "control"}}
    grid = own if is_grid([*own.values()]) else _of_complete_heads(own)
    main = main_effects([*grid.values()], [accuracies[place] for place in grid]) if grid else pandas.DataFrame()
    left_out = sorted({setting["head"] for place, setting in own.items() if grid and place not in grid})
    budget = budget_key(settings)
    curves = budget_curves(budget, settings, spreads) if budget else []
    return Effects(main, budget if curves else None, curves, left_out)


def _of_complete_heads(settings: Mapping[int, Setting]) -> dict[int, Setting]:
    """Return the jobs of the heads with most jobs, by the keys that vary between them; none if they are no grid.

    A head that some keys have no effect on, as dropout has none on lda, runs once for all their values.
    """
    jobs = Counter(setting.get("head") for setting in settings.values())
    kept = {place: setting for place, setting in settings.items() if jobs[setting.get("head")] == max(jobs.values())}
    varied = [key for key in next(iter(kept.values()), {}) if len({each.get(key) for each in kept.values()}) > 1]
    grid = {place: {key: setting.get(key, "") for key in varied} for place, setting in kept.items()}
    return grid if len(jobs) > 1 and is_grid([*grid.values()]) else {}


def is_grid(settings: Sequence[Setting]) -> bool:
    """Return whether the settings are all combinations of two or more keys' values, each once."""
    keys = list(settings[0]) if settings else []
    if len(keys) < 2 or any(list(setting) != keys for setting in settings):
        return False
    combinations = {tuple(setting.values()) for setting in settings}
    full_size = math.prod(len({setting[key] for setting in settings}) for key in keys)
    return len(combinations) == len(settings) == full_size


def main_effects(settings: Sequence[Setting], accuracies: Sequence[Accuracies]) -> pandas.DataFrame:
    """Compare each key's values by their trials' accuracies, averaged over all other keys.

    Averaging a trial over the same values of the other keys keeps trials paired. Seeds that some job lacks are
    left out.

    Args:
        settings: of a grid.
        accuracies: of each setting, by seed.

    Returns:
        A row for each key's value: key, value, trials, mean, and difference (with interval and corrected p) to the
        key's best value. Empty if no seed is common to all.
    """
    seeds = [seed for seed in accuracies[0] if all(seed in other for other in accuracies)]
    rows = []
    for key in settings[0] if seeds else ():
        averaged = _averaged(key, settings, accuracies, seeds)
        compared = compare_all(averaged)
        for value, by_seed in averaged.items():
            row = {"key": key, "value": value, "trials": len(seeds), "mean": spread(by_seed).mean}
            rows.append(row | difference_columns("", compared.differences.get(value)))
    return pandas.DataFrame(rows)


def _averaged(
    key: str, settings: Sequence[Setting], accuracies: Sequence[Accuracies], seeds: Sequence[int]
) -> dict[str, Accuracies]:
    """Return each trial's accuracy for each of a key's values, averaged over the jobs that have this value."""
    averaged, values = {}, {setting[key] for setting in settings}
    for value in sorted(values, key=float if is_ordered(values) else None):
        jobs = [by_seed for setting, by_seed in zip(settings, accuracies, strict=True) if setting[key] == value]
        averaged[value] = of_seeds(average(jobs), seeds)
    return averaged


def is_ordered(values: Iterable[str]) -> bool:
    """Return whether all values are numbers, which lines may join."""
    try:
        return all(math.isfinite(float(value)) for value in values)
    except ValueError:
        return False


def budget_key(settings: Sequence[Setting]) -> str | None:
    """Return the swept key that counts training images, if it has enough values for a curve."""
    for key in BUDGETS:
        values = {setting[key] for setting in settings if setting.get(key, "").isdecimal()}
        if len(values) >= MIN_CURVE_POINTS:
            return key
    return None


def budget_curves(key: str, settings: Sequence[Setting], spreads: Sequence[Spread]) -> list[Curve]:
    """Return a curve for each combination of the other keys' values; the one of the highest mean first.

    A budget that is no number of images, such as `all`, has no place on a curve. Nor has a configuration of which two
    jobs have the same budget, because they differ in what no key says.
    """
    points: dict[str, dict[int, list[int]]] = {}
    for place, setting in enumerate(settings):
        if setting.get(key, "").isdecimal():
            others = {other: value for other, value in setting.items() if other not in BUDGETS}
            points.setdefault(label(others), {}).setdefault(int(setting[key]), []).append(place)
    curves = [
        _curve(name, {images: own[0] for images, own in by_budget.items()}, spreads)
        for name, by_budget in points.items()
        if len(by_budget) >= MIN_CURVE_POINTS and all(len(own) == 1 for own in by_budget.values())
    ]
    return sorted(curves, key=lambda curve: -float(np.mean(curve.mean)))


def _curve(name: str, by_budget: Mapping[int, int], spreads: Sequence[Spread]) -> Curve:
    images, jobs = (list(each) for each in zip(*sorted(by_budget.items()), strict=True))
    means = [spreads[job].mean for job in jobs]
    intervals = [spreads[job].interval or (spreads[job].mean,) * 2 for job in jobs]
    return Curve(name, images, means, [low for low, _ in intervals], [high for _, high in intervals], jobs)


def equal_budgets(better: Curve, other: Curve) -> list[tuple[int, float]]:
    """Find how many images one curve needs for the accuracy that a better one reaches with fewer.

    With accuracies u at m images and v at n images, m < n neighboring budgets of the other curve and u <= a <= v, it
    reaches a at m (n / m)^((a - u) / (v - u)): interpolated linearly in log(images), and never extrapolated. Where a is
    100 %, or within the intervals of several budgets of a flat curve, many numbers of images have it: none is told.

    Returns:
        Images of the better curve and of the other, for each accuracy of the better within the other's.
    """
    equal = []
    for images, accuracy in zip(better.images, better.mean, strict=True):
        fitting = sum(low <= accuracy <= high for low, high in zip(other.low, other.high, strict=True))
        if accuracy >= 1 - TOLERANCE or fitting > 1:
            continue
        for (few, low), (many, high) in itertools.pairwise(zip(other.images, other.mean, strict=True)):
            if low <= accuracy <= high and low < high:
                share = (accuracy - low) / (high - low)
                equal.append((images, few * (many / few) ** share))
                break
    return equal


def does_not_reach(better: Curve, other: Curve) -> bool:
    """Return whether all of a curve lies below the start of a better one, intervals included."""
    return max(other.high) < better.mean[0]
