"""Random streams, one for each seed and purpose, so that trials and jobs do not affect each other's random numbers."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stream_seed(seed: int, purpose: str) -> int:
    """Return the seed of the random stream of a seed and a purpose (`draw`, `order`, ...)."""
    return int.from_bytes(hashlib.sha256(f"{purpose}/{seed}".encode()).digest()[:7], "big")


def generator(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a new generator at the start of the random stream of a seed and a purpose."""
    return torch.Generator(device).manual_seed(stream_seed(seed, purpose))


@contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """Seed the global generators for a block of code and restore their states after it."""
    with torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):
        seed_devices(stream_seed(seed, purpose))
        yield


def seed_devices(seed: int) -> None:
    """Seed the global generators of all available devices.

    Unlike `torch.manual_seed`, this formats no traceback for devices that are absent: torch keeps that of the last
    call, and the source of all files in it, until CUDA starts (torch 2.14, 2026-11).
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
