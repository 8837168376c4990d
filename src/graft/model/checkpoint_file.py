"""Checkpoint files: what `torch.save` or safetensors wrote, whatever the suffix; no code in a file is run."""

import pickletools
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from graft.errors import GraftError

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
    if path.is_dir() or not path.exists():
        raise GraftError(
            f"source.path={path} {'is a folder' if path.is_dir() else 'does not exist'}; try the path of a file"
        )
    start = _start(path)
    kind = next((kind for magic, kind in FOREIGN.items() if start.startswith(magic)), None)
    kind = "an ONNX model" if path.suffix.lower() == ".onnx" else "empty" if not start else kind
    if kind is None and start.startswith(b"PK") and zipfile.is_zipfile(path):
        kind = _kind_of_zip(path)
    if kind is not None:
        raise GraftError(f"source.path={path} is {kind}, which cannot be read as weights; {MEND}")
    try:
        return load_file(path) if start[8:9] == b"{" else _load_pickle(path)
    except Exception as error:  # the readers' exceptions depend on the file's bytes
        name = type(error).__name__
        raise GraftError(f"source.path={path} cannot be read as weights ({name}: {_plain(error)}); {MEND}") from None


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
