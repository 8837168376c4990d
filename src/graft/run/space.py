"""The space of a search: typed ranges, from `sweep.space` or typed after -m, and what is refused of them.

Hydra calls this before anything heavy is imported.
"""

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Transformer
from omegaconf import DictConfig

from graft.config.build import to_plain
from graft.errors import GraftError


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Args:
        low: the lowest.
        high: the highest.
        log: whether equal ratios, rather than equal differences, are equally likely.
        step: from one to the next; None for all between.
        int: whether only whole numbers count.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    int: bool = False

    def value(self, number: float) -> str:
        """Return a number as an override has it: four digits are enough between two ends, a step is kept exactly."""
        if self.int:
            return str(round(number))
        if self.step is not None:
            return f"{number:.12g}"
        return str(min(max(float(f"{number:.4g}"), self.low), self.high))

    def ends(self) -> list[str]:
        """Return the lowest and the highest value, as overrides have them."""
        return [self.value(self.low), self.value(self.high)]


@dataclass(frozen=True)
class Choice:
    """One of several values, as overrides have them."""

    values: tuple[str, ...]

    def ends(self) -> list[str]:
        """Return all values."""
        return list(self.values)


Space = dict[str, Range | Choice]


def read(config: DictConfig) -> tuple[Space, list[str]]:
    """Read what a sweep searches.

    Ranges typed after -m replace `sweep.space` as a whole; a key with one value is not searched.

    Args:
        config: the sweep's configuration, with `hydra`.

    Returns:
        What is searched; the overrides that all jobs share.

    Raises:
        GraftError: names every range that cannot be.
    """
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    overrides = parser.parse_overrides(list(config.hydra.overrides.task))
    typed = [override for override in overrides if override.is_sweep_override()]
    fixed = [override for override in overrides if not override.is_sweep_override()]
    if typed and any(override.key_or_group.startswith("sweep.space") for override in fixed):
        raise GraftError(f"{typed[0].input_line} replaces sweep.space; give all ranges in one of these ways")
    taken = {override.key_or_group for override in fixed}
    space: Space = {}
    faults = []
    for key, node in [(o.get_key_element(), o) for o in typed] or to_plain(config.sweep)["space"].items():
        try:
            if key.lstrip("+").partition(".")[0] == "sweep":
                raise ValueError("describes the sweep, and cannot be searched")
            if key.lstrip("+") not in taken:
                space[key] = _typed(node) if isinstance(node, Override) else _own(node)
        except ValueError as error:
            name = node.input_line if isinstance(node, Override) else f"sweep.space.{key}"
            faults.append(f"{name} {error}")
    if not faults and not space:
        faults = ["there is nothing to search; try lr=interval(1e-4,1e-1)"]
    if faults:
        raise GraftError("\n".join(faults))
    return space, [str(override.input_line) for override in fixed]


def _own(node: Any) -> Range | Choice:
    """Read one entry of `sweep.space`.

    Raises:
        ValueError: says what it must be.
    """
    if isinstance(node, list):
        return _choice([Transformer.str(value) for value in node])
    example = "{low: 1e-4, high: 1e-1, log: true}"
    if not isinstance(node, dict) or not {"low", "high"} <= node.keys():
        raise ValueError(f"must be a list, or low and high, got {node}; try {example}")
    unknown = sorted(str(key) for key in node.keys() - {"low", "high", "log", "step", "int"})
    if unknown:
        raise ValueError(f"takes no {', '.join(unknown)}; it takes low, high, log, step, int")
    for key, value in node.items():
        kinds = (bool,) if key in ("log", "int") else (int, float)
        if type(value) not in kinds and not (key == "step" and value is None):
            wanted = "true or false" if kinds == (bool,) else "a number"
            raise ValueError(f"must have {wanted} as {key}, got {value}; try {example}")
    return _range(**node)


def _typed(override: Override) -> Range | Choice:
    """Read a range or a list in Hydra's grammar.

    Raises:
        ValueError: says what it must be.
    """
    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        assert sweep.start is not None
        assert sweep.end is not None
        whole = "int" in sweep.tags or isinstance(sweep.start, int)
        return _range(sweep.start, sweep.end, "log" in sweep.tags, int=whole)
    if isinstance(sweep, ChoiceSweep | RangeSweep):
        sweep.shuffle = False  # the order means nothing to a search, which must know its lists again
    values: list[Any] = list(override.sweep_iterator())
    if isinstance(sweep, RangeSweep) and values:
        whole = all(isinstance(value, int) for value in values)
        low, high = (float(f"{end:.12g}") for end in (min(values), max(values)))
        return _range(low, high, "log" in sweep.tags, None if "log" in sweep.tags else abs(sweep.step), whole)
    return _choice(list(override.sweep_string_iterator()))


def _range(low: float, high: float, log: bool = False, step: float | None = None, int: bool = False) -> Range:
    if not float("-inf") < low <= high < float("inf"):
        raise ValueError(f"must have low below high, got {low} and {high}; try low={high} and high={low}")
    if log and low <= 0:
        raise ValueError(f"must have low above 0 for log, got {low}; try low=1e-4")
    if log and step is not None:
        raise ValueError("must have log or step, not both; try log: true alone")
    if step is not None and not 0 < step < float("inf"):
        raise ValueError(f"must have step above 0, got {step}")
    if int and any(end is not None and end != round(end) for end in (low, high, step)):
        raise ValueError(f"must have whole numbers for int, got low {low}, high {high} and step {step or 1}")
    if step is not None:
        high = float(f"{low + step * ((high - low + 1e-9 * step) // step):.12g}")  # the last that a step reaches
    return Range(low, high, log, step, int)


def _choice(values: Sequence[str]) -> Choice:
    if not values:
        raise ValueError("lists nothing to choose from")
    return Choice(tuple(dict.fromkeys(values)))


def overrides(values: dict[str, str], fixed: Sequence[str]) -> list[str]:
    """Return the overrides of one job: its values and what all jobs share."""
    return [*(f"{key}={value}" for key, value in values.items()), *fixed]


def ends(config: DictConfig) -> Iterator[list[str]]:
    """Return the overrides of jobs that show whether the space can be: each range's ends, each list's values.

    Raises:
        GraftError: the space itself cannot be.
    """
    space, fixed = read(config)
    first = {key: part.ends()[0] for key, part in space.items()}
    yield overrides(first, fixed)
    for key, part in space.items():
        for value in part.ends()[1:]:
            yield overrides({**first, key: value}, fixed)


def check_search(jobs: Sequence[DictConfig]) -> None:
    """Refuse a search that lacks Optuna, or images to choose by.

    Args:
        jobs: the configurations at the space's ends.

    Raises:
        GraftError: says what is lacking, and where to get it.
    """
    if importlib.util.find_spec("optuna") is None:
        raise GraftError('sweep=optuna and sweep=random need Optuna; try pip install -e ".[optuna]"')
    for job in jobs:
        root = Path(job.dataset.root or ".") if str(job.dataset._target_).endswith(".ImageFolder") else None
        if job.dataset.val_per_class == 0 and not (root and (root / "train").is_dir() and (root / "val").is_dir()):
            raise GraftError(
                "a search chooses by validation accuracy, since test images must choose nothing, and there are no "
                "validation images; try dataset.val_per_class=20"
            )
