"""One job: one configuration, run for all its trials, from the data set to its result."""

import functools
import gc
import json
import logging
import os
import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from hydra.types import RunMode
from omegaconf import DictConfig
from pytorch_lightning.utilities.model_summary.model_summary import ModelSummary
from torch import nn

from graft import rate
from graft.checkpoint import Checkpoint
from graft.config import environment_rank
from graft.distributed import launch, launched, one_run_of, own_dropout, rank
from graft.features import FeatureStore
from graft.plan import Plan
from graft.progress import Progress
from graft.prune import Pruned, pruning
from graft.report import show_curves, show_job
from graft.result import Result, finished, identity
from graft.seed import seeded
from graft.sweep import FAILURE, RESULT, check_kept
from graft.transfer import OneTrial, Transfer, curves, parameter_counts
from graft.trials import keep_memory
from graft.tune import Freeze, Phase

log = logging.getLogger("graft")

# What is warned of here is meant: frozen stages are in evaluation mode, curves have a point an epoch, stacked trials
# go one by one through what PyTorch cannot batch, and a head that is solved has no optimiser.
for message in (
    ".*in eval mode at the start",
    "The number of training batches",
    ".*LeafSpec",
    ".*batching rule",
    ".*configure_optimizers` returned `None`",
):
    warnings.filterwarnings("ignore", message=message)

gc.freeze()  # the libraries' half a million objects: collecting what a job leaves takes 0.02 s so, 0.3 s with them


def main(cfg: DictConfig, folder: Path, resume: bool) -> dict | None:
    """Run one configuration, or take its result if it is finished, and print its answer.

    Args:
        cfg: the composed configuration.
        folder: the job's folder; of several processes that come to it, one runs the job and the others wait.
        resume: whether a finished job is left alone.

    Returns:
        The content of `result.json`; None if a search pruned the job, and in ranks other than 0.
    """
    try:
        with one_run_of(folder):
            check_kept(cfg, folder)  # once more: another process may have held the lock, and left its result
            result = run(cfg, folder, resume)
    except Pruned as pruned:
        log.info("%s", pruned)
        return None
    finally:
        gc.collect()  # a trainer and its module hold each other, and with them all weights
    if result is not None:
        show_job(result, folder)
        if _alone():
            show_curves(folder, result["config"], folder)  # a sweep ends with those of its best
    return result


def run(cfg: DictConfig, folder: Path, resume: bool = False) -> dict | None:
    """Run all trials of one configuration and write what came out into a folder.

    Where it needs several devices, processes for them run this same function.

    Returns:
        The content of `result.json`; None in ranks other than 0, which write nothing.

    Raises:
        GraftError: the user can mend something; the message says what.
    """
    clock = Clock()
    keep_memory()
    stop_looking_for_gpus()
    plan = Plan(cfg)
    job = identity(cfg, plan.data)
    found = finished(folder, job) if resume else None
    if found is not None:
        (folder / FAILURE).unlink(missing_ok=True)
        log.info("%s is finished", folder.name)
        return found
    if plan.ranks > 1 and not launched():
        launch(_rank, plan.ranks, cfg, HydraConfig.instance().cfg, folder)
        return json.loads((folder / RESULT).read_text())
    plan.warn()
    with clock("pretrain"):
        weights = plan.source.weights(plan.backbone, plan.data, plan.trainer, Path(cfg.cache))
    backbone = plan.backbone()
    if weights is not None:
        backbone.load_state_dict(weights)
    store = FeatureStore(Path(cfg.cache) / "features", plan.device)
    front, stages = backbone.split(plan.phases[-1].frozen_stages)
    example = OneTrial(front, plan.network(cfg.seed, plan.phases[-1], stages))
    if _alone():  # a sweep's table would be lost among its jobs' layers
        log.info("%s", ModelSummary(example, max_depth=2))
    result = Result(cfg, folder, plan.data, plan.split, job) if rank() == 0 else None
    prune = pruning(cfg, folder, plan.epochs(len(plan.phases)))
    for number, phase in enumerate(plan.phases):
        front, stages = backbone.split(phase.frozen_stages)
        # Here and not only where features are missing, so that a run that finds them has the same numbers.
        front.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with clock("features"):
            plan.place(phase.frozen_stages, front, backbone.preprocess.fitted, store)
        # Other ranks get the weights of earlier phases from rank 0, when DDP begins a fit.
        learned = {} if result is None else result.weights
        networks = functools.partial(_networks, plan, phase, stages, learned)
        if phase.lr == "auto":
            with clock("train"):
                note = folder / "checkpoints" / f"{job}_phase_{number + 1}_lr.json"
                plan.phases[number] = replace(phase, lr=rate.find(plan, number, front, networks, note))
        for trials in plan.chunks[number]:
            transfer = fit(plan, number, trials, front, networks(trials), folder, job, prune, clock)
            if result is not None:
                result.add(trials, transfer)
    if result is None:
        return None
    result.lr = [phase.lr for phase in plan.phases if not plan.solved]
    content = result.write(front, parameter_counts(example), clock.seconds())
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return content


def _alone() -> bool:
    """Return whether this job is none of a sweep's."""
    return not HydraConfig.initialized() or HydraConfig.get().mode is RunMode.RUN


def _networks(
    plan: Plan, phase: Phase, stages: nn.Module, weights: dict[int, dict[str, torch.Tensor]], trials: range
) -> list[nn.Module]:
    """Return what some trials train in a phase, with what they learned in earlier ones."""
    networks = [plan.network(plan.seeds[trial], phase, stages) for trial in trials]
    for trial, network in zip(trials, networks, strict=True):
        network.load_state_dict(weights.get(trial, {}), strict=False)
    return networks


def _rank(cfg: DictConfig, hydra: DictConfig | None, folder: Path) -> None:
    """Run a job as one of its ranks, in a process that knows nothing of Hydra yet."""
    HydraConfig.instance().cfg = hydra  # type: ignore[assignment]
    if hydra is not None and environment_rank() == 0:
        configure_log(hydra.hydra.job_logging, hydra.hydra.verbose)
    run(cfg, folder)


def fit(
    plan: Plan,
    number: int,
    trials: range,
    front: nn.Module,
    networks: list[nn.Module],
    folder: Path,
    job: str,
    prune: list[pl.Callback],
    clock: "Clock",
) -> Transfer:
    """Fit some trials in one phase, counted from 0, and test them after the last one.

    Returns:
        The Lightning module, trained.
    """
    split = plan.split.chunk(trials)
    transfer = plan.transfer(number, front, networks, split)
    several = any(len(chunks) > 1 for chunks in plan.chunks)
    part = f"/trials_{trials.start}-{trials.stop - 1}" if several else ""
    name = f"{job}_phase_{number + 1}_trials_{trials.start}-{trials.stop - 1}.ckpt"
    checkpoint = Checkpoint(folder / "checkpoints" / name, last=several or len(plan.phases) > 1)
    label = f"phase {number + 1}, {_label(trials)}" if len(plan.phases) > 1 else _label(trials)
    trainer = plan.trainer(
        max_epochs=plan.phases[number].epochs,
        logger=curves(folder, f"tensorboard{part}", ("train", *split.curves)),
        callbacks=[Freeze(), Progress(label), *plan.regularize.callbacks(), *prune, checkpoint],
        check_val_every_n_epoch=plan.val_every,
        limit_val_batches=1.0 if split.curves else 0,
        default_root_dir=folder,
    )
    purpose = f"dropout {number}" if number else "dropout"
    with seeded(split.seeds[0], purpose):
        own_dropout(split.seeds[0], purpose)
        with clock("train"):
            checkpoint.fit(trainer, transfer, split)
        if number == len(plan.phases) - 1:
            with clock("test"):
                trainer.test(transfer, datamodule=split, verbose=False)
    return transfer


def stop_looking_for_gpus() -> None:
    """Keep each of an optimiser's steps from looking for a GPU where there is none.

    PyTorch 2.15 asks the driver's library at every step: 0.2 ms of the 1.2 ms that a step of 15 small heads takes
    (2 cores, 2026-11-24).
    """
    if not torch.cuda.is_available():
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")


class Clock:
    """Seconds since it was made, and those that each part took."""

    def __init__(self):
        self._start = time.perf_counter()
        self._parts: dict[str, float] = {"pretrain": 0.0, "features": 0.0, "train": 0.0, "test": 0.0}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._parts[part] += time.perf_counter() - start

    def seconds(self) -> dict[str, float]:
        """Return the seconds in all and of each part."""
        return {"total": time.perf_counter() - self._start, **self._parts}


def _label(trials: range) -> str:
    return f"trials {trials.start} to {trials.stop - 1}" if len(trials) > 1 else f"trial {trials.start}"
