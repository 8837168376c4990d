"""Weights files: those that people have, and those that Graft writes with the input that their weights expect.

A file is what `torch.save` or safetensors wrote, whatever its suffix; no code in it is run.
"""

import json
import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from graft.data.preprocess import PretrainedInput
from graft.errors import GraftError
from graft.files import write_tensors
from graft.model.job_weights import is_of_a_job, of_backbone
from graft.model.stages import Weights

# How files start that are no weights of PyTorch's, and what they are.
FOREIGN = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as Keras writes it",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself (git lfs pull)",
    b"<": "a web page or XML",
    b"\x1f\x8b": "compressed by gzip",
}
MEND = 'try torch.save(model.state_dict(), "weights.pt") in PyTorch'


class Unloaded:
    """Stands for an object of a class that is not loaded, because loading it could run code of the file's.

    Attributes:
        is_module: whether it was an `nn.Module`.
    """

    is_module = False

    def __new__(cls, *args: object, **kwargs: object) -> "Unloaded":
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object):
        pass

    def __setstate__(self, state: object) -> None:
        self.is_module = isinstance(state, Mapping) and "_modules" in state


def load(path: Path) -> Any:
    """Return what a file contains: tensors by name, or a checkpoint's containers.

    Objects besides tensors and plain containers, such as hyper-parameters, are `Unloaded`.

    Raises:
        GraftError: says what the file is instead, if it is not of PyTorch or safetensors, and how to convert it.
    """
    _check_file(path)
    start = _start(path)
    kind = next((kind for magic, kind in FOREIGN.items() if start.startswith(magic)), None)
    kind = "an ONNX model" if path.suffix.lower() == ".onnx" else "empty" if not start else kind
    if kind is None and start.startswith(b"PK") and zipfile.is_zipfile(path):
        kind = _kind_of_zip(path)
    elif kind is None and start.startswith(b"PK\x03\x04"):
        kind = "cut off, as after a copy or download that was interrupted (an archive without its end)"
    if kind is not None:
        raise GraftError(f"source.path={path} is {kind}, which cannot be read as weights; {MEND}")
    try:
        return load_file(path) if start[8:9] == b"{" else _load_pickle(path)
    except Exception as error:  # the readers' exceptions depend on the file's bytes
        name = type(error).__name__
        raise GraftError(f"source.path={path} cannot be read as weights ({name}: {_plain(error)}); {MEND}") from None


def _check_file(path: Path) -> None:
    if not path.is_file():  # to read a pipe would wait for ever
        wrong = "is a folder" if path.is_dir() else "is no regular file" if path.exists() else "does not exist"
        raise GraftError(f"source.path={path} {wrong}; try the path of a file")


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(32)


def _kind_of_zip(path: Path) -> str | None:
    """Return what an archive is; None for one of `torch.save`."""
    with zipfile.ZipFile(path) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
    if "constants.pkl" in names:
        return "a TorchScript program"
    if "data.pkl" in names:
        return None
    if any(name.endswith(".npy") for name in names):
        return "an archive of NumPy's arrays"
    return "a Keras model" if "model.weights.h5" in names else "an archive of other files"


def _load_pickle(path: Path) -> Any:
    # PyTorch's restricted reader builds no classes but its own and these; each name of another class is one of ours.
    replaced: list[Any] = [(type(name, (Unloaded,), {}), name) for name in _class_names(path)]
    with torch.serialization.safe_globals(replaced), path.open("rb") as file:  # given a path, it goes by the suffix
        return torch.load(file, map_location="cpu", weights_only=True)


def _class_names(path: Path) -> list[str]:
    """Return the names of the classes and functions that a file refers to; the file is not executed."""
    if zipfile.is_zipfile(path):
        return torch.serialization.get_unsafe_globals_in_checkpoint(path)
    with path.open("rb") as file:  # before PyTorch 1.6: a magic number, a version and the system, then the content
        codes = [code for _ in range(4) for code in pickletools.genops(file)]
    names = [str(argument) for code, argument, _ in codes if code.name == "GLOBAL"]
    # Pickles of that time have Python 2's names, which PyTorch translates before it looks them up.
    return [
        name.replace("__builtin__ long", "builtins int").replace("__builtin__", "builtins").replace(" ", ".")
        for name in names
    ]


def _plain(error: Exception) -> str:
    """Return the first sentence of the reason in an exception's message, without colors for the terminal."""
    reason = str(error).rpartition("WeightsUnpickler error: ")[2].strip() or "no reason given"
    return re.sub(r"\x1b\[[0-9;]*m", "", reason.splitlines()[0]).partition(". ")[0]


def read_weights(path: Path) -> Weights:
    """Return the tensors of a safetensors file, a state dict from `torch.save` or a checkpoint.

    Tensors in nested mappings, such as a checkpoint's `state_dict`, have the keys above them in their names, with dots.
    Those of a job's own file are the backbone's, of its only trial.

    Raises:
        GraftError: the file cannot be read, contains no tensors by name, or of a job not all stages of one trial.
    """
    loaded = load(path)
    found = dict(_tensors(loaded)) if isinstance(loaded, Mapping) else {}
    if is_of_a_job(found):
        return of_backbone(found, path)
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
    """Return the input that a file's weights were trained on; None if Graft did not write the file.

    Raises:
        GraftError: it is there, and is no file.
    """
    if path.exists():
        _check_file(path)
    try:
        with safe_open(path, "pt") as file:
            written = json.loads((file.metadata() or {})["trained_on"])
    except (OSError, SafetensorError, KeyError):  # missing, not safetensors, or not written by Graft
        return None
    return PretrainedInput(**{**written, "mean": tuple(written["mean"]), "std": tuple(written["std"])})


def write_weights(path: Path, weights: Weights, trained_on: PretrainedInput, accuracy: float) -> None:
    """Write pre-trained weights with the input that they were trained on and their training accuracy, in [0, 1]."""
    write_tensors(path, weights, {"trained_on": json.dumps(asdict(trained_on)), "accuracy": f"{accuracy:.4f}"})
