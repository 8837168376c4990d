"""Graft: which transfer works best on a small image data set, and is the difference real?"""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graft.api.answer import Answer, JobResult, read
    from graft.api.classifier import TransferClassifier
    from graft.api.data import Data, arrays, image_folder, table
    from graft.api.final import refit
    from graft.api.jobs import compare, run
    from graft.api.model import Model
    from graft.data.datamodule import SmallDataModule
    from graft.errors import GraftError
    from graft.training.transfer import TransferModule
    from graft.training.tune import Freeze

__version__ = "0.1.0"

# The room of each module that conf/ names. Configurations write the public name, graft.head.Dense, although the class
# is in graft/heads/head.py: a module can move without changing a result, a cache or a user's YAML.
ROOMS = {
    "augment": "data",
    "dataset": "data",
    "dataset_table": "data",
    "preprocess": "data",
    "backbone": "backbones",
    "backbone_timm": "backbones",
    "backbone_torchvision": "backbones",
    "best_solved_head": "heads",
    "head": "heads",
    "points_head": "heads",
    "solved_head": "heads",
    "logger": "training",
    "regularize": "training",
    "schedule": "training",
    "source": "training",
    "tune": "training",
    "sweep": "sweeps",
}


# The module of each name of the Python interface, which is imported when the name is first used. `graft.run` is the
# room of that name, too, and src/graft/run/__init__.py makes it callable.
NAMES = {
    "Answer": "graft.api.answer",
    "Data": "graft.api.data",
    "Freeze": "graft.training.tune",
    "GraftError": "graft.errors",
    "JobResult": "graft.api.answer",
    "Model": "graft.api.model",
    "SmallDataModule": "graft.data.datamodule",
    "TransferClassifier": "graft.api.classifier",
    "TransferModule": "graft.training.transfer",
    "arrays": "graft.api.data",
    "compare": "graft.api.jobs",
    "image_folder": "graft.api.data",
    "read": "graft.api.answer",
    "refit": "graft.api.final",
    "table": "graft.api.data",
}

__all__ = [
    "Answer",
    "Data",
    "Freeze",
    "GraftError",
    "JobResult",
    "Model",
    "SmallDataModule",
    "TransferClassifier",
    "TransferModule",
    "arrays",
    "compare",
    "image_folder",
    "read",
    "refit",
    "run",
    "table",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *NAMES, *ROOMS, "run"})


def __getattr__(name: str) -> Any:
    if name in NAMES:
        return getattr(importlib.import_module(NAMES[name]), name)
    if name in ROOMS:
        return importlib.import_module(f"graft.{ROOMS[name]}.{name}")
    if name == "run":
        return importlib.import_module("graft.run")
    raise AttributeError(f"module 'graft' has no attribute {name!r}")


def public_name(target: Callable) -> str:
    """Return the name by which a configuration builds a class or calls a function: `graft.head.Dense`."""
    package, _, path = target.__module__.partition(".")
    module = path.rpartition(".")[2]
    place = f"{package}.{module}" if package == "graft" and module in ROOMS else target.__module__
    return f"{place}.{target.__qualname__}"
