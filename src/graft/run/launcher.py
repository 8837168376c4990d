"""Hydra's launchers: what each needs, what it leaves if it fails, and what a worker does before its first job.

Hydra calls this before anything heavy is imported.
"""

import importlib.util
import itertools
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from graft.errors import GraftError
from graft.process import hide_bars

if TYPE_CHECKING:
    from filelock import FileLock

log = logging.getLogger("graft")

JOBLIB = "hydra_plugins.hydra_joblib_launcher"
SUBMITIT = "hydra_plugins.hydra_submitit_launcher"
RAY = "hydra_plugins.hydra_ray_launcher"
LAUNCHERS = {"joblib": JOBLIB, "submitit_slurm": SUBMITIT, "submitit_local": SUBMITIT, "ray": RAY}
EXTRAS = {JOBLIB: "joblib", SUBMITIT: "slurm", RAY: "ray"}

_held: "list[FileLock]" = []  # until this process ends: a sweep's folder, or a worker's GPU


def _package(launcher: DictConfig) -> str:
    return ".".join(str(launcher.get("_target_")).split(".")[:2])


def check_launcher(words: Sequence[str]) -> None:
    """Refuse a launcher that is not installed, where Hydra would say that there is none of this name.

    Args:
        words: what was typed.

    Raises:
        GraftError: says how to install it.
    """
    for word in words:
        package = LAUNCHERS.get(word.removeprefix("hydra/launcher="))
        if package is not None and importlib.util.find_spec(package) is None:
            name = package.removeprefix("hydra_plugins.").replace("_", "-")
            raise GraftError(f'{word} needs {name}; try pip install -e ".[{EXTRAS[package]}]"')


def check_devices(config: DictConfig, jobs: Sequence[DictConfig]) -> None:
    """Refuse jobs that need several devices each where joblib's workers see one each.

    Raises:
        GraftError: names such a job's devices.
    """
    if _package(config.hydra.launcher) != JOBLIB:
        return
    for job in jobs:
        if job.trainer.get("devices", 1) != 1 or job.trainer.get("num_nodes", 1) != 1:
            raise GraftError(
                f"hydra/launcher=joblib gives each of its jobs one device, got trainer.devices={job.trainer.devices}; "
                "try trainer=default, or leave out hydra/launcher=joblib: jobs then run one after another"
            )


def lock_sweep_folder(folder: Path) -> None:
    """Keep other processes from running a sweep in a folder, for as long as this one lives.

    Raises:
        GraftError: another process runs one there.
    """
    if not _lock(folder / ".sweep.lock"):
        raise GraftError(f"another process is running the sweep in {folder}; wait for its end, or try another name=")


def _lock(path: Path) -> bool:
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    _held.append(lock)
    return True


def show_so_far(config: DictConfig) -> None:
    """Print the answer of a sweep that did not come to its end."""
    from graft.report.show import show_sweep

    try:
        show_sweep(Path(config.hydra.sweep.dir), config.report.baseline)
    except GraftError as error:  # nothing has finished, or not yet what all is compared with
        print(error, file=sys.stderr)


@contextmanager
def launching(config: DictConfig) -> Iterator[None]:
    """End the program with the answer so far where a launcher fails, as when the system kills one of its workers.

    A job's own failure is the job's, and never comes here.
    """
    try:
        yield
    except HydraException:
        raise
    except Exception as error:
        log.debug("the launcher failed", exc_info=True)
        show_so_far(config)
        reason = (str(error).strip().splitlines() or [""])[0]
        print(
            f"the launcher failed ({type(error).__name__}: {reason}); what is finished is kept, and the same command "
            "goes on from here",
            file=sys.stderr,
        )
        sys.exit(1)


def left_running(launcher: DictConfig) -> str:
    """Return what goes on after Ctrl-C, and how to end it."""
    return "; jobs in SLURM's queue go on until scancel ends them" if _package(launcher) == SUBMITIT else ""


def enter_worker(config: DictConfig) -> None:
    """Make a process that joblib started fit to be one of many; SLURM and Ray do this for theirs.

    joblib itself divides the cores' threads among its workers, through OMP_NUM_THREADS and its like.

    Args:
        config: a job's configuration, with `hydra`.
    """
    if _held or config.hydra.mode is not RunMode.MULTIRUN or _package(config.hydra.launcher) != JOBLIB:
        return  # the sweep's own process, or one that has been here before
    hide_bars()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches workers too; Lightning would end a fit, and go on
    claim_gpu(Path(config.hydra.sweep.dir) / ".gpus")


def claim_gpu(folder: Path) -> None:
    """Let this process see one GPU only: of several, the one that the fewest other workers have.

    By worker, not by job: CUDA reads CUDA_VISIBLE_DEVICES once, and jobs of different lengths would meet on one GPU.

    Args:
        folder: where the workers' claims lie, as locks that end with their process.
    """
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = given.split(",") if given else [str(gpu) for gpu in range(torch.cuda.device_count())]
    if len(gpus) > 1:
        claims = ((gpu, folder / f"{gpu}_{place}.lock") for place in itertools.count() for gpu in gpus)
        os.environ["CUDA_VISIBLE_DEVICES"] = next(gpu for gpu, claim in claims if _lock(claim))
