"""The space of a search: `read_space` makes it from `sweep.space`, or from ranges and lists typed after -m.

Hydra calls this before anything heavy is imported: do not import torch here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Transformer
from omegaconf import DictConfig

from graft.config.build import to_plain
from graft.errors import ConfigError, Fault, GraftError

EXAMPLE = "{low: 1e-4, high: 1e-1, log: true}"


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Args:
        low: the lowest.
        high: the highest.
        log: whether to sample uniformly in the logarithm.
        step: difference between neighboring values; None: any value in between.
        int: whether values are whole numbers.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    int: bool = False

    def value(self, number: float) -> str:
        """Return a number as an override's value: rounded to four digits, unless whole numbers or a step fix it."""
        if self.int:
            return str(round(number))
        if self.step is not None:
            return f"{number:.12g}"
        return str(min(max(float(f"{number:.4g}"), self.low), self.high))

    def values_to_check(self) -> list[str]:
        """Return the lowest and the highest value, as overrides' values."""
        return [self.value(self.low), self.value(self.high)]


@dataclass(frozen=True)
class Choice:
    """One of several overrides' values."""

    values: tuple[str, ...]

    def values_to_check(self) -> list[str]:
        """Return all values."""
        return list(self.values)


Space = dict[str, Range | Choice]


def read_space(config: DictConfig) -> tuple[Space, list[str]]:
    """Read the space of a search.

    If any range or list was typed after -m, those replace `sweep.space` as a whole. A key that was typed with one value
    is not searched.

    Returns:
        The space, and the overrides that all jobs share.

    Raises:
        GraftError: names every entry that is no range and no list.
    """
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    overrides = parser.parse_overrides(list(config.hydra.overrides.task))
    typed = {override.get_key_element(): override for override in overrides if override.is_sweep_override()}
    shared = [override for override in overrides if not override.is_sweep_override()]
    if typed and any(override.key_or_group.startswith("sweep.space") for override in shared):
        first = next(iter(typed.values())).input_line
        raise GraftError(f"{first} replaces sweep.space; try all ranges after -m, or all in sweep.space")
    single = {override.key_or_group for override in shared}
    space: Space = {}
    faults: list[Fault] = []
    for key, entry in (typed or to_plain(config.sweep)["space"]).items():
        if key.lstrip("+") in single:
            continue
        try:
            space[key] = _typed(key, entry) if isinstance(entry, Override) else _configured(key, entry)
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    if not space:
        raise GraftError("there is nothing to search; try lr=interval(1e-4,1e-1)")
    return space, [str(override.input_line) for override in shared]


def _configured(key: str, entry: Any) -> Range | Choice:
    """Read one entry of `sweep.space`.

    Raises:
        ConfigError: it is neither a range nor a list.
    """
    name = f"sweep.space.{key}"
    _check_key(key, name)
    if isinstance(entry, list):
        return _choice(name, [Transformer.str(value) for value in entry])
    if not isinstance(entry, dict) or not {"low", "high"} <= entry.keys():
        raise ConfigError([Fault(name, entry, "a list, or a range with low and high", EXAMPLE)])
    unknown = sorted(str(part) for part in entry.keys() - {"low", "high", "log", "step", "int"})
    if unknown:
        raise ConfigError(
            [Fault(name, f"also {', '.join(unknown)}", "a range of low, high, log, step and int", EXAMPLE)]
        )
    for part, value in entry.items():
        if part in ("log", "int"):
            expected, valid = "true or false", type(value) is bool
        else:
            expected, valid = "a number", type(value) in (int, float) or (part == "step" and value is None)
        if not valid:
            raise ConfigError([Fault(f"{name}.{part}", value, expected, EXAMPLE)])
    return _range(name, **entry)


def _typed(key: str, override: Override) -> Range | Choice:
    """Read a range or a list in Hydra's grammar.

    Raises:
        ConfigError: it has no values.
        GraftError: it is a range of one.
    """
    _check_key(key, key)
    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        assert sweep.start is not None
        assert sweep.end is not None
        whole = "int" in sweep.tags or isinstance(sweep.start, int)
        return _range(key, sweep.start, sweep.end, log="log" in sweep.tags, int=whole)
    if isinstance(sweep, RangeSweep) and sweep.step == 0:
        raise ConfigError([Fault(key, "step 0", "a range with another step", "step 1")])
    if isinstance(sweep, ChoiceSweep | RangeSweep):
        sweep.shuffle = False  # a search that resumes compares its lists with the earlier ones
    values: list[Any] = list(override.sweep_iterator())
    check_step(override, values)
    if isinstance(sweep, RangeSweep) and values:
        low, high = (float(f"{end:.12g}") for end in (min(values), max(values)))
        log = "log" in sweep.tags
        whole = all(isinstance(value, int) for value in values)
        return _range(key, low, high, log=log, step=None if log else abs(sweep.step), int=whole)
    return _choice(key, list(override.sweep_string_iterator()))


def check_step(override: Override, values: Sequence[object]) -> None:
    """Refuse a range of fractions that lists one value only, because a range without a step has the step 1.

    Raises:
        GraftError: suggests a step.
    """
    sweep = override.value()
    if isinstance(sweep, RangeSweep) and len(values) == 1 and isinstance(sweep.stop, float):
        start, stop = sweep.start or 0, sweep.stop
        raise GraftError(
            f"{override.input_line} lists {values[0]} only, because its step is {sweep.step}; "
            f"try range({start},{stop},{(stop - start) / 4:.2g})"
        )


def _check_key(key: str, name: str) -> None:
    if key.lstrip("+").partition(".")[0] == "sweep":
        raise ConfigError([Fault(name, "several", "one value, because it is a setting of the search", "one of them")])


def _range(
    name: str, low: float, high: float, *, log: bool = False, step: float | None = None, int: bool = False
) -> Range:
    if not float("-inf") < low <= high < float("inf"):
        fault = Fault(name, f"low={low} and high={high}", "a range with low below high", f"low={high} and high={low}")
    elif log and low <= 0:
        fault = Fault(name, f"low={low}", "a range with low above 0, because log is true", "low=1e-4")
    elif log and step is not None:
        fault = Fault(name, f"log and step={step}", "a range with log or step, not both", "log alone")
    elif step is not None and not 0 < step < float("inf"):
        fault = Fault(name, f"step={step}", "a range with step above 0", "step=1, or no step")
    elif int and any(number is not None and number != round(number) for number in (low, high, step)):
        got = f"low={low}, high={high} and step={step or 1}"
        fault = Fault(name, got, "a range of whole numbers, because int is true", "int=false")
    else:
        if step is not None:
            high = float(f"{low + step * ((high - low + 1e-9 * step) // step):.12g}")  # the last value on a step
        return Range(low, high, log, step, int)
    raise ConfigError([fault])


def _choice(name: str, values: Sequence[str]) -> Choice:
    if not values:
        raise ConfigError([Fault(name, "none", "a list of at least one value", "--help, which lists all options")])
    return Choice(tuple(dict.fromkeys(values)))


def job_overrides(values: dict[str, str], shared: Sequence[str]) -> list[str]:
    """Return the overrides of one job: its own values, and those that all jobs share."""
    return [*(f"{key}={value}" for key, value in values.items()), *shared]


def jobs_to_check(config: DictConfig) -> Iterator[list[str]]:
    """Return the overrides of jobs that contain both ends of each range and each value of each list.

    One key is varied at a time; the others have their first value.

    Raises:
        GraftError: the space itself cannot be read.
    """
    space, shared = read_space(config)
    first = {key: part.values_to_check()[0] for key, part in space.items()}
    yield job_overrides(first, shared)
    for key, part in space.items():
        for value in part.values_to_check()[1:]:
            yield job_overrides({**first, key: value}, shared)
