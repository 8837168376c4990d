"""Ranks: the processes that run one job together, and how they exchange values. Alone, a process is rank 0 of 1."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import distributed
from torchmetrics.utilities.distributed import gather_all_tensors

from graft.files import locked_file
from graft.seed import seed_devices, stream_seed

Value = TypeVar("Value")


def rank() -> int:
    """Return this process's rank, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Return how many processes run the job."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def broadcast_object(value: Value) -> Value:
    """Return rank 0's value on every rank."""
    if world_size() == 1:
        return value
    values = [value if rank() == 0 else None]
    distributed.broadcast_object_list(values, src=0)
    return values[0]  # type: ignore[return-value]


def all_gather_object(value: Value) -> list[Value]:
    """Return every rank's value, in the order of ranks."""
    values: list[Any] = [value]
    if world_size() > 1:
        values *= world_size()
        distributed.all_gather_object(values, value)
    return values


def all_gather(part: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """Concatenate the ranks' tensors along `dim`, where they may differ in length."""
    return part if world_size() == 1 else torch.cat(gather_all_tensors(part.contiguous()), dim)


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a file's lock for all ranks: rank 0 takes it, the others wait until it has.

    Args:
        path: the file.
        what: what is done under the lock.
    """
    with locked_file(path, what) if rank() == 0 else nullcontext():
        broadcast_object(None)
        yield


@contextmanager
def rank_0_first() -> Iterator[None]:
    """Run a block, such as a download, on rank 0 before the other ranks run it."""
    if rank() > 0:
        broadcast_object(None)
    yield
    if rank() == 0:
        broadcast_object(None)


def seed_rank(seed: int, purpose: str) -> None:
    """Seed ranks other than 0 differently, because equal dropout masks on different images would be one draw."""
    if rank() > 0:
        seed_devices(stream_seed(seed, f"{purpose} on rank {rank()}"))
