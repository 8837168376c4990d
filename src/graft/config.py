"""The configuration: its knobs and their types, and how objects are built from it; what is refused is in check.py.

Nothing heavy is imported here, so that a mistyped key answers at once.
"""

import functools
import hashlib
import inspect
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.utils import get_object, instantiate
from omegaconf import MISSING, DictConfig, OmegaConf

from graft.errors import GraftError

Activation = Enum("Activation", ["relu", "tanh", "sigmoid", "gelu"])
KeepWeights = Enum("KeepWeights", ["best", "all", "none"])

# What may differ between two runs of one job: none of it changes the job's numbers beyond rounding.
NOT_COMPARED = ("name", "cache", "trials_at_once", "resume", "sweep", "report")
NOT_COMPARED_TRAINER = ("accelerator", "devices", "strategy", "num_nodes")


@dataclass
class Report:
    """What a sweep's report shows besides its ranking."""

    baseline: str | None = None


@dataclass
class Knobs:
    """The types of conf/train.yaml's keys, where each has its default and its meaning."""

    dataset: Any = MISSING
    backbone: Any = MISSING
    source: Any = MISSING
    head: Any = MISSING
    tune: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING
    augment: Any = MISSING
    regularize: Any = MISSING
    trainer: Any = MISSING
    sweep: Any = None  # a search's settings; None: Hydra's grid
    name: str = MISSING
    seed: int = MISSING
    trials: int = MISSING
    trials_at_once: Any = MISSING
    epochs: int = MISSING
    batch_size: int = MISSING
    dropout: float = MISSING
    activation: Activation = MISSING
    width: int = MISSING
    lr: Any = MISSING
    class_weights: str | None = None
    val_every: int = MISSING
    test_curve: bool = MISSING
    resume: Any = MISSING
    keep_weights: KeepWeights = MISSING
    cache: str = MISSING
    report: Report = field(default_factory=Report)
    reference: Any = None  # a published range of accuracies: low and high, fractions of 1, and their source


def build(node: DictConfig, **known: Any) -> Any:
    """Build the object that a group's option names.

    Args:
        node: the option, with its `_target_`.
        known: arguments that an earlier step knows.

    Raises:
        GraftError: as `builder` says, or what the target itself refuses.
    """
    make = builder(node, **known)
    return make if node.get("_partial_") else make()


def builder(node: DictConfig, **known: Any) -> functools.partial:
    """Return what builds an option's object, for what is built many times; only here configuration becomes code.

    Raises:
        GraftError: a key that the target does not take.
    """
    target = get_object(node._target_)
    arguments = {key for key in node if not str(key).startswith("_")} | known.keys()
    parameters = inspect.signature(target).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        unknown = sorted(str(key) for key in arguments - parameters.keys())
        if unknown:
            key = node._get_full_key(unknown[0])
            raise GraftError(
                f"{node._target_} takes no {', '.join(unknown)}; it takes {', '.join(parameters)}; "
                f"leave it out, or try ~{key} where an experiment sets it"
            )
    # Partial, so that the target's errors are its own, not wrapped into one of Hydra's.
    made = instantiate({**plain(node), "_partial_": True}, _convert_="all")
    return functools.partial(made, **known) if known else made


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return the configuration as plain containers, everything resolved."""
    container = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def own(config: DictConfig) -> DictConfig:
    """Return a composed configuration without Hydra's own part."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def compared(config: dict[str, Any]) -> dict[str, Any]:
    """Return what of a job's plain configuration decides its numbers."""
    flags = config.get("trainer", {})  # absent from some results of older versions
    trainer = {key: value for key, value in flags.items() if key not in NOT_COMPARED_TRAINER}
    return {key: value for key, value in config.items() if key not in NOT_COMPARED} | {"trainer": trainer}


def choices(hydra: Any) -> dict[str, str]:
    """Return the option that was chosen of each of Graft's groups, from Hydra's own part of the configuration."""
    chosen = hydra.runtime.choices
    return {
        str(group): str(chosen[group])
        for group in sorted(map(str, chosen))
        if not group.startswith("hydra/") and chosen[group] not in (None, "null")
    }


def folder_name(text: str, length: int = 100) -> str:
    """Return a text as the name of one folder: no separators, and a hash instead of what is too long."""
    name = re.sub(r"[^\w.,=+\-\[\]]+", "_", text).strip("._") or "default"
    if len(name) > length:
        name = f"{name[: length - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return name


def _typed() -> list[str]:
    return [word for word in sys.argv[1:] if "=" in word and not word.startswith(("-", "hydra"))]


def _job_folder(overrides: Sequence[str], typed: Sequence[str]) -> str:
    """Name a sweep's job after what tells it from others, `head=plain_dropout=0.5`, a lone one after its experiment."""
    # Hydra writes what was typed in its own way: test_curve=False, report.baseline=source\\:scratch.
    same = {word.lower() for word in typed}
    own = [override for override in overrides if override.replace("\\", "").lower() not in same]
    return folder_name("_".join(own or [override for override in overrides if override.startswith("experiment=")]))


def environment_rank() -> int:
    """Return which of the processes that torchrun, srun or Graft itself has started this one is; 0 if it is alone."""
    several = int(os.environ.get("SLURM_NTASKS", 1)) > 1
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0) if several else 0))


def _on_rank_0(value: Any, elsewhere: Any) -> Any:
    return value if environment_rank() == 0 else elsewhere


OmegaConf.register_new_resolver("on_rank_0", _on_rank_0, replace=True)
# Cached: Hydra hands a sweep's cache to its jobs, which are composed from overrides of their own.
OmegaConf.register_new_resolver("typed", _typed, use_cache=True, replace=True)
OmegaConf.register_new_resolver("run_folder", lambda typed: folder_name("_".join(typed)), replace=True)
OmegaConf.register_new_resolver("job_folder", _job_folder, replace=True)
ConfigStore.instance().store(name="knobs", node=Knobs)
