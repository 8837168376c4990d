"""One job: one configuration, run for all its trials, from the data set to its result."""

import copy
import functools
import logging
import os
import shutil
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
import torch
from filelock import FileLock
from hydra.utils import get_object
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from pytorch_lightning.utilities.model_summary.model_summary import ModelSummary
from torch import nn

from graft.augment import Augment, Views
from graft.backbone import Backbone
from graft.checkpoint import Checkpoint
from graft.config import build, check
from graft.dataset import Dataset
from graft.errors import GraftError
from graft.features import FeatureStore
from graft.head import Solved
from graft.progress import Progress
from graft.prune import Pruned, pruning
from graft.regularize import Objective, Regularize
from graft.report import show_job
from graft.result import Result, finished, identity
from graft.seed import seeded
from graft.solve import SolvedTransfer
from graft.source import File
from graft.split import SmallSplit
from graft.sweep import FAILURE
from graft.transfer import OneTrial, Transfer, curves, parameter_counts
from graft.trials import chunks, keep_memory
from graft.tune import Freeze

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
        self.device: torch.device = self.trainer(max_epochs=1, logger=False).strategy.root_device
        self.source = build(cfg.source)
        model = {"model": cfg.backbone.model} if "model" in cfg.backbone else {}
        trained_on = self.source.trained_on(functools.partial(get_object(cfg.backbone._target_).published, **model))
        self.data: Dataset = build(cfg.dataset, trained=trained_on)
        self.optimizer, self.schedule = build(cfg.optimizer), build(cfg.schedule)
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
        self.augment: Augment | None = build(cfg.augment)
        if self.augment and self.augment.views and not self.frozen_stages:
            raise GraftError(
                f"augment.views={self.augment.views} stores what frozen stages make of the views, but all stages "
                "train; try augment.views=null"
            )
        self.varied = self.augment is not None and not self.augment.views
        self.regularize: Regularize = build(cfg.regularize)
        self.solved = issubclass(get_object(cfg.head._target_), Solved)
        self.epochs, self.val_every = (1, 1) if self.solved else (cfg.epochs, cfg.val_every)
        self._check_regularisers(example.keep)
        if self.solved:
            self._check_solved(example.keep)
        self.class_weights: str | None = cfg.class_weights
        self.split = SmallSplit(self.data, self.seeds, cfg.batch_size, cfg.test_curve, self.augment)
        network = nn.Sequential(example.split(self.frozen_stages)[1], self.head())
        self.chunks = chunks(cfg.trials, cfg.trials_at_once, network, example.border(self.frozen_stages))

    def _check_regularisers(self, kept: int) -> None:
        if self.regularize.l2_sp and (self.frozen_stages == kept or not self.source.trained):
            raise GraftError(
                f"regularize.l2_sp={self.regularize.l2_sp} pulls thawed stages towards their source's weights, but "
                "there are no such stages; try tune=full with source=big"
            )
        if self.regularize.cutmix and self.frozen_stages == kept and kept and not self.varied:
            raise GraftError(
                f"regularize.cutmix={self.regularize.cutmix} pastes rectangles, but what is stored has no height and "
                "width; try regularize.mixup=0.2, or tune.thaw=1"
            )

    def _check_solved(self, kept: int) -> None:
        refused = {
            "tune=frozen": self.frozen_stages < kept or not kept,
            "augment=none": self.augment is not None,
            "regularize=default without its keys": self.regularize != Regularize(),
        }
        faults = [way_out for way_out, fault in refused.items() if fault]
        if faults:
            raise GraftError(
                f"{type(self.head()).__name__} heads are solved at once, on what frozen stages store of "
                f"the images as they are; try {', '.join(faults)}, or head=plain"
            )

    def transfer(self, front: nn.Module, networks: list[nn.Module], split: SmallSplit) -> Transfer:
        """Return the Lightning module of some trials."""
        if self.solved:
            return SolvedTransfer(front, networks, self.class_weights is not None)
        return Transfer(
            front,
            networks,
            self.optimizer,
            stored=self.frozen_stages > 0,
            varied=self.varied,
            schedule=self.schedule,
            objective=self.objective(split),
        )

    def objective(self, split: SmallSplit) -> Objective | None:
        """Return what these trials' steps minimise, None for the plain cross-entropy."""
        if self.class_weights is None and self.regularize == Regularize(ema=self.regularize.ema):
            return None
        return Objective(self.regularize, split.seeds, split.class_weights() if self.class_weights else None)

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
        The content of `result.json`; None if a search pruned the job.
    """
    try:
        with FileLock(folder / ".lock"):
            result = run(cfg, folder, resume)
    except Pruned as pruned:
        log.info("%s", pruned)
        return None
    show_job(result, folder)
    return result


def run(cfg: DictConfig, folder: Path, resume: bool = False) -> dict:
    """Run all trials of one configuration and write what came out into a folder.

    Returns:
        The content of `result.json`.

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
    plan.warn()
    with clock("pretrain"):
        weights = plan.source.weights(plan.backbone, plan.data, plan.trainer, Path(cfg.cache))
    backbone = plan.backbone()
    if weights is not None:
        backbone.load_state_dict(weights)
    front, stages = backbone.split(plan.frozen_stages)

    with clock("features"):
        place(plan, front, backbone.preprocess.fitted, FeatureStore(Path(cfg.cache) / "features", plan.device))

    def network(seed: int) -> nn.Module:
        own = stages
        if weights is None:
            with seeded(seed, "backbone"):
                own = plan.backbone().split(plan.frozen_stages)[1]
        with seeded(seed, "head"):
            return nn.Sequential(OrderedDict(stages=copy.deepcopy(own), head=plan.head()))

    example = OneTrial(front, network(cfg.seed))
    log.info("%s", ModelSummary(example, max_depth=2))
    result = Result(cfg, folder, plan.data, plan.split, job)
    prune = pruning(cfg, folder)
    for trials in plan.chunks:
        split = plan.split.chunk(trials)
        transfer = plan.transfer(front, [network(seed) for seed in split.seeds], split)
        part = "" if len(plan.chunks) == 1 else f"/trials_{trials.start}-{trials.stop - 1}"
        name = f"{job}_{trials.start}-{trials.stop - 1}.ckpt"
        checkpoint = Checkpoint(folder / "checkpoints" / name, last=len(plan.chunks) > 1)
        trainer = plan.trainer(
            max_epochs=plan.epochs,
            logger=curves(folder, f"tensorboard{part}", ("train", *split.curves)),
            callbacks=[Freeze(), Progress(_label(trials)), *plan.regularize.callbacks(), *prune, checkpoint],
            check_val_every_n_epoch=plan.val_every,
            limit_val_batches=1.0 if split.curves else 0,
            default_root_dir=folder,
        )
        with seeded(split.seeds[0], "dropout"):
            with clock("train"):
                checkpoint.fit(trainer, transfer, split)
            with clock("test"):
                trainer.test(transfer, datamodule=split, verbose=False)
        result.add(trials, transfer)
    content = result.write(front, parameter_counts(example), clock.seconds())
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return content


def place(plan: Plan, front: nn.Module, fitted: Sequence[int], store: FeatureStore) -> None:
    """Give the plan's split its inputs: images, or what the frozen stages make of them.

    Args:
        plan: whose split it is.
        front: preprocessing and frozen stages.
        fitted: channels, height and width of the images after preprocessing.
        store: where the frozen stages' features lie.
    """
    split, images, varied = plan.split, plan.data.images, None
    if plan.augment and split.varied is not None:
        if plan.augment.views:
            views = Views(images, plan.augment)
            varied = store.features(front, views, views.numbers(split.varied, plan.augment.views))
        else:
            varied = images.read(split.varied)
    if plan.frozen_stages:
        inputs = store.features(front, images, split.images)
        split.place(inputs, inputs.shape[1:], plan.device, varied)
    else:
        split.place(images.read(split.images), fitted, plan.device, varied)


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
    taken = sorted(make.keywords.keys() & {*flags, "enable_checkpointing", "enable_progress_bar"})
    if taken:
        raise GraftError(f"trainer.{taken[0]} is set by Graft; try epochs=, val_every= or test_curve= instead")
    try:
        return make(**flags, enable_progress_bar=False, enable_checkpointing=saves)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise GraftError(f"Lightning refuses these trainer flags: {reason}; try trainer=default") from None
