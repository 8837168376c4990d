"""Targets: the classes and functions that the keys `_target_` name.

Do not import torch here: `--help` must answer in under a second.
"""

import importlib
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

import graft
from graft.errors import ConfigError, Fault, nearest

FLAGS = (bool, bool | None, "bool", "bool | None", "Optional[bool]")  # texts where annotations are not evaluated


def find_target(key: str, path: object) -> Callable[..., Any]:
    """Return the class or function of a full name.

    Args:
        key: the key that has the name, for messages: `head._target_`.
        path: the name: `graft.head.Dense`, or `mypkg.heads.Wide` for one of the user's own.

    Raises:
        ConfigError: it cannot be imported or called. The message has the reason, where in the user's code it is, and
            the nearest name.
    """
    names = path.split(".") if isinstance(path, str) else []
    if len(names) < 2 or not all(names):
        raise _refused(key, path, "it has no module", f"{key}=mypkg.mymodule.NAME")
    if names[0] == "__main__" and not hasattr(sys.modules["__main__"], "__file__"):
        reason = "it is in a notebook or was typed, where Graft cannot see whether it has changed since a job"
        raise _refused(key, path, reason, f"{key}=mymodule.{names[-1]}, of a file mymodule.py that is imported")
    found: Any = None
    for number, name in enumerate(names):
        try:
            found = _inside(found, name)
        except Exception as error:  # whatever the user's module raises as it is imported
            reason, example = _reason(error, found, names[: number + 1])
            similar = nearest(name, _inner_names(found), similarity=0.6)
            if similar and name not in similar:
                example = f"{key}={'.'.join([*names[:number], *similar, *names[number + 1 :]])}"
            raise _refused(key, path, reason, example) from None
    if not callable(found):
        raise _refused(key, path, f"it is a {type(found).__name__}", f"{key}={path}.NAME")
    return found


def targets(option: object, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a group's option and the options in it that name a target, each after its key."""
    if isinstance(option, dict):
        if "_target_" in option:
            yield key, option
        for name, inner in option.items():
            yield from targets(inner, f"{key}.{name}")
    elif isinstance(option, list):
        for number, inner in enumerate(option):
            yield from targets(inner, f"{key}.{number}")


def parameters_of(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a class or function by name; a built-in one that does not say them may take anything."""
    try:
        return inspect.signature(target).parameters
    except ValueError:
        return {"options": inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD)}


def flag_faults(key: str, option: dict[str, Any], target: Callable[..., Any]) -> Iterator[Fault]:
    """Yield the values of an option's true-or-false parameters that are neither.

    A user's own class has no rules, and Python takes the text `no` as true. A parameter is true or false if its
    annotation says so or, without one, if its default is.
    """
    for name, parameter in parameters_of(target).items():
        says = parameter.annotation if parameter.annotation is not parameter.empty else type(parameter.default)
        if name in option and says in FLAGS and not isinstance(option[name], bool | None):
            expected = f"true or false, as {name} of {option['_target_']} is"
            yield Fault(f"{key}.{name}", option[name], expected, "true in its place")


def _inside(parent: Any, name: str) -> Any:
    """Return a module, or what a module or class has under this name."""
    if parent is None:
        return importlib.import_module(name)
    if isinstance(parent, ModuleType) and not hasattr(parent, name):
        return importlib.import_module(f"{parent.__name__}.{name}")
    return getattr(parent, name)


def _inner_names(parent: Any) -> Iterable[str]:
    """Return the public names in a module or class; without one, those of all packages."""
    folders = None if parent is None else getattr(parent, "__path__", [])
    rooms = graft.ROOMS if parent is graft else []
    return [
        name
        for name in [*dir(parent), *rooms, *(each.name for each in pkgutil.iter_modules(folders))]
        if name[0] != "_"
    ]


def _reason(error: Exception, parent: Any, names: list[str]) -> tuple[str, str]:
    """Return why a name cannot be imported, and what to try: it is not there, or a line of the user's code fails."""
    path, outer, name = ".".join(names), ".".join(names[:-1]), names[-1]
    if isinstance(error, ModuleNotFoundError) and error.name == path and parent is None:
        return f"Python finds no module {name}", f"PYTHONPATH=DIR python ..., where DIR contains {name}"
    if getattr(error, "name", None) == (f"{parent.__name__}.{name}" if isinstance(parent, ModuleType) else name):
        return f"there is no {name} in {outer}", f"another name in {outer}"
    if isinstance(error, SyntaxError):
        place = f" in {error.filename}, line {error.lineno}"
    else:
        frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename != __file__]
        own = [each for each in frames if "importlib" not in each.filename and "site-packages" not in each.filename]
        place = f" in {own[-1].filename}, line {own[-1].lineno}" if own else ""
    first = (getattr(error, "msg", str(error)).splitlines() or [""])[0]
    return f"importing {path} raises {type(error).__name__}: {first}{place}", f"python -c 'import {path}'"


def _refused(key: str, path: object, reason: str, example: str) -> ConfigError:
    return ConfigError([Fault(key, path, f"the full name of a class or function ({reason})", example)])
