"""Several devices for one fit: a process for each, a rank, which together run one job through Lightning's DDP.

A job starts its ranks itself, within a sweep too, so that each job has its own and one that fails leaves the others
alone. Lightning's own launchers do not fit: `ddp` starts rank 1 with the whole command line, which under `-m` is the
whole sweep, and `ddp_spawn` starts processes anew for each fit and brings back weights, but no curves. Ranks that
torchrun or srun has started run the job as they are.
"""

import multiprocessing
import os
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import wait
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment, find_free_network_port
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed

from graft.errors import GraftError, Pruned

# How long ranks wait for each other: rank 0 may wait for another job's pre-training. Who dies is noticed at once.
PATIENCE = timedelta(days=7)
Value = TypeVar("Value")
OURS = "GRAFT_RANK"  # the environment's mark of ranks that `launch` started


def launched() -> bool:
    """Return whether this process is a rank already, that `launch`, torchrun or srun has started."""
    return OURS in os.environ or TorchElasticEnvironment.detect() or int(os.environ.get("SLURM_NTASKS", 1)) > 1


def strategy() -> DDPStrategy | str:
    """Return Lightning's strategy: its DDP in a rank of ours, else its own choice, which tells how many are needed."""
    if OURS not in os.environ:
        return "auto"
    return DDPStrategy(timeout=PATIENCE, cluster_environment=LightningEnvironment())


def join(trainer: pl.Trainer) -> None:
    """Join the process group that a trainer's flags ask for, if this process is a rank.

    Raises:
        GraftError: there are not as many processes or devices as the flags say.
    """
    asked = trainer.num_devices * trainer.num_nodes
    started = asked
    if TorchElasticEnvironment.detect():
        started = int(os.environ["WORLD_SIZE"])
    if started != asked:
        raise GraftError(
            f"torchrun started {started} processes, but trainer.devices={trainer.num_devices} and trainer.num_nodes="
            f"{trainer.num_nodes} ask for {asked}; try trainer=ddp trainer.devices=PROCESSES_OF_A_NODE"
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
    if launched() and asked > 1:
        trainer.strategy.setup_environment()


def check_shares(cfg: DictConfig, number: int) -> None:
    """Refuse batches that leave ranks without work.

    Raises:
        GraftError: there are fewer images in a batch than ranks, or than pairs of ranks where images are mixed.
    """
    if number == 1:
        return
    for key in ("batch_size", "source.batch_size"):
        size = OmegaConf.select(cfg, key, default=number)
        if size < number:
            raise GraftError(
                f"{key}={size} cannot be divided among {number} devices, each of which needs an image of every batch; "
                f"try {key}={number}, or trainer.devices={size}"
            )
    for key in ("mixup", "cutmix"):
        if cfg.regularize[key] and cfg.batch_size < 2 * number:
            raise GraftError(
                f"regularize.{key} mixes images of a device's part of a batch, but batch_size={cfg.batch_size} leaves "
                f"one of {number} devices a single image; try batch_size={2 * number}"
            )


def launch(work: Callable[..., object], number: int, *args: Any) -> None:
    """Run a function in several new processes, as the ranks of one group; none of them is left at the end.

    Args:
        work: what each rank runs; spawned processes find it by its name.
        number: how many ranks.
        args: what it gets.

    Raises:
        Exception: a rank's `GraftError`, or another exception for pruning, as it was raised there.
        RuntimeError: a rank failed otherwise, with its traceback, or was killed.
    """
    context = multiprocessing.get_context("spawn")
    failures = context.SimpleQueue()
    threads = max(1, torch.get_num_threads() // number)
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port()), "WORLD_SIZE": str(number)}
    processes = [
        context.Process(target=_rank, args=(work, args, own, group, threads, failures)) for own in range(number)
    ]
    try:
        for process in processes:
            process.start()
        running = processes
        while running and not any(process.exitcode for process in processes):
            wait([process.sentinel for process in running])
            running = [process for process in running if process.is_alive()]
        ended = {own: process.exitcode for own, process in enumerate(processes) if process.exitcode}
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()  # a rank that waits for a dead one heeds no milder signal
                process.join()
    for own, status in ended.items():
        if status < 0:
            raise RuntimeError(f"rank {own} of {number} was killed by signal {-status}")
    if not failures.empty():
        own, error, said = failures.get()  # the first, of which the others' are consequences
        raise error or RuntimeError(f"rank {own} of {number} failed:\n{said}")
    if ended:
        raise RuntimeError("; ".join(f"rank {own} ended with exit status {status}" for own, status in ended.items()))


def _rank(work: Callable, args: tuple, own: int, group: dict[str, str], threads: int, failures: Any) -> None:
    """Run one rank's work in its new process."""
    os.environ |= {**group, "RANK": str(own), "LOCAL_RANK": str(own), "NODE_RANK": "0", OURS: str(own)}
    threading.Thread(target=_follow, daemon=True).start()
    torch.set_num_threads(threads)
    if own > 0:  # only rank 0 speaks; PyTorch's own libraries too write to these descriptors
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
    try:
        work(*args)
    except BaseException as error:
        own_kind = error if isinstance(error, GraftError | Pruned) else None
        failures.put((own, own_kind, traceback.format_exc()[-10_000:]))  # what a pipe holds without a reader
        sys.stdout.flush()
        os._exit(1)  # no waiting for others in the destructors of a group that is broken
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _follow() -> None:
    """End this process when the one that started it has ended, however it did."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
