"""Graft: which transfer works best on a small image data set, and is the difference real?"""

import importlib
from collections.abc import Callable
from types import ModuleType

__version__ = "0.1.0"

# The room of each module that conf/ names. Configurations write the public name, graft.head.Dense, although the class
# is in graft/model/head.py: a module can move without changing a result, a cache or a user's YAML.
ROOMS = {
    "augment": "data",
    "dataset": "data",
    "preprocess": "data",
    "backbone": "model",
    "backbone_timm": "model",
    "backbone_torchvision": "model",
    "head": "model",
    "logger": "training",
    "regularize": "training",
    "schedule": "training",
    "source": "training",
    "tune": "training",
    "sweep": "sweeps",
}


def __getattr__(name: str) -> ModuleType:
    if name in ROOMS:
        return importlib.import_module(f"graft.{ROOMS[name]}.{name}")
    raise AttributeError(f"module 'graft' has no attribute {name!r}")


def public_name(target: Callable) -> str:
    """Return the name by which a configuration builds a class or calls a function: `graft.head.Dense`."""
    package, _, path = target.__module__.partition(".")
    module = path.rpartition(".")[2]
    place = f"{package}.{module}" if package == "graft" and module in ROOMS else target.__module__
    return f"{place}.{target.__qualname__}"
