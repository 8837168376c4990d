"""What identifies a job: the part of its configuration that affects its results, and its data.

Do not import torch here: `--help` must answer in under a second.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from graft.errors import GraftError
from graft.files import fingerprint
from graft.job_folder import read_result

# Part of every job's identity and of every stored pre-training's name. Raise it only with a change that alters
# results: all finished jobs then run again, and all pre-trainings too.
RESULTS_VERSION = "0.2.0"

# Keys that may differ between two runs of the same job: they change its results only by rounding error.
NOT_COMPARED = ("name", "cache", "trials_at_once", "resume", "sweep", "report")
NOT_COMPARED_TRAINER = ("accelerator", "devices", "strategy", "num_nodes")


def job_identity(config: Mapping[str, Any], images: str) -> str:
    """Return a job's identity: two runs with the same one have the same results, except for rounding errors.

    Args:
        config: the job's plain configuration.
        images: the fingerprint of its data set's images.
    """
    return fingerprint(json.dumps(result_config(config), sort_keys=True), images, RESULTS_VERSION)[:24]


def result_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a job's plain configuration that affects its results."""
    flags = config.get("trainer", {})  # results of older versions may lack it
    trainer = {key: value for key, value in flags.items() if key not in NOT_COMPARED_TRAINER}
    return {key: value for key, value in config.items() if key not in NOT_COMPARED} | {"trainer": trainer}


def without_hydra(config: DictConfig) -> DictConfig:
    """Return a composed configuration without Hydra's own part."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def choices(hydra: Any) -> dict[str, str]:
    """Return the chosen option of each of Graft's groups, from Hydra's own part of the configuration."""
    chosen = hydra.runtime.choices
    return {
        str(group): str(chosen[group])
        for group in sorted(map(str, chosen))
        if not group.startswith("hydra/") and chosen[group] not in (None, "null")
    }


def leaves(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a nested configuration: values by dotted keys."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def check_existing_result(config: Mapping[str, Any], folder: Path) -> None:
    """Refuse to overwrite the result of another configuration.

    Args:
        config: the job's plain configuration.
        folder: the job's folder.

    Raises:
        GraftError: names the folder and the keys that differ.
    """
    existing = read_result(folder)
    if existing is None or "config" not in existing:
        return  # no result, or a damaged one: the job runs
    old, new = leaves(result_config(existing["config"])), leaves(result_config(config))
    # Keys that were added after an old result was written are not compared.
    changed = [key for key in new if key in old and old[key] != new[key]]
    if changed:
        raise GraftError(
            f"{folder} has the result of another configuration ({', '.join(changed)} differ); "
            "try another name=, or remove that folder"
        )
