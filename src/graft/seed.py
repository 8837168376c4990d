"""Random numbers that belong to one trial and one purpose, so that nothing leaks between jobs."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stream_seed(seed: int, purpose: str) -> int:
    """Return the seed of one purpose's random stream; no two purposes share one."""
    return int.from_bytes(hashlib.sha256(f"{purpose}/{seed}".encode()).digest()[:7], "big")


def generator(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator of its own for one purpose (`draw`, `order`, ...)."""
    return torch.Generator(device).manual_seed(stream_seed(seed, purpose))


@contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """Run a block on one purpose's stream and leave the global random state as it was."""
    with torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):
        seed_devices(stream_seed(seed, purpose))
        yield


def seed_devices(seed: int) -> None:
    """Seed the global generators of the devices that there are.

    Without a GPU `torch.manual_seed` keeps each call, with its traceback, for when CUDA starts: 4 MB in every job.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
