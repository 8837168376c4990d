"""The weights that a job has kept, as those of a backbone: what its trials trained, and the stages that it froze."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch

from graft.errors import GraftError
from graft.model.stages import Weights
from graft.nouns import counted

PREFIXES = ("trials.", "frozen.")  # how all names in a job's weights.safetensors start
STAGE = re.compile(r"(trials\.stages|frozen)\.stage(\d+)\.(.+)")


def is_of_a_job(weights: Mapping[str, torch.Tensor]) -> bool:
    """Return whether weights have the names that a job's file has."""
    return bool(weights) and all(name.startswith(PREFIXES) for name in weights)


def of_backbone(weights: Mapping[str, torch.Tensor], path: Path) -> Weights:
    """Return a job's weights under the names of its backbone, without the head.

    Args:
        weights: of the job's file; what a trial has trained has an axis of trials before its own.
        path: the file, for messages.

    Raises:
        GraftError: it has several trials' weights, or not those of all stages, or other ones.
    """
    found, trials, numbers = {}, 1, set()
    for name, value in weights.items():
        match = STAGE.fullmatch(name)
        if match is None:
            if not name.startswith("trials.head."):
                raise GraftError(f"source.path={path} is a job's file with {name}, which is of no stage; {_mend(path)}")
            continue
        part, number, rest = match.groups()
        numbers.add(int(number))
        if part != "frozen":
            trials, value = max(trials, len(value)), value[0]
        found[f"stages.{int(number) - 1}.{rest}"] = value
    if trials > 1:
        raise GraftError(
            f"source.path={path} has the weights of {counted(trials, 'trial')}, of which a backbone can have one's; "
            "run that job again with keep_weights=best, which keeps the best one"
        )
    if min(numbers, default=2) > 1:
        first = "no stage" if not numbers else f"no stage before stage {min(numbers)}"
        raise GraftError(
            f"source.path={path} is a job's file with {first}, as frozen ones are elsewhere; {_mend(path)}"
        )
    return found


def _mend(path: Path) -> str:
    return f"run the job of {path.parent} again with keep_weights=whole, which writes all stages of its best trial"
