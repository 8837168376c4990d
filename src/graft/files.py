"""Atomic files: written under a temporary name, then renamed; tensors have a checksum that is verified on reading.

Import torch only inside functions that need it, because reports are written without it.
"""

import errno
import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

from graft.errors import GraftError
from graft.own_code import own_code

log = logging.getLogger("graft")

Tensors = Mapping[str, "torch.Tensor"]

KEEPS_MAPPED = os.name == "nt"  # Windows replaces no file that is mapped into memory, as safetensors' tensors are
SILENT = 5.0  # seconds that a process waits for another one without a word


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Write a file atomically: readers see the old content or the new one, never a part of it.

    The block writes into the temporary file whose path it gets; an error in it leaves the old content.

    Raises:
        GraftError: the disk or the user's quota is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's 0o600 would lock colleagues out of a shared cache
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise GraftError(
                f"no space left for {path}; finished work is kept: free some space and run the same command again"
            ) from None
        raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Write a folder atomically: it appears under its name when the block has filled the one whose path it gets.

    Raises:
        GraftError: the folder exists, or cannot be written.
    """
    if os.path.lexists(path):
        raise GraftError(f"{path} exists; try another folder, or remove it")
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        yield temporary
        os.chmod(temporary, 0o755)
        os.rename(temporary, path)
    except OSError as error:
        raise GraftError(f"{path} cannot be written ({_reason(error)}); try another folder") from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def check_writable(key: str, path: Path) -> None:
    """Refuse a place where no file can be made, before the work that it is for.

    Args:
        key: that names the place, for messages.
        path: of the file, or of the folder of files.

    Raises:
        GraftError: says why.
    """
    try:
        make_folder(path if path.is_dir() else path.parent)
    except OSError as error:
        raise GraftError(f"{key}={path} cannot be written ({_reason(error)}); try another place") from None


def make_folder(folder: Path) -> None:
    """Make a folder, if there is none, and write a temporary file into it.

    Raises:
        OSError: it cannot be made or written into.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file of these bytes, as `new_file` does."""
    with new_file(path) as temporary:
        temporary.write_bytes(content)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed processes from a folder into which no process is writing now."""
    for path in folder.glob(".*.*"):
        if re.fullmatch(r"\..+\.\w{8}", path.name) and path.is_file():
            path.unlink(missing_ok=True)


@contextmanager
def locked_file(path: Path, what: str) -> Iterator[None]:
    """Hold a file's lock; a line says so if another process, or thread, makes this one wait for it.

    Args:
        path: the file.
        what: what is done under the lock.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=SILENT)
    except Timeout:
        log.info("waiting for another process, which works on %s (%s)", what, path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def write_text(path: Path, text: str) -> None:
    r"""Write a text file atomically; what is no letter of UTF-8, such as a name of other bytes, as \udcff."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_tensors(path: Path, tensors: Tensors, about: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, atomically and with a checksum; `about` is added to the file's metadata."""
    from safetensors.torch import save

    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(on_cpu, {**(about or {}), "sha256": fingerprint(on_cpu)}))


def read_tensors(path: Path) -> "dict[str, torch.Tensor] | None":
    """Read a file of `write_tensors`; None if it is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            checksum = (file.metadata() or {}).get("sha256")
        if KEEPS_MAPPED:
            tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    except (OSError, SafetensorError):
        return None
    return tensors if checksum == fingerprint(tensors) else None


def fingerprint(*parts: object) -> str:
    """Return the SHA-256, in hexadecimal, of tensors, of mappings of them, and of other objects' `str`.

    It depends on tensors' values, shapes and types, not on their strides or device, nor on the order of a mapping;
    for PyTorch modules of the user's own classes also on these classes' source, and on their attributes.
    """
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
        if isinstance(part, torch.nn.Module):
            own = {type(module).__module__: own_code(type(module).__module__) for module in part.modules()}
            digest.update("".join(f"{name} {own[name]}\0" for name in sorted(own) if own[name]).encode())
            for name, module in part.named_modules():
                if own[type(module).__module__] and (state := _unnamed_state(module)):
                    digest.update(f"{name} {fingerprint(state)}\0".encode())
    return digest.hexdigest()


def _unnamed_state(module: "torch.nn.Module") -> dict[str, object]:
    """Return what a module computes with that no state dict has: `self.scale = 2`, buffers that are not saved."""
    import torch

    usual = vars(torch.nn.Module())
    found: dict[str, object] = {name: value for name, value in vars(module).items() if name not in usual}
    saved = module.state_dict()
    found |= {name: buffer for name, buffer in module.named_buffers(recurse=False) if name not in saved}
    return {name: comparable(value) for name, value in found.items()}


def comparable(value: object) -> object:
    """Return a value so that its fingerprint is the same in each process: without addresses or a set's order."""
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {value.tobytes()!r}"
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, list | tuple):
        return {str(index): comparable(item) for index, item in enumerate(value)}
    if isinstance(value, Mapping):
        return {str(key): comparable(item) for key, item in value.items()}
    return re.sub(r" at 0x[0-9a-fA-F]+", "", f"{type(value).__name__} {value}")
