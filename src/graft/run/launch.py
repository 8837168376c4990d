"""One job on several devices: `launch` starts a process for each, a rank, and the ranks train with Lightning's DDP.

A job starts its ranks itself, within a sweep too, so that each job has its own ranks and a failed one leaves the other
jobs alone. Lightning's launchers cannot be used: `ddp` starts rank 1 with the whole command line, which under `-m` is
the whole sweep; `ddp_spawn` starts new processes for each fit and returns weights, but no curves. The start and join of
`torch.multiprocessing` raise a rank's error as a text, and a GraftError must stay one. Ranks that torchrun or srun has
started run the job as they are.
"""

import multiprocessing
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from pytorch_lightning.plugins.environments import LightningEnvironment  # pyright: ignore[reportPrivateImportUsage]
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed

from graft.ending import default_signals, known_reason
from graft.errors import GraftError, Pruned

# How long ranks wait for each other: rank 0 may wait for another job's pre-training. A dead rank is noticed at once.
DDP_TIMEOUT = timedelta(days=7)
RANK_VARIABLE = "GRAFT_RANK"  # environment variable of the ranks that `launch` starts


def launched() -> bool:
    """Return whether this process is a rank that `launch`, torchrun or srun has started."""
    if RANK_VARIABLE in os.environ or distributed.is_torchelastic_launched():
        return True
    return int(os.environ.get("SLURM_NTASKS", 1)) > 1


def runs_alone() -> bool:
    """Return whether the job runs on its own rather than in a sweep."""
    return not HydraConfig.initialized() or HydraConfig.get().mode is RunMode.RUN


def strategy() -> DDPStrategy | str:
    """Return Lightning's strategy: DDP in a rank that `launch` started, otherwise Lightning's own choice."""
    if RANK_VARIABLE not in os.environ:
        return "auto"
    return DDPStrategy(timeout=DDP_TIMEOUT, cluster_environment=LightningEnvironment())


class KeepSigterm(pl.Callback):
    """Puts this process's handler of SIGTERM back in place of Lightning's.

    Lightning's broadcasts to all ranks, which hangs if they have not all received the signal, and then waits for the
    end of an epoch.
    """

    def __init__(self):
        self.handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restore()

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restore()

    def _restore(self) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.handler)


def join(trainer: pl.Trainer) -> None:
    """Join the process group that a trainer's flags describe, if this process is a rank.

    Raises:
        GraftError: the flags describe another number of processes or devices than there are.
    """
    world_size = trainer.num_devices * trainer.num_nodes
    if distributed.is_torchelastic_launched() and int(os.environ["WORLD_SIZE"]) != world_size:
        raise GraftError(
            f"torchrun started {os.environ['WORLD_SIZE']} processes, but trainer.devices={trainer.num_devices} and "
            f"trainer.num_nodes={trainer.num_nodes} ask for {world_size}; try trainer=ddp "
            "trainer.devices=PROCESSES_OF_A_NODE"
        )
    if trainer.num_nodes > 1 and not launched():
        raise GraftError(
            f"trainer.num_nodes={trainer.num_nodes}, but nothing has started processes on these nodes; try srun, or "
            f"torchrun --nnodes={trainer.num_nodes} --nproc-per-node={trainer.num_devices} src/train.py ..."
        )
    cores = os.cpu_count() or 1
    if trainer.strategy.root_device.type == "cpu" and trainer.num_devices > cores:
        raise GraftError(
            f"trainer.devices={trainer.num_devices}, but the CPU has {cores} cores, and each process needs one; "
            f"try trainer.devices={cores}"
        )
    if launched() and world_size > 1:
        trainer.strategy.setup_environment()


def launch(work: Callable[..., object], world_size: int, *args: Any) -> None:
    """Run a function in new processes, as the ranks of one group; all have ended when this returns or raises.

    Args:
        work: runs in each rank; must be importable by its name, as spawned processes need it.
        world_size: number of ranks.
        args: arguments of `work`.

    Raises:
        GraftError: raised by the first rank that failed, or a rank was killed.
        Pruned: raised by the first rank that failed.
        RuntimeError: the first rank that failed raised another exception, whose traceback is in the message.
    """
    context = multiprocessing.get_context("spawn")
    failures = context.SimpleQueue()
    threads = max(1, torch.get_num_threads() // world_size)
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(world_size)}
    processes = [
        context.Process(target=_run_rank, args=(work, args, rank, group, threads, failures))
        for rank in range(world_size)
    ]
    try:
        for process in processes:
            process.start()
        _wait_for_failure(processes)
        exit_codes = [process.exitcode for process in processes]  # before the others are killed
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()  # a rank that waits for a dead one in C++ handles no milder signal
                process.join()
    _raise_failure(exit_codes, failures)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _wait_for_failure(processes: Sequence[BaseProcess]) -> None:
    """Wait until one of the processes fails, or all have ended."""
    running = processes
    while running and not any(process.exitcode for process in processes):
        wait([process.sentinel for process in running])
        running = [process for process in running if process.is_alive()]


def _raise_failure(exit_codes: list[int | None], failures: Any) -> None:
    """Raise the failure of a rank.

    Args:
        exit_codes: each rank's; None: it was still running when another one failed.
        failures: queue of the ranks' failures; later ones are usually consequences of the first.
    """
    world_size = len(exit_codes)
    for rank, code in enumerate(exit_codes):
        if code is not None and code < 0:
            memory = ", as the system does if memory runs out" if -code == signal.SIGKILL else ""
            raise GraftError(
                f"rank {rank} of {world_size} was ended by {signal.Signals(-code).name}{memory}; "
                "try the same command again, or a smaller batch_size="
            )
    if not failures.empty():
        rank, error, trace = failures.get()
        raise error or RuntimeError(f"rank {rank} of {world_size} failed:\n{trace}")
    ended = [f"rank {rank} ended with exit status {code}" for rank, code in enumerate(exit_codes) if code]
    if ended:
        raise RuntimeError("; ".join(ended))


def _run_rank(work: Callable, args: tuple, rank: int, group: dict[str, str], threads: int, failures: Any) -> None:
    """Run one rank's work in its new process."""
    os.environ |= {**group, "RANK": str(rank), "LOCAL_RANK": str(rank), "NODE_RANK": "0", RANK_VARIABLE: str(rank)}
    threading.Thread(target=_end_with_parent, daemon=True).start()
    default_signals()  # the process that started this one says the last words
    torch.set_num_threads(threads)
    if rank > 0:  # only rank 0 prints; PyTorch's C++ libraries write to these descriptors, too
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
    try:
        work(*args)
    except BaseException as error:
        # Others may not be picklable.
        expected = error if isinstance(error, GraftError | Pruned) else None
        if expected is None and (known := known_reason(error)):
            expected = GraftError(known)
        failures.put((rank, expected, traceback.format_exc()[-10_000:]))  # fits into a pipe that nobody reads yet
        sys.stdout.flush()
        os._exit(1)  # destructors of a broken process group would wait for the other ranks
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _end_with_parent() -> None:
    """End this process when the process that started it has ended, even if that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
