"""Files that are whole or absent: written under a temporary name, renamed, checked when read.

torch is imported where tensors are met, because reports write texts and pictures without it.
"""

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

from graft.errors import GraftError

Tensors = Mapping[str, "torch.Tensor"]


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that no reader ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's 0o600 would lock colleagues out of a shared cache
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise GraftError(
                f"no space left for {path}; what is finished is kept: make room and run the same command again"
            ) from None
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process had begun to write into a folder that nobody else writes into."""
    for path in folder.glob(".*.*"):
        if re.fullmatch(r"\..+\.\w{8}", path.name) and path.is_file():
            path.unlink(missing_ok=True)


def size(tensors: Tensors) -> int:
    """Return how many bytes tensors take."""
    return sum(tensor.nbytes for tensor in tensors.values())


def write_text(path: Path, text: str) -> None:
    """Write a text file so that no reader ever sees half of it."""
    write_bytes(path, text.encode())


def write_tensors(path: Path, tensors: Tensors, about: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, with a checksum that `read_tensors` compares."""
    from safetensors.torch import save

    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(on_cpu, {**(about or {}), "sha256": fingerprint(on_cpu)}))


def read_tensors(path: Path) -> "dict[str, torch.Tensor] | None":
    """Read what `write_tensors` wrote; None if the file is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            checksum = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    return tensors if checksum == fingerprint(tensors) else None


def fingerprint(*parts: object) -> str:
    """Return the SHA-256, in hexadecimal, of tensors (or mappings of them) and of anything else's text."""
    import torch

    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Mapping):
            for name in sorted(part):
                digest.update(fingerprint(name, part[name]).encode())
        elif isinstance(part, torch.Tensor):
            digest.update(f"{part.dtype}{tuple(part.shape)}".encode())
            digest.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        else:
            digest.update(f"{part!s}\0".encode())
    return digest.hexdigest()
