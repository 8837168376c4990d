"""The plan of a job: every object that its configuration names. make_plan.py builds it, check_plan.py checks it."""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from graft.backbones.staged import Backbone
from graft.config.identity import Contents, content_digests, job_identity
from graft.data.augment import Augment
from graft.data.datamodule import SmallDataModule
from graft.data.dataset import Dataset
from graft.data.folds import whole_repeats
from graft.data.preprocess import Enlarged, InputSpec, Preprocess
from graft.files import fingerprint
from graft.model.batch_norm import synchronized
from graft.seed import seeded
from graft.solvers.weights import ClassWeight
from graft.stack.dropout import Masks
from graft.training.logger import MakeLogger
from graft.training.regularize import Objective, Regularize
from graft.training.solved_transfer import SolvedTransfer
from graft.training.source import MakeTrainer, Source
from graft.training.transfer import TransferModule
from graft.training.tune import Phase

log = logging.getLogger("graft")


@dataclass(frozen=True)
class PlannedPhase:
    """One phase of a job, with everything that the job's configuration adds to it.

    Attributes:
        index: its place among the job's phases, from 0.
        phase: what trains, with its own or the job's epochs, optimizer, learning rate and schedule.
        first_epoch: number of epochs in the phases before it.
        input_shape: of one image's input to the first layer that trains.
        memory_format: the faster one for the networks that train.
        chunks: trials that train side by side.
    """

    index: int
    phase: Phase
    first_epoch: int
    input_shape: tuple[int, ...]
    memory_format: torch.memory_format
    chunks: list[range]

    @property
    def stream(self) -> str:
        """Name of the random numbers that are drawn while it trains: dropout's, and those of other random layers."""
        return f"dropout {self.index}" if self.index else "dropout"


@dataclass(frozen=True)
class Plan:
    """Every object that a configuration names, built and checked before anything trains.

    `make_plan` makes it. It does not change while the job runs.

    Attributes:
        trainer: makes Lightning trainers with the configuration's flags.
        device: device to train on.
        world_size: number of processes that the trainer's flags ask for.
        source: where the backbone's weights come from.
        data: the data set.
        input_spec: how its images are prepared for the backbone.
        preprocess: the module that does it.
        backbone: makes a backbone with random weights.
        num_kept: number of stages that the backbone keeps.
        head: makes a head.
        is_solved: whether the heads are solved at once, instead of training.
        phases: the phases in their order.
        datamodule: each trial's images.
        first_trial: number of the first trial; those before it have finished in earlier rounds.
        regularize: the regularizers.
        class_weights: `balanced`, `effective` or None.
        half_frozen: whether frozen stages compute in bfloat16.
        val_every: epochs between two points of the validation and test curves.
        callbacks: makes the callbacks of one fit that the configuration asks for.
        loggers: make a job's loggers, by name; `tensorboard` alone logs while it trains.

    Example:
        The lecture's first experiment, planned for two trials; no data is downloaded and nothing trains.

        >>> from pathlib import Path
        >>> from hydra import compose, initialize_config_dir
        >>> from graft.run.make_plan import make_plan
        >>> with initialize_config_dir(str(Path(__file__).parents[3] / "conf"), version_base="1.3"):
        ...     cfg = compose("train", ["name=example", "trials=2", "epochs=3", "source=scratch"])
        >>> plan = make_plan(cfg)
        >>> [(planned.phase.frozen_stages, planned.phase.epochs, planned.chunks) for planned in plan.phases]
        [(0, 3, [range(0, 2)])]
        >>> plan.datamodule.rows["train"].shape  # (trials, images)
        torch.Size([2, 100])
    """

    trainer: MakeTrainer
    device: torch.device
    world_size: int
    source: Source
    data: Dataset
    input_spec: InputSpec
    preprocess: Preprocess
    backbone: Callable[[], Backbone]
    num_kept: int
    head: Callable[[], nn.Module]
    is_solved: bool
    phases: list[PlannedPhase]
    datamodule: SmallDataModule
    first_trial: int
    regularize: Regularize
    class_weights: str | None
    half_frozen: bool
    val_every: int
    callbacks: Callable[[], list[pl.Callback]]
    loggers: dict[str, MakeLogger]

    @property
    def seeds(self) -> list[int]:
        """One for each trial."""
        return self.datamodule.seeds

    @property
    def streams(self) -> list[int]:
        """The seed of each trial's initialization, order of batches and other random numbers while it trains."""
        return self.datamodule.streams

    @property
    def augment(self) -> Augment | None:
        """The augmentation of the training images."""
        return self.datamodule.augment

    @property
    def augmented_each_step(self) -> bool:
        """Whether training batches are images augmented at each step, rather than stored features."""
        return self.augment is not None and not self.augment.views

    def identify(self, config: dict[str, Any]) -> tuple[str, Contents]:
        """Return the job's identity, and what it is made from besides its plain configuration."""
        images, files = self.data.images, content_digests(config)
        folds = () if self.data.folds is None else (self.data.folds.num_folds,)
        tested_on = fingerprint(images.originals, self.data.test, self.data.small_classes.sort().values, *folds)[:24]
        contents = Contents(images.fingerprint, tested_on, list(images.classes), files)
        seen = images.fingerprint + " enlarged, then augmented" * isinstance(self.augment, Enlarged)
        return job_identity(config, seen, images.classes, files), contents

    def origin(self, label: str, config: dict[str, Any]) -> str:
        """Return in words where the frozen stages' outputs come from: a backbone's label, weights and pixels."""
        source = config["source"]
        weights = source.get("path") or source.get("weights") or type(self.source).__name__.lower()
        return f"{label} with weights {weights} and dataset.pixels={self.input_spec.pixels}"

    @property
    def epochs(self) -> int:
        """Number of epochs of all phases together."""
        return sum(planned.phase.epochs or 0 for planned in self.phases)

    def pretrained(self, cache: Path) -> Backbone:
        """Return the backbone with the weights of its source, which are pre-trained or found in the cache."""
        backbone = self.backbone()
        has_weights = len(backbone.state_dict()) > 0  # a control has none
        weights = self.source.weights(self.backbone, self.data, self.trainer, cache) if has_weights else None
        if weights is not None:
            backbone.load_state_dict(weights)
        backbone.half_frozen = self.half_frozen
        return backbone

    def network(self, seed: int, phase: Phase, stages: nn.Module) -> nn.Module:
        """Return the network that one trial trains in a phase, as it is before the first step of the first phase.

        Args:
            seed: one of `streams`.
            phase: the phase.
            stages: its unfrozen stages with their source's weights; from scratch each trial has its own.
        """
        if not self.source.trained:
            with seeded(seed, "backbone"):
                stages = self.backbone().split(phase.frozen_stages)[1]
        with seeded(seed, "lora"):
            unfrozen = phase.trainable(stages)
        with seeded(seed, "head"):
            return nn.Sequential(OrderedDict(stages=unfrozen, head=self.head()))

    def transfer(
        self, planned: PlannedPhase, frozen: nn.Module, networks: list[nn.Module], datamodule: SmallDataModule
    ) -> TransferModule:
        """Return the Lightning module of some trials, with their networks and images, in one phase."""
        if self.is_solved:
            examples, weights = datamodule.train_examples(), self._solver_weights(datamodule)
            return SolvedTransfer(frozen, networks, planned.phase, examples, datamodule.first_same(), weights)
        return TransferModule(
            frozen,
            [synchronized(network) for network in networks],
            planned.phase,
            self.objective(datamodule),
            planned.first_epoch,
            planned.memory_format,
            Masks(datamodule.streams, planned.stream),
        )

    def _solver_weights(self, datamodule: SmallDataModule) -> list[ClassWeight]:
        """Return the weights of each trial's classes as scikit-learn has them; it balances each of its folds anew."""
        if self.class_weights != "effective":
            return [self.class_weights] * len(datamodule.seeds)
        return [dict(enumerate(row)) for row in datamodule.class_weights(self.class_weights).tolist()]

    def objective(self, datamodule: SmallDataModule) -> Objective | None:
        """Return the loss of these trials' training steps; None for the plain cross-entropy."""
        if self.class_weights is None and self.regularize == Regularize(ema=self.regularize.ema):
            return None
        weights = datamodule.class_weights(self.class_weights).to(self.device) if self.class_weights else None
        return Objective(self.regularize, datamodule.streams, weights)

    def warn(self) -> None:
        """Warn of pixels that are scaled otherwise than in the weights' training, and of folds tested incompletely."""
        lacking = self.data.folds and whole_repeats(len(self.seeds), self.data.folds.num_folds)
        if lacking:
            log.warning("%s", lacking)
        spec = self.input_spec
        foreign = self.source.trained and not self.source.pretrains
        if foreign and spec.trained is None and spec.pixels == "weights":
            network = self.backbone()
            names = network.published_names(network.model)
            published = f"source.weights={' or '.join(names[:6])} if they are published weights, or " if names else ""
            log.warning(
                "the source does not say what pixels its weights were trained on: assuming 0 to 1; "
                "try %sdataset.pixels=unit or byte",
                published,
            )
        elif spec.warning():
            log.warning(spec.warning())
