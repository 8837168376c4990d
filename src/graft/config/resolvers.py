"""Resolvers: functions that conf/train.yaml calls to name folders after what was typed, and to list the keys.

Do not import torch here: `--help` must answer in under a second.
"""

import hashlib
import re
import sys
from collections.abc import Sequence
from typing import Any

from omegaconf import OmegaConf

from graft.config.help import help_keys
from graft.process import environment_rank


def register() -> None:
    """Register the resolvers with OmegaConf."""
    OmegaConf.register_new_resolver("on_rank_0", _on_rank_0, replace=True)
    # Cached: Hydra copies a sweep's resolver cache to its jobs, which are composed from overrides of their own.
    OmegaConf.register_new_resolver("typed", _typed, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("run_folder", lambda typed: folder_name("_".join(typed)), replace=True)
    OmegaConf.register_new_resolver("job_folder", job_folder_name, replace=True)
    OmegaConf.register_new_resolver("help_keys", lambda *, _root_: help_keys(_root_), replace=True)


def folder_name(text: str, length: int = 100) -> str:
    """Return a text as the name of one folder: no separators, and a hash in place of what exceeds `length`."""
    name = re.sub(r"[^\w.,=+\-\[\]]+", "_", text).strip("._") or "default"
    if len(name) > length:
        name = f"{name[: length - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return name


def job_folder_name(overrides: Sequence[str], typed: Sequence[str]) -> str:
    """Return the name of a sweep's job: the overrides that only some jobs have, `head=plain_dropout=0.5`.

    Args:
        overrides: the job's.
        typed: what was typed for the whole sweep; a job without overrides of its own is named after its experiment.
    """
    # Hydra rewrites what was typed: test_curve=False, report.baseline=source\\:scratch.
    shared = {word.lower() for word in typed}
    per_job = [override for override in overrides if override.replace("\\", "").lower() not in shared]
    return folder_name("_".join(per_job or [override for override in overrides if override.startswith("experiment=")]))


def _typed() -> list[str]:
    return [word for word in sys.argv[1:] if "=" in word and not word.startswith(("-", "hydra"))]


def _on_rank_0(value: Any, elsewhere: Any) -> Any:
    return value if environment_rank() == 0 else elsewhere
