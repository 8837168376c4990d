"""The plan of a job: everything that a configuration names, built and checked before anything trains."""

import copy
import functools
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytorch_lightning as pl
import torch
from hydra.utils import get_object
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from torch import nn

from graft.config.build import build, builder
from graft.config.check import check
from graft.data.augment import Augment
from graft.data.datamodule import SmallDataModule
from graft.data.dataset import Dataset
from graft.data.images import ImageStream
from graft.data.views import Views
from graft.errors import GraftError
from graft.model.backbone import Backbone
from graft.model.batch_norm import check_batch_norm, freeze_batch_norm_stats, synchronized
from graft.model.head import SklearnHead
from graft.run.launch import check_shares, join, strategy
from graft.seed import seeded
from graft.training.checkpoint import Checkpoint
from graft.training.features import FeatureStore
from graft.training.regularize import Objective, Regularize
from graft.training.solve import SklearnTransfer
from graft.training.source import Big, File
from graft.training.transfer import TransferModule
from graft.training.trials import chunks, fastest_format
from graft.training.tune import Phase

log = logging.getLogger("graft")


class Plan:
    """Everything that a configuration names, built before anything trains, so that mistakes cost no time.

    Args:
        cfg: the composed configuration.

    Raises:
        GraftError: the configuration does not fit itself, the data or the machine.
    """

    def __init__(self, cfg: DictConfig):
        check(cfg)
        self.trainer = functools.partial(_trainer, build(cfg, "trainer"))
        probe = self.trainer(max_epochs=1, logger=False)
        join(probe)
        self.device: torch.device = probe.strategy.root_device
        self.ranks = probe.num_devices * probe.num_nodes
        mixes = bool(cfg.regularize.mixup or cfg.regularize.cutmix)
        check_shares(cfg.batch_size, cfg.source.get("batch_size"), mixes, self.ranks)
        self.source = build(cfg, "source")
        model = {"model": cfg.backbone.model} if "model" in cfg.backbone else {}
        trained_on = self.source.trained_on(functools.partial(get_object(cfg.backbone._target_).published, **model))
        self.data: Dataset = build(cfg, "dataset", trained=trained_on)
        preprocess = self.data.preprocess()
        self.backbone: Callable[[], Backbone] = builder(cfg, "backbone", preprocess=preprocess)
        example = self.backbone()
        self.phases: list[Phase] = build(cfg, "tune").phases(example.keep, self.source.trained)
        self.head: Callable[[], nn.Module] = builder(
            cfg,
            "head",
            num_features=example.num_features(),
            num_classes=len(self.data.small_classes),
        )
        self.seeds = [cfg.seed + trial for trial in range(cfg.trials)]
        self.augment: Augment | None = build(cfg, "augment")
        if self.augment and self.augment.views and not self.phases[-1].frozen_stages:
            raise GraftError(
                f"augment.views={self.augment.views} stores what frozen stages make of the views, but all stages "
                "train; try augment.views=null"
            )
        self.varied = self.augment is not None and not self.augment.views
        self.regularize: Regularize = build(cfg, "regularize")
        self.solved = issubclass(get_object(cfg.head._target_), SklearnHead)
        self.val_every = 1 if self.solved else cfg.val_every
        self.phases = [
            replace(
                phase,
                epochs=1 if self.solved else phase.epochs or cfg.epochs,
                lr=phase.lr or cfg.optimizer.get("lr", cfg.lr),
                optimizer=phase.optimizer or build(cfg, "optimizer"),
                schedule=phase.schedule or build(cfg, "schedule"),
            )
            for phase in self.phases
        ]
        self._check_ranks()
        self._check_regularisers(example.keep)
        if self.solved:
            self._check_solved(example.keep)
        self.class_weights: str | None = cfg.class_weights
        self.split = SmallDataModule(self.data, self.seeds, cfg.batch_size, cfg.test_curve, self.augment)
        trained = [nn.Sequential(example.split(phase.frozen_stages)[1], self.head()) for phase in self.phases]
        if isinstance(self.source, Big):
            check_batch_norm(example, self.device, self.ranks)
        if self.phases[-1].batch_norm == "frozen":
            freeze_batch_norm_stats(trained[-1])
        check_batch_norm(trained[-1], self.device, self.ranks)  # the last phase thaws what all others do
        borders = [example.output_shape(phase.frozen_stages) for phase in self.phases]
        pairs = list(zip(trained, borders, strict=True))
        self.memory_formats = [fastest_format(network, border, self.device) for network, border in pairs]
        self.chunks = [chunks(cfg.trials, cfg.trials_at_once, network, border) for network, border in pairs]

    def _check_ranks(self) -> None:
        alone = {
            "lr=auto": any(phase.lr == "auto" for phase in self.phases),
            "augment.test_views": self.augment is not None and bool(self.augment.test_views),
        }
        faults = [key for key, asked in alone.items() if asked and self.ranks > 1]
        if faults:
            raise GraftError(f"{' and '.join(faults)} cannot be divided among devices; try trainer.devices=1")

    def _check_regularisers(self, kept: int) -> None:
        frozen = self.phases[-1].frozen_stages
        if self.regularize.l2_sp and (frozen == kept or not self.source.trained):
            raise GraftError(
                f"regularize.l2_sp={self.regularize.l2_sp} pulls thawed stages towards their source's weights, but "
                "there are no such stages; try tune=full with source=big"
            )
        if self.regularize.cutmix and self.phases[0].frozen_stages == kept and kept and not self.varied:
            raise GraftError(
                f"regularize.cutmix={self.regularize.cutmix} pastes rectangles, but what is stored has no height and "
                "width; try regularize.mixup=0.2, or tune.thaw=1"
            )

    def _check_solved(self, kept: int) -> None:
        refused = {
            "tune=frozen": self.phases[-1].frozen_stages < kept or not kept,
            "augment=none": self.augment is not None,
            "regularize=default without its keys": self.regularize != Regularize(),
            "lr=0.001": self.phases[0].lr == "auto",
            "trainer=default": self.ranks > 1,
        }
        faults = [way_out for way_out, fault in refused.items() if fault]
        if faults:
            raise GraftError(
                f"{type(self.head()).__name__} heads are solved at once, in one process, on what frozen "
                f"stages store of the images as they are; try {', '.join(faults)}, or head=plain"
            )

    def network(self, seed: int, phase: Phase, stages: nn.Module) -> nn.Module:
        """Return what one trial trains in a phase, as it is before the first step of the first phase.

        Args:
            seed: the trial's.
            phase: the phase.
            stages: its thawed stages with their source's weights; from scratch each trial has its own.
        """
        if not self.source.trained:
            with seeded(seed, "backbone"):
                stages = self.backbone().split(phase.frozen_stages)[1]
        # An earlier phase had them frozen, in the order of memory that is best for convolutions of one network.
        own = copy.deepcopy(stages).requires_grad_(True).train().to(memory_format=torch.contiguous_format)
        if phase.batch_norm == "frozen":
            freeze_batch_norm_stats(own)
        with seeded(seed, "head"):
            return nn.Sequential(OrderedDict(stages=own, head=self.head()))

    def transfer(
        self, number: int, front: nn.Module, networks: list[nn.Module], split: SmallDataModule
    ) -> TransferModule:
        """Return the Lightning module of some trials in one phase, counted from 0."""
        if self.solved:
            return SklearnTransfer(front, networks, self.class_weights is not None)
        phase = self.phases[number]
        assert phase.optimizer is not None
        return TransferModule(
            front,
            [synchronized(network) for network in networks],
            functools.partial(phase.optimizer, lr=phase.lr),
            stored=phase.frozen_stages > 0,
            varied=self.varied,
            schedule=phase.schedule,
            objective=self.objective(split),
            lr_decay=phase.lr_decay,
            first_epoch=self.epochs(number),
            memory_format=self.memory_formats[number],
        )

    def epochs(self, phases: int) -> int:
        """Return how many epochs the first phases have together."""
        return sum(phase.epochs or 0 for phase in self.phases[:phases])

    def objective(self, split: SmallDataModule) -> Objective | None:
        """Return what these trials' steps minimise, None for the plain cross-entropy."""
        if self.class_weights is None and self.regularize == Regularize(ema=self.regularize.ema):
            return None
        return Objective(self.regularize, split.seeds, split.class_weights() if self.class_weights else None)

    def place(self, frozen_stages: int, front: nn.Module, fitted: Sequence[int], store: FeatureStore) -> None:
        """Give the split its inputs: images, or what the frozen stages make of them.

        Args:
            frozen_stages: how many of them there are.
            front: preprocessing and frozen stages.
            fitted: channels, height and width of the images after preprocessing.
            store: where the frozen stages' features lie.
        """
        split, images, varied, test_views = self.split, self.data.images, None, None
        if self.augment and split.varied is not None:
            if self.augment.views:
                views = Views(images, self.augment)
                varied = store.features(front, views, views.numbers(split.varied, self.augment.views))
            else:
                varied = images.read(split.varied)
        if self.augment and self.augment.test_views and frozen_stages == self.phases[-1].frozen_stages:
            views = Views(images, self.augment)
            numbers = views.numbers(split.images, self.augment.test_views - 1)
            test_views = store.features(front, views, numbers) if frozen_stages else ImageStream(views, numbers)
        if frozen_stages:
            inputs = store.features(front, images, split.images)
            split.place(inputs, inputs.shape[1:], self.device, varied, test_views)
        else:
            split.place(images.read(split.images), fitted, self.device, varied, test_views)

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


def _trainer(make: functools.partial[pl.Trainer], **flags) -> pl.Trainer:
    saves = any(isinstance(callback, Checkpoint) for callback in flags.get("callbacks", ()))
    taken = sorted(make.keywords.keys() & {*flags, "enable_checkpointing", "enable_progress_bar", "sync_batchnorm"})
    if taken:
        raise GraftError(f"trainer.{taken[0]} is set by Graft; try epochs=, val_every= or test_curve= instead")
    try:
        return make(**flags, strategy=strategy(), enable_progress_bar=False, enable_checkpointing=saves)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise GraftError(f"Lightning refuses these trainer flags: {reason}; try trainer=default") from None
