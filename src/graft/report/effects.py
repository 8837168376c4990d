"""What each swept key does over all else: main effects in a grid, and accuracy against the number of images."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas

from graft.report.settings import BUDGETS, Setting, label, listed, said
from graft.report.statistics import Accuracies, compare_all, spread

POINTS = 3  # budgets that make a curve


def is_grid(settings: Sequence[Setting]) -> bool:
    """Tell whether the settings are all combinations of two or more keys' values, each once."""
    keys = list(settings[0]) if settings else []
    if len(keys) < 2 or any(list(setting) != keys for setting in settings):
        return False
    combined = {tuple(setting.values()) for setting in settings}
    return len(combined) == len(settings) == math.prod(len({row[key] for row in settings}) for key in keys)


def main_effects(settings: Sequence[Setting], accuracies: Sequence[Accuracies]) -> pandas.DataFrame:
    """Tabulate each key's values, each trial's accuracy averaged over all other keys.

    Averaging a trial over the same other values keeps the trials paired; a seed that some job lacks is left out.

    Args:
        settings: a grid's, as `is_grid` tells.
        accuracies: of each setting, by seed.

    Returns:
        A row for each key's value: key, value, trials, mean, and difference (with interval and corrected p) to the
        key's best value. Empty where no seed is common to all.
    """
    seeds = [seed for seed in accuracies[0] if all(seed in other for other in accuracies)]
    rows = []
    for key in settings[0] if seeds else ():
        values = _ordered({setting[key] for setting in settings})
        averaged: dict[str, Accuracies] = {}
        for value in values:
            those = [own for setting, own in zip(settings, accuracies, strict=True) if setting[key] == value]
            averaged[value] = {seed: float(np.mean([own[seed] for own in those])) for seed in seeds}
        compared = compare_all(averaged)
        for value in values:
            own, difference = spread(averaged[value]), compared.differences.get(value)
            low, high = (difference and difference.interval) or (None, None)
            rows.append(
                {"key": key, "value": value, "trials": own.trials, "mean": own.mean}
                | {"difference": difference and difference.mean, "difference_low": low, "difference_high": high}
                | {"p": difference and difference.p}
            )
    return pandas.DataFrame(rows)


def _ordered(values: set[str]) -> list[str]:
    try:
        return sorted(values, key=float)
    except ValueError:
        return sorted(values)


@dataclass(frozen=True)
class Curve:
    """One configuration's accuracy at several numbers of images."""

    label: str
    images: list[int]
    mean: list[float]
    low: list[float]  # 95 % interval of the mean, or the mean itself where there is one trial
    high: list[float]


def budget_key(settings: Sequence[Setting]) -> str | None:
    """Return the swept key that counts images, if it takes enough values for a curve."""
    for key in BUDGETS:
        values = {setting[key] for setting in settings if setting.get(key, "null") != "null"}
        if len(values) >= POINTS:
            return key
    return None


def budget_curves(key: str, settings: Sequence[Setting], accuracies: Sequence[Accuracies]) -> list[Curve]:
    """Return a curve for each combination of the other keys' values, that of the highest mean first."""
    found: dict[str, dict[int, Accuracies]] = {}
    for setting, own in zip(settings, accuracies, strict=True):
        if setting.get(key, "null") != "null":
            others = {other: value for other, value in setting.items() if other not in BUDGETS}
            found.setdefault(label(others), {})[int(setting[key])] = own
    curves = [_curve(name, points) for name, points in found.items() if len(points) >= POINTS]
    return sorted(curves, key=lambda curve: -float(np.mean(curve.mean)))


def _curve(name: str, points: Mapping[int, Accuracies]) -> Curve:
    images = sorted(points)
    spreads = [spread(points[count]) for count in images]
    means = [own.mean for own in spreads]
    ends = [own.interval or (own.mean, own.mean) for own in spreads]
    return Curve(name, images, means, [low for low, _ in ends], [high for _, high in ends])


def equal_budgets(better: Curve, other: Curve) -> list[tuple[int, float]]:
    """Find with how many images one curve reaches what another has with fewer.

    Between two measured budgets accuracy is taken as linear in the logarithm of the number of images; beyond them
    nothing is said.

    Returns:
        Images of the better curve and of the other, for each accuracy of the better within the other's.
    """
    equal = []
    for images, accuracy in zip(better.images, better.mean, strict=True):
        for (few, low), (many, high) in itertools.pairwise(zip(other.images, other.mean, strict=True)):
            if low <= accuracy <= high and low < high:
                share = (accuracy - low) / (high - low)
                equal.append((images, few * (many / few) ** share))
                break
    return equal


def budget_sentences(key: str, curves: Sequence[Curve]) -> list[str]:
    """Say how many images other curves need for what the best one reaches with fewer."""
    best, sentences = curves[0], []
    for other in curves[1:4]:
        equal = equal_budgets(best, other)
        fewest, most = str(best.images[0]), str(other.images[-1])
        if equal:
            these = said(key, listed([str(few) for few, _ in equal]))
            those = listed([f"{many:.1f}" if many < 10 else f"{many:.0f}" for _, many in equal])
            sentences.append(f"{best.label} with {these} equals {other.label} with {those} (interpolated).")
        elif max(other.mean) < best.mean[0]:
            sentences.append(f"{other.label} with {said(key, most)} does not reach {best.label} with {fewest}.")
    return sentences
