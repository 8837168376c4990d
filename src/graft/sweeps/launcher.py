"""Hydra's launchers: checks before a sweep, locks, the end after a failure, and the setup of joblib's workers.

Hydra calls this before anything heavy is imported: do not import torch or pandas at the top of this module.
"""

import importlib.util
import itertools
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from graft.ending import default_signals, exit_if_stopped
from graft.errors import GraftError, OtherResult
from graft.process import hide_bars

if TYPE_CHECKING:
    from filelock import FileLock

log = logging.getLogger("graft")

JOBLIB = "hydra_plugins.hydra_joblib_launcher"
SUBMITIT = "hydra_plugins.hydra_submitit_launcher"
RAY = "hydra_plugins.hydra_ray_launcher"
LAUNCHERS = {"joblib": JOBLIB, "submitit_slurm": SUBMITIT, "submitit_local": SUBMITIT, "ray": RAY}
EXTRAS = {JOBLIB: "joblib", SUBMITIT: "slurm", RAY: "ray"}

_locks: "list[FileLock]" = []  # held until this process ends: a sweep's folder, or a worker's GPU


def _package(launcher: DictConfig) -> str:
    return ".".join(str(launcher.get("_target_")).split(".")[:2])


def runs_in_this_process(launcher: DictConfig) -> bool:
    """Return whether this is Hydra's basic launcher, which runs one job after another."""
    return str(launcher.get("_target_")).endswith(".BasicLauncher")


def check_launcher(arguments: Sequence[str]) -> None:
    """Refuse a launcher in a command line that is not installed; Hydra would only say that there is no such option.

    Raises:
        GraftError: names the package to install.
    """
    for argument in arguments:
        package = LAUNCHERS.get(argument.removeprefix("hydra/launcher="))
        if package is not None and importlib.util.find_spec(package) is None:
            name = package.removeprefix("hydra_plugins.").replace("_", "-")
            raise GraftError(f'{argument} needs {name}; try pip install -e ".[{EXTRAS[package]}]"')


def check_devices(config: DictConfig, jobs: Sequence[DictConfig]) -> None:
    """Refuse jobs that need several devices under joblib, whose workers see one device each.

    Raises:
        GraftError: names the devices of the first such job.
    """
    if _package(config.hydra.launcher) != JOBLIB:
        return
    for job in jobs:
        if job.trainer.get("devices", 1) != 1 or job.trainer.get("num_nodes", 1) != 1:
            raise GraftError(
                f"hydra/launcher=joblib gives each job one device, got trainer.devices={job.trainer.devices}; "
                "try trainer=default, or leave out hydra/launcher=joblib to run one job after another"
            )


def lock_sweep_folder(folder: Path) -> "FileLock":
    """Lock a sweep's folder until this process ends, so that no other process runs a sweep there.

    Raises:
        GraftError: another process has locked it.
    """
    lock = _lock(folder / ".sweep.lock")
    if lock is None:
        raise GraftError(f"another process is running the sweep in {folder}; wait for its end, or try another name=")
    return lock


@contextmanager
def locked_sweep_folder(folder: Path) -> Iterator[None]:
    """Lock a sweep's folder for a block of code, in a process that lives on.

    Raises:
        GraftError: another process, or thread, has locked it.
    """
    lock = lock_sweep_folder(folder)
    try:
        yield
    finally:
        _locks.remove(lock)
        lock.release()


def _lock(path: Path) -> "FileLock | None":
    """Lock a file until this process ends; return None if another process has locked it."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    _locks.append(lock)
    return lock


def show_table(config: DictConfig) -> dict[str, str]:
    """Report on a sweep that has finished, and return the reasons of its failed and skipped jobs by name."""
    failed = _show(config)
    from graft.sweeps.log_sweep import log_sweep  # imports PyTorch, which sweeps in other processes have not

    log_sweep(config)
    return failed


def show_so_far(config: DictConfig) -> None:
    """Print the table of a sweep that has not finished; its jobs in other processes run on meanwhile."""
    try:
        _show(config)
    except GraftError as error:  # no job has finished, or not the baseline
        print(error, file=sys.stderr)


def _show(config: DictConfig) -> dict[str, str]:
    from graft.page.show import show_sweep
    from graft.run.page_pictures import page_pictures

    return show_sweep(Path(config.hydra.sweep.dir), config.report.baseline, page_pictures())


@contextmanager
def launching(config: DictConfig) -> Iterator[None]:
    """If the launcher fails, print the table so far and exit: the system may have killed one of its workers.

    A job that fails does not raise here: its failure is written into its folder, unless that has another result.
    """
    try:
        yield
    except HydraException:
        exit_if_stopped()
        raise
    except Exception as error:
        exit_if_stopped()
        log.debug("the launcher failed", exc_info=True)
        show_so_far(config)
        if isinstance(error, OtherResult):
            print(error, file=sys.stderr)
            sys.exit(1)
        reason = (str(error).strip().splitlines() or [""])[0]
        print(
            f"the launcher failed ({type(error).__name__}: {reason}); finished jobs are kept, and the same command "
            "runs the others",
            file=sys.stderr,
        )
        sys.exit(1)


def left_running(launcher: DictConfig) -> str:
    """Return a clause about jobs that keep running after Ctrl-C; empty if there are none."""
    return "; jobs in SLURM's queue keep running until scancel ends them" if _package(launcher) == SUBMITIT else ""


def enter_worker(config: DictConfig) -> None:
    """Set up a worker process of joblib before its first job; SLURM and Ray set up theirs.

    joblib divides the CPU's threads among its workers itself, through OMP_NUM_THREADS and similar variables.
    """
    if _locks or config.hydra.mode is not RunMode.MULTIRUN or _package(config.hydra.launcher) != JOBLIB:
        return  # the sweep's own process, or a worker that is set up
    hide_bars()
    default_signals()  # workers get Ctrl-C, too; Lightning would end only a fit
    claim_gpu(Path(config.hydra.sweep.dir) / ".gpus")


def claim_gpu(folder: Path) -> None:
    """If there are several GPUs, let this process see only the one that the fewest other workers use.

    A worker keeps its GPU for all its jobs, because CUDA reads CUDA_VISIBLE_DEVICES only once. The workers' claims are
    in the folder: a file for each GPU and place, locked while its worker lives.
    """
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = given.split(",") if given else [str(gpu) for gpu in range(torch.cuda.device_count())]
    if len(gpus) > 1:
        # The first place of each GPU, then the second of each: the first free one is on a GPU with the fewest workers.
        claims = ((gpu, folder / f"{gpu}_{place}.lock") for place in itertools.count() for gpu in gpus)
        os.environ["CUDA_VISIBLE_DEVICES"] = next(gpu for gpu, claim in claims if _lock(claim))
