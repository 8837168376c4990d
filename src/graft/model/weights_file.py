"""Weights files: those that people have, and those that Graft writes with the input that their weights expect."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from graft.data.preprocess import PretrainedInput
from graft.errors import GraftError
from graft.files import write_tensors
from graft.model.checkpoint_file import MEND, Unloaded, load
from graft.model.stages import Weights


def read_weights(path: Path) -> Weights:
    """Return the tensors of a safetensors file, a state dict from `torch.save` or a checkpoint.

    Tensors in nested mappings, such as a checkpoint's `state_dict`, have the keys above them in their names, with dots.

    Raises:
        GraftError: the file cannot be read, or contains no tensors by name.
    """
    loaded = load(path)
    found = dict(_tensors(loaded)) if isinstance(loaded, Mapping) else {}
    if found:
        return found
    objects = [loaded, *(loaded.values() if isinstance(loaded, Mapping) else [])]
    module = next((type(each).__name__ for each in objects if isinstance(each, Unloaded) and each.is_module), None)
    held = f"a whole module, {module}, which could run code when it is loaded" if module else "no state dict"
    raise GraftError(f"source.path={path} contains {held}; {MEND}")


def _tensors(loaded: Mapping, prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    for key, value in loaded.items():
        if isinstance(value, torch.Tensor):
            yield f"{prefix}{key}", value
        elif isinstance(value, Mapping) and prefix + str(key) != "optimizer":  # whose moments are no weights
            yield from _tensors(value, f"{prefix}{key}.")


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
