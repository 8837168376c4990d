"""One configuration, from its plan to its files, and its processes; as a function, `graft.run` of the interface."""

import importlib
import sys
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    """This package. Python makes `graft.run` name it as soon as one of its modules is imported."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return importlib.import_module("graft.api.jobs").run(*args, **kwargs)


sys.modules[__name__].__class__ = _Room
