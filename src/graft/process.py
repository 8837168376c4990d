"""This process: its rank, its progress bars, its memory, and the warnings that it hides.

Do not import torch at the top of this module: `--help` must answer in under a second.
"""

import atexit
import functools
import gc
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

INTENDED = (  # warnings about intended behavior
    ".*in eval mode at the start",  # frozen stages are in evaluation mode
    "The number of training batches",  # curves have one point per epoch
    ".*LeafSpec",  # from PyTorch itself
    ".*batching rule",  # vmap falls back to a loop where PyTorch has no batched kernel
    ".*configure_optimizers` returned `None`",  # heads that are solved have no optimizer
)

_hide_bars = False  # in all jobs of this process
_hide_job_bars = False  # in the job that runs now
_quiet = False  # whether summaries and tables are printed
_tell: Callable[[str], object] | None = None  # takes messages; None: they go to the error output


def environment_rank() -> int:
    """Return the rank that torchrun, srun or Graft has set in this process's environment; 0 if none has."""
    if "RANK" in os.environ:
        return int(os.environ["RANK"])
    num_tasks = int(os.environ.get("SLURM_NTASKS", 1))
    return int(os.environ.get("SLURM_PROCID", 0)) if num_tasks > 1 else 0


def hide_bars() -> None:
    """Turn off progress bars in this process, for workers, whose bars would overwrite each other."""
    global _hide_bars
    _hide_bars = True


def hide_job_bars(hide: bool) -> None:
    """Turn off the progress bars of the job that starts now, or leave them on."""
    global _hide_job_bars
    _hide_job_bars = hide


def hidden_bars() -> bool | None:
    """Return tqdm's `disable`: True if bars are turned off; otherwise None, which shows bars on terminals only."""
    return True if _hide_bars or _hide_job_bars else None


@contextmanager
def inside_a_program(tell: Callable[[str], object], quiet: bool) -> Iterator[None]:
    """Let Graft run inside another program: messages go to `tell`, and tables and bars are shown unless it is quiet."""
    global _hide_bars, _quiet, _tell
    before = _hide_bars, _quiet, _tell
    _hide_bars, _quiet, _tell = quiet or _hide_bars, quiet, tell
    try:
        yield
    finally:
        _hide_bars, _quiet, _tell = before


def is_quiet() -> bool:
    """Return whether summaries and tables are left out."""
    return _quiet


def tell(message: str) -> None:
    """Tell the user something before logging is set up: on the error output, or as the program around Graft does."""
    if _tell is None:
        print(message, file=sys.stderr)
    else:
        _tell(message)


def announce(message: str) -> None:
    """Say on the error output what is done next, before seconds of silence; only rank 0 does, and no quiet call."""
    if not _quiet and environment_rank() == 0:
        print(message, file=sys.stderr, flush=True)


@functools.cache
def prepare_for_training() -> None:
    """Set up this process for its first job: warnings, memory, GPUs. Further calls do nothing."""
    for message in INTENDED:
        warnings.filterwarnings("ignore", message)
    keep_memory()
    stop_looking_for_gpus()
    # Exempt the imported libraries' 500,000 objects from collection: 0.02 s instead of 0.3 s after each job.
    gc.freeze()
    atexit.register(gc.unfreeze)  # or the Triton of PyTorch 2.15 lists hundreds of its objects as leaks at the end


@contextmanager
def usual_torch() -> Iterator[None]:
    """Let PyTorch compute as in a new process, whatever types, device or modes the program has set.

    With the program's own, jobs of equal configurations would have other numbers.
    """
    import torch

    dtype = torch.get_default_dtype()
    # A device as a context costs time at each call of PyTorch's, and is rarely needed.
    device = nullcontext() if torch.empty(0).device.type == "cpu" else torch.device("cpu")
    try:
        torch.set_default_dtype(torch.float32)
        with device, torch.inference_mode(False), torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_default_dtype(dtype)


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause garbage collection while many objects are made that stay: half of the time of listing 100,000 files."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def let_threads_sleep() -> None:
    """Let PyTorch's threads sleep soon where they wait for each other; called before PyTorch is imported.

    GNU's OpenMP lets a thread spin for up to milliseconds, in which it keeps a core from the thread that it waits for.
    A step of 15 small heads takes 11 to 70 ms where another program uses one of two cores, 2.0 ms with this, and 1.3
    instead of 1.15 ms where none does (2026-11-27).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def keep_memory() -> None:
    """Make glibc reuse freed memory instead of returning it to the system.

    By default glibc maps new pages for every tensor above 32 MB, and the page faults of a stack's gradients cost more
    than the gradients: 15 dense layers 1600-512 took 21.6 ms forward and backward, 7.7 ms with this (2 cores,
    2026-11-23).
    The environment variables MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_ do the same, but only for processes
    that start after they are set.
    """
    if platform.libc_ver()[0] == "glibc":
        from ctypes import CDLL

        trim_threshold, mmap_threshold = -1, -3  # names of mallopt(3)'s options, from malloc.h
        libc = CDLL(None)
        libc.mallopt(trim_threshold, 2**30)
        libc.mallopt(mmap_threshold, 2**30)


def stop_looking_for_gpus() -> None:
    """Set CUDA_VISIBLE_DEVICES to the empty text if there is no GPU, so that optimizer steps do not look for one.

    PyTorch 2.15 asks the driver's library at every step: 0.2 ms of the 1.2 ms that a step of 15 small heads takes
    (2 cores, 2026-11-24).
    """
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
