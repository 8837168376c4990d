"""One job: one configuration, run for all its trials, from the data set to its result."""

import functools
import gc
import json
import logging
import shutil
import time
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

from graft.config.build import to_plain
from graft.config.identity import check_existing_result, job_identity
from graft.errors import Pruned
from graft.job_folder import FAILURE, RESULT, finished_result, locked_job_folder
from graft.process import environment_rank, prepare_for_training
from graft.ranks import rank, seed_rank
from graft.report.show import show_curves, show_job
from graft.run import lr_finder as rate
from graft.run.launch import launch, launched
from graft.run.plan import Plan
from graft.run.result import Result
from graft.seed import seeded
from graft.training.checkpoint import Checkpoint
from graft.training.features import FeatureStore
from graft.training.logger import curves
from graft.training.progress import Progress
from graft.training.prune import pruning
from graft.training.transfer import OneTrial, TransferModule, parameter_counts
from graft.training.tune import Freeze, Phase

log = logging.getLogger("graft")


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
        with locked_job_folder(folder):
            check_existing_result(
                to_plain(cfg), folder
            )  # once more: another process may have held the lock, and left its result
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
    prepare_for_training()
    plan = Plan(cfg)
    job = job_identity(to_plain(cfg), plan.data.images.fingerprint)
    found = finished_result(folder, job) if resume else None
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
    pruner = "none" if cfg.sweep is None else cfg.sweep.pruner
    prune = pruning(pruner, folder, cfg.trials, plan.epochs(len(plan.phases)))
    for number, phase in enumerate(plan.phases):
        front, stages = backbone.split(phase.frozen_stages)
        # Here and not only where features are missing, so that a run that finds them has the same numbers.
        front.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with clock("features"):
            plan.place(phase.frozen_stages, front, backbone.preprocess.output_shape, store)
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
) -> TransferModule:
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
        seed_rank(split.seeds[0], purpose)
        with clock("train"):
            checkpoint.fit(trainer, transfer, split)
        if number == len(plan.phases) - 1:
            with clock("test"):
                trainer.test(transfer, datamodule=split, verbose=False)
    return transfer


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
