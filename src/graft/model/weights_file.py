"""Weights files: those that people have, and those that Graft writes with the input that their weights expect."""

import json
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from graft.data.preprocess import PretrainedInput
from graft.errors import GraftError
from graft.files import write_tensors
from graft.model.stages import Weights

# Keys of a checkpoint under which its state dict is: Lightning's and timm's, PyTorch tutorials', torchvision's.
CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model")


def read_weights(path: Path) -> Weights:
    """Return the tensors of a safetensors file, a state dict from `torch.save` or a checkpoint that contains one.

    Raises:
        GraftError: the file cannot be read or contains no state dict.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals([Namespace]):  # torchvision's scripts save their arguments, too
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers' exceptions depend on the file's bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GraftError(
            f"source.path={path} cannot be read as weights ({reason}); "
            "try a .safetensors file or a state dict written by torch.save"
        ) from None
    inner = [loaded[key] for key in CHECKPOINT_KEYS if key in loaded] if isinstance(loaded, dict) else []
    for mapping in (loaded, *inner):
        if isinstance(mapping, Mapping) and all(isinstance(value, torch.Tensor) for value in mapping.values()):
            return dict(mapping)
    raise GraftError(
        f"source.path={path} contains no state dict; expected a mapping of names to tensors, or one under "
        f"{', '.join(CHECKPOINT_KEYS[:-1])} or {CHECKPOINT_KEYS[-1]}"
    )


def read_trained_on(path: Path) -> PretrainedInput | None:
    """Return the input that a file's weights were trained on; None if Graft did not write the file."""
    try:
        with safe_open(path, "pt") as file:
            written = json.loads((file.metadata() or {})["trained_on"])
    except (OSError, SafetensorError, KeyError):  # missing, not safetensors, or not written by Graft
        return None
    return PretrainedInput(**{**written, "mean": tuple(written["mean"]), "std": tuple(written["std"])})


def write_weights(path: Path, weights: Weights, trained_on: PretrainedInput, accuracy: float) -> None:
    """Write pre-trained weights with the input that they were trained on and their training accuracy, in [0, 1]."""
    write_tensors(path, weights, {"trained_on": json.dumps(asdict(trained_on)), "accuracy": f"{accuracy:.4f}"})
