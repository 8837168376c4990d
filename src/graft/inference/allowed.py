"""Which classes a model file may name: networks of Graft, torchvision, timm, and of modules that the user names."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from graft.config.target import find_target
from graft.errors import ConfigError, GraftError
from graft.inference.model_file import MODEL

PACKAGES = ("graft", "torchvision", "timm")


def build_network(option: Mapping[str, Any], key: str, modules: Sequence[str], **known: Any) -> nn.Module:
    """Build the module that an option of a model file names.

    The file may come from anybody: what it names is imported only if it is in an allowed package, and called only if
    it is a network, so that no other function of these packages can be run with the file's arguments.

    Args:
        option: its `_target_` and arguments.
        key: the option's, for messages.
        modules: packages or modules of the user's own that are allowed, too.
        known: further arguments.

    Raises:
        GraftError: it names something else, or the network refuses its arguments.
    """
    target = find_network(option.get("_target_"), key, modules)
    given = {name: value for name, value in option.items() if name != "_target_"}
    arguments = {str(name): _built(value, f"{key}.{name}", modules) for name, value in given.items()} | known
    try:
        return target(**arguments)
    except GraftError:
        raise
    except Exception as error:  # whatever a class raises for arguments that are not its own
        raise GraftError(
            f"{MODEL}: {option['_target_']} cannot be built ({' '.join(str(error).split())}); try a fresh copy of the "
            "folder, or the versions that result.json names"
        ) from None


def find_network(path: object, key: str, modules: Sequence[str]) -> type[nn.Module]:
    """Return the network's class of this full name.

    Raises:
        GraftError: it is not in an allowed package, or no network.
    """
    names = path.split(".") if isinstance(path, str) else []
    allowed = (*PACKAGES, *modules)
    if not any(names[: each.count(".") + 1] == each.split(".") for each in allowed) or any(
        name.startswith("_") for name in names
    ):
        own = f"; if it is yours, allow it with modules={names[0]}" if names else ""
        raise GraftError(f"{MODEL}: {key}._target_={path} is outside of {', '.join(allowed)}: it is not imported{own}")
    try:
        found = find_target(f"{key}._target_", path)
    except ConfigError as error:
        raise GraftError(f"{MODEL}: {error}") from None
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        raise GraftError(f"{MODEL}: {key}._target_={path} is no network (a subclass of torch.nn.Module): not called")
    return found


def _built(value: Any, key: str, modules: Sequence[str]) -> Any:
    """Return a value with the networks that it names inside."""
    if isinstance(value, dict) and "_target_" in value:
        return build_network(value, key, modules)
    if isinstance(value, dict):
        return {name: _built(inner, f"{key}.{name}", modules) for name, inner in value.items()}
    return [_built(inner, key, modules) for inner in value] if isinstance(value, list) else value
