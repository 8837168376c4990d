"""One job: one configuration, run for all its trials, from the data set to its result."""

import copy
import functools
import json
import logging
import os
import shutil
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from hydra.utils import get_object
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from pytorch_lightning.utilities.model_summary.model_summary import ModelSummary
from torch import nn

from graft.backbone import Backbone
from graft.checkpoint import Checkpoint
from graft.config import build, check, environment_rank
from graft.dataset import Dataset
from graft.distributed import (
    check_norm,
    check_shares,
    join,
    launch,
    launched,
    one_run_of,
    own_dropout,
    rank,
    ranks,
    strategy,
)
from graft.errors import GraftError
from graft.features import FeatureStore
from graft.progress import Progress
from graft.prune import Pruned, pruning
from graft.report import show_job
from graft.result import Result, finished, identity
from graft.seed import seeded
from graft.source import Big, File
from graft.split import SmallSplit
from graft.sweep import FAILURE, RESULT
from graft.transfer import OneTrial, Transfer, curves, parameter_counts
from graft.trials import chunks, keep_memory
from graft.tune import Freeze

log = logging.getLogger("graft")

# What Lightning warns of here is meant: frozen stages are in evaluation mode, and curves have a point an epoch.
for message in (".*in eval mode at the start of training", "The number of training batches", ".*LeafSpec"):
    warnings.filterwarnings("ignore", message=message)


class Plan:
    """Everything that a configuration names, built before anything trains, so that mistakes cost no time.

    Args:
        cfg: the composed configuration.

    Raises:
        GraftError: the configuration does not fit itself, the data or the machine.
    """

    def __init__(self, cfg: DictConfig):
        check(cfg)
        self.trainer = functools.partial(_trainer, build(cfg.trainer))
        probe = self.trainer(max_epochs=1, logger=False)
        join(probe)
        self.device: torch.device = probe.strategy.root_device
        self.ranks = probe.num_devices * probe.num_nodes
        check_shares(cfg, self.ranks)
        self.source = build(cfg.source)
        trained_on = self.source.trained_on(get_object(cfg.backbone._target_))
        self.data: Dataset = build(cfg.dataset, trained=trained_on)
        self.optimizer = build(cfg.optimizer)
        preprocess = self.data.preprocess()
        self.backbone: Callable[[], Backbone] = functools.partial(build, cfg.backbone, preprocess=preprocess)
        example = self.backbone()
        self.frozen_stages: int = build(cfg.tune).frozen_stages(example.keep, self.source.trained)
        self.head: Callable[[], nn.Module] = functools.partial(
            build,
            cfg.head,
            num_features=example.num_features(),
            num_classes=len(self.data.small_classes),
        )
        self.seeds = [cfg.seed + trial for trial in range(cfg.trials)]
        self.split = SmallSplit(self.data, self.seeds, cfg.batch_size, cfg.test_curve)
        thawed = nn.Sequential(example.split(self.frozen_stages)[1], self.head())
        check_norm(example if isinstance(self.source, Big) else thawed, self.device, self.ranks)
        self.chunks = chunks(cfg.trials, cfg.trials_at_once, thawed)

    def warn(self) -> None:
        """Say what the weights get instead of the pixels they were trained on, which no later number would tell."""
        fit = self.data.fit
        if fit.trained is None and fit.pixels == "weights" and isinstance(self.source, File):
            log.warning(
                "%s does not say what pixels its weights were trained on: taking 0 to 1; if they are published ones, "
                "name them with source.weights=, else set dataset.pixels=",
                self.source.path,
            )
        elif fit.warning():
            log.warning(fit.warning())


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
            result = run(cfg, folder, resume)
    except Pruned as pruned:
        log.info("%s", pruned)
        return None
    if result is not None:
        show_job(result, folder)
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
    front, stages = backbone.split(plan.frozen_stages)

    with clock("features"):
        if plan.frozen_stages:
            store = FeatureStore(Path(cfg.cache) / "features", plan.device)
            inputs = store.features(front, plan.data.images, plan.split.images)
            shape = inputs.shape[1:]
        else:
            inputs, shape = plan.data.images.read(plan.split.images), backbone.preprocess.fitted
        plan.split.place(inputs, shape, plan.device)

    def network(seed: int) -> nn.Module:
        own = stages
        if weights is None:
            with seeded(seed, "backbone"):
                own = plan.backbone().split(plan.frozen_stages)[1]
        with seeded(seed, "head"):
            return nn.Sequential(OrderedDict(stages=copy.deepcopy(own), head=plan.head()))

    example = OneTrial(front, network(cfg.seed))
    log.info("%s", ModelSummary(example, max_depth=2))
    result = Result(cfg, folder, plan.data, plan.split, job) if rank() == 0 else None
    prune = pruning(cfg, folder)
    for trials in plan.chunks:
        split = plan.split.chunk(trials)
        transfer = Transfer(front, [network(seed) for seed in split.seeds], plan.optimizer, plan.frozen_stages > 0)
        part = "" if len(plan.chunks) == 1 else f"/trials_{trials.start}-{trials.stop - 1}"
        name = f"{job}_{trials.start}-{trials.stop - 1}.ckpt"
        checkpoint = Checkpoint(folder / "checkpoints" / name, last=len(plan.chunks) > 1)
        trainer = plan.trainer(
            max_epochs=cfg.epochs,
            logger=curves(folder, f"tensorboard{part}", ("train", *split.curves)),
            callbacks=[Freeze(), Progress(_label(trials)), *prune, checkpoint],
            check_val_every_n_epoch=cfg.val_every,
            limit_val_batches=1.0 if split.curves else 0,
            default_root_dir=folder,
        )
        with seeded(split.seeds[0], "dropout"):
            own_dropout(split.seeds[0], "dropout")
            with clock("train"):
                checkpoint.fit(trainer, transfer, split)
            with clock("test"):
                trainer.test(transfer, datamodule=split, verbose=False)
        if result is not None:
            result.add(trials, transfer)
    if result is None:
        return None
    content = result.write(front, parameter_counts(example), clock.seconds())
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return content


def _rank(cfg: DictConfig, hydra: DictConfig | None, folder: Path) -> None:
    """Run a job as one of its ranks, in a process that knows nothing of Hydra yet."""
    HydraConfig.instance().cfg = hydra  # type: ignore[assignment]
    if hydra is not None and environment_rank() == 0:
        configure_log(hydra.hydra.job_logging, hydra.hydra.verbose)
    run(cfg, folder)


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


def _trainer(make: functools.partial[pl.Trainer], **flags) -> pl.Trainer:
    saves = any(isinstance(callback, Checkpoint) for callback in flags.get("callbacks", ()))
    taken = sorted(make.keywords.keys() & {*flags, "enable_checkpointing", "enable_progress_bar", "sync_batchnorm"})
    if taken:
        raise GraftError(f"trainer.{taken[0]} is set by Graft; try epochs=, val_every= or test_curve= instead")
    try:
        # Batch norm that trains takes its statistics over whole batches, not over a rank's part of them.
        norm = {"sync_batchnorm": True} if ranks() > 1 else {}
        return make(**flags, **norm, strategy=strategy(), enable_progress_bar=False, enable_checkpointing=saves)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise GraftError(f"Lightning refuses these trainer flags: {reason}; try trainer=default") from None
