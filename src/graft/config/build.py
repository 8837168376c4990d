"""Objects from configuration. Only here does a configuration become code: all else takes plain arguments.

Do not import torch here: `--help` must answer in under a second.
"""

import functools
import inspect
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from graft.config.target import find_target, flag_faults, parameters_of, targets
from graft.errors import ConfigError, Fault, nearest

Built = TypeVar("Built")


def build(cfg: Mapping[Any, Any], group: str, leave_out: Collection[str] = (), **kwargs: Any) -> Any:
    """Build the object that a group's option names.

    Args:
        cfg: the configuration that holds the group.
        group: the group's key: `head`.
        leave_out: keys of the option that are not the target's.
        kwargs: arguments that an earlier step knows.

    Raises:
        GraftError: as `builder` says, or an argument is missing, or what the target itself refuses.
    """
    make = builder(cfg, group, leave_out, **kwargs)
    if cfg[group].get("_partial_"):
        return make
    missing = [
        name
        for name, parameter in parameters_of(make).items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    if missing:
        expected = f"given, as {cfg[group]['_target_']} needs it"
        raise ConfigError(Fault(f"{group}.{name}", None, expected, f"+{group}.{name}=VALUE") for name in missing)
    return make()


def build_as(
    kind: type[Built], cfg: Mapping[Any, Any], group: str, leave_out: Collection[str] = (), **kwargs: Any
) -> Built:
    """Build an object as `build` does, and check its class.

    Raises:
        GraftError: as `build` says, or the object is of another class.
    """
    made = build(cfg, group, leave_out, **kwargs)
    if isinstance(made, kind):
        return made
    key, expected = f"{group}._target_", f"a class that inherits from {kind.__module__}.{kind.__name__}"
    raise ConfigError([Fault(key, cfg[group]["_target_"], expected, f"{key}=mypkg.My{kind.__name__}")])


def builder(cfg: Mapping[Any, Any], group: str, leave_out: Collection[str] = (), **kwargs: Any) -> functools.partial:
    """Return a function that builds a group's object, for objects that are built many times.

    Raises:
        ConfigError: names the keys that the target does not take or that Graft gives, flags that are neither true nor
            false, or a target that cannot be imported or does not take what Graft gives.
    """
    option = {key: value for key, value in _plain(cfg[group]).items() if key not in leave_out}
    faults = [  # of inner options, too: Hydra's own errors are of many lines
        fault
        for key, inner in targets(option, group)
        for fault in flag_faults(key, inner, find_target(f"{key}._target_", inner["_target_"]))
    ]
    if faults:
        raise ConfigError(faults)
    target = find_target(f"{group}._target_", option.get("_target_"))
    _check_arguments(group, option, parameters_of(target), kwargs)
    # Partial, so that the target's own errors are not wrapped in one of Hydra's.
    made = instantiate({**option, "_partial_": True}, _convert_="all")
    if any(key != group for key, _ in targets(option, group)):
        made = _with_parts_of_its_own(target, option)
    return functools.partial(made, **kwargs) if kwargs else made


def _check_arguments(
    group: str, option: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter], given: Mapping[str, Any]
) -> None:
    """Refuse keys that Graft gives itself or the target does not take, and a target that does not take Graft's."""
    keys, target = [key for key in option if not key.startswith("_")], option["_target_"]
    twice = [key for key in keys if key in given]
    if twice:
        raise ConfigError(
            Fault(f"{group}.{key}", option[key], "left out, because Graft gives it", f"~{group}.{key}") for key in twice
        )
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    signature = ", ".join(parameters)
    if not given.keys() <= parameters.keys():
        expected = (
            f"a class or function with the arguments {' and '.join(given)}, which Graft gives (it has {signature})"
        )
        raise ConfigError([Fault(f"{group}._target_", target, expected, f"def __init__(self, {', '.join(given)})")])
    unknown = sorted(key for key in keys if key not in parameters)
    if unknown:
        listed = signature if len(parameters) <= 12 else f"such as {', '.join(nearest(unknown[0], parameters, 3))}"
        expected = f"an argument of {target} ({listed})"
        raise ConfigError(Fault(f"{group}.{key}", option[key], expected, f"~{group}.{key}") for key in unknown)


def _with_parts_of_its_own(target: Callable[..., Any], option: Mapping[str, Any]) -> functools.partial:
    """Return a function that builds an object with new objects of the options in its option, `head.norm._target_`.

    Hydra would build these once, and all trials would initialize and train the same one.
    """
    given = {key: value for key, value in option.items() if not key.startswith("_")}

    @functools.wraps(target)
    def make(*args: Any, **arguments: Any) -> Any:
        parts = instantiate({key: value for key, value in arguments.items() if key in given}, _convert_="all")
        return target(*args, **(arguments | parts))

    return functools.partial(make, **given)


def to_plain(cfg: DictConfig) -> dict[str, Any]:
    """Return the configuration as plain containers that JSON can store, with all interpolations resolved."""
    return {key: _storable(value) for key, value in _plain(cfg).items()}


def _plain(cfg: DictConfig) -> dict[str, Any]:
    container = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _storable(value: Any) -> Any:
    """Return a value with text in place of numbers that are not finite: `regularize.clip=inf`."""
    if isinstance(value, dict):
        return {key: _storable(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_storable(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
