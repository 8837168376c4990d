"""Building a job's plan from its configuration."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import MisconfigurationException  # pyright: ignore[reportPrivateImportUsage]
from torch import nn

from graft.backbones.own_backbone import checked_backbone
from graft.backbones.pooling import OPTIONAL_KEYS
from graft.backbones.staged import Backbone
from graft.config.build import build, build_as, builder
from graft.config.check import check
from graft.config.target import find_target
from graft.data.datamodule import SmallDataModule
from graft.data.dataset import Dataset
from graft.data.images import Images
from graft.data.preprocess import InputSpec, Preprocess, enlarged_first
from graft.data.views import checked_augment
from graft.errors import ConfigError, Fault, GraftError
from graft.heads.own_head import checked_head
from graft.model.batch_norm import freeze_batch_norm_stats
from graft.model.layers import fastest_format
from graft.process import hide_job_bars
from graft.results.settings import PREPARED
from graft.run.check_plan import check_plan
from graft.run.launch import KeepSigterm, join, strategy
from graft.run.plan import Plan, PlannedPhase
from graft.stack.chunks import chunks
from graft.stack.own_optimizer import checked_schedule, trials_together
from graft.training.checkpoint import Checkpoint
from graft.training.final_weights import AverageWeights, TrialEnds
from graft.training.source import MakeTrainer, Source
from graft.training.tune import Phase

ANY_SIZE = 224  # height and width of images where their real ones do not matter


def make_plan(cfg: DictConfig, trials: range | None = None) -> Plan:
    """Build and check everything that a configuration names.

    Args:
        cfg: the composed configuration.
        trials: the numbers of the trials to run; None: all, or with trials=auto those of the first round.

    Raises:
        GraftError: the configuration contradicts itself, the data or the machine.
    """
    check(cfg)
    if trials is None:
        trials = range(cfg.trials_min if cfg.trials == "auto" else cfg.trials)
    hide_job_bars(cfg.trainer.get("enable_progress_bar") is False)
    trainer = functools.partial(_make_trainer, build(cfg, "trainer"))
    device, world_size = _join_ranks(cfg, trainer)  # before a data set or weights may be downloaded
    source = build_as(Source, cfg, "source")
    data, input_spec = planned_data(cfg, source)
    preprocess = input_spec.preprocess(data.images.shape)
    backbone = planned_backbone(cfg, preprocess)
    example = checked_backbone(backbone, data.images.shape)
    datamodule = _split(cfg, data, trials, preprocess)
    head, is_solved = _head(cfg, example.num_features(), datamodule)
    phases = _phases(cfg, example.keep, source.trained or not example.state_dict(), is_solved)
    at_each_epoch = is_solved or cfg.stop.patience is not None or cfg.weights == "best"
    plan = Plan(
        trainer=trainer,
        device=device,
        world_size=world_size,
        source=source,
        data=data,
        input_spec=input_spec,
        preprocess=preprocess,
        backbone=backbone,
        num_kept=example.keep,
        head=head,
        is_solved=is_solved,
        phases=_planned(cfg, phases, example, head, is_solved, device, len(trials)),
        datamodule=datamodule,
        first_trial=trials.start,
        regularize=build(cfg, "regularize"),
        class_weights=cfg.class_weights,
        half_frozen=cfg.frozen_precision == "bf16-mixed",
        val_every=1 if at_each_epoch else cfg.val_every,
        callbacks=functools.partial(_callbacks, cfg),
        loggers={str(name): builder({f"logger.{name}": cfg.logger[name]}, f"logger.{name}") for name in cfg.logger},
    )
    check_plan(plan)
    return plan


def planned_images(cfg: DictConfig) -> Images:
    """Return the images of a configuration's plan; nothing else of it is made.

    Raises:
        GraftError: they cannot be read.
    """
    return planned_data(cfg)[0].images


def planned_data(cfg: DictConfig, source: Source | None = None) -> tuple[Dataset, InputSpec]:
    """Return the data set, and how its images are prepared for the weights, whose pixels the source knows."""
    source = source or build_as(Source, cfg, "source")
    model = {"model": cfg.backbone.model} if "model" in cfg.backbone else {}
    published = functools.partial(_backbone_class(cfg).published, **model)
    given = {key: cfg.dataset[key] for key in PREPARED if key in cfg.dataset}
    input_spec = InputSpec(**given, trained=source.trained_on(published))
    if any(cfg.backbone.get(key) is not None for key in OPTIONAL_KEYS):
        with torch.device("meta"):  # what a network cannot have is refused before data are read
            planned_backbone(cfg, input_spec.preprocess([3, ANY_SIZE, ANY_SIZE]))()
    known = {"size": input_spec.scaled.size, "interpolation": input_spec.scaled.interpolation, "cache": cfg.cache}
    data = build_as(Dataset, cfg, "dataset", leave_out=PREPARED, **known)
    if cfg.get("refit") is not None:  # audit.py has no such key
        data.train_on_all()
    return data, input_spec


def _make_trainer(make: functools.partial[pl.Trainer], **flags) -> pl.Trainer:
    """Make a trainer with the user's flags, which `make` has, and with those of one fit.

    Raises:
        GraftError: Lightning refuses a flag.
    """
    callbacks = [*flags.pop("callbacks", []), KeepSigterm()]
    flags["enable_checkpointing"] = any(isinstance(callback, Checkpoint) for callback in callbacks)
    try:
        return make(**flags, callbacks=callbacks, strategy=strategy(), enable_progress_bar=False)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise GraftError(f"Lightning refuses these trainer flags: {reason}; try trainer=default") from None


def _join_ranks(cfg: DictConfig, trainer: MakeTrainer) -> tuple[torch.device, int]:
    """Join the process group that the trainer's flags ask for; return this process's device and the world size.

    Raises:
        GraftError: there are not as many processes or devices, the job cannot be divided among them, or they do not
            have the precision.
    """
    probe = trainer(max_epochs=1, logger=False)
    join(probe)
    device = probe.strategy.root_device
    if cfg.trainer.get("precision") == "16-mixed" and device.type == "cpu":
        expected = "32-true or bf16-mixed on a CPU, where Lightning has no 16-mixed"
        raise ConfigError([Fault("trainer.precision", "16-mixed", expected, "trainer.precision=bf16-mixed")])
    world_size = probe.num_devices * probe.num_nodes
    check(cfg, world_size=world_size)  # again: trainer.devices=auto may have found several devices
    return device, world_size


def planned_backbone(cfg: DictConfig, preprocess: Preprocess) -> Callable[[], Backbone]:
    """Return what makes a backbone with random weights."""
    null = [key for key in OPTIONAL_KEYS if cfg.backbone.get(key) is None]
    return builder(cfg, "backbone", leave_out=null, preprocess=preprocess)


def _backbone_class(cfg: DictConfig) -> type[Backbone]:
    """Return the class of the backbone.

    Raises:
        ConfigError: it is none, such as a plain `nn.Module` or a function that makes one.
    """
    path = cfg.backbone.get("_target_")
    found = find_target("backbone._target_", path)
    if isinstance(found, type) and issubclass(found, Backbone):
        return found
    expected = (
        "a subclass of graft.backbones.staged.Backbone that gives it the network's stages, "
        'super().__init__(preprocess, [stage1, stage2], keep) (docs/architecture.md, "Add a backbone")'
    )
    raise ConfigError([Fault("backbone._target_", path, expected, "backbone=torchvision backbone.model=resnet18")])


def _head(cfg: DictConfig, num_features: int, datamodule: SmallDataModule) -> tuple[Callable[[], nn.Module], bool]:
    """Return what makes a head, and whether it is fitted at once instead of training."""
    target = find_target("head._target_", cfg.head._target_)
    sizes: dict[str, Any] = {"num_features": num_features, "num_classes": len(datamodule.data.small_classes)}
    if getattr(target, "keeps_points", False):
        sizes["num_points"] = datamodule.rows["train"].shape[1]
    make = checked_head(builder(cfg, "head", **sizes), target, num_features, sizes["num_classes"])
    return make, getattr(target, "is_solved", False)


def _split(cfg: DictConfig, data: Dataset, trials: range, preprocess: Preprocess) -> SmallDataModule:
    seeds = [cfg.seed + trial for trial in trials]
    draws, streams = ([cfg.seed] * len(seeds) if cfg.trials_vary == held else seeds for held in ("init", "data"))
    augment = enlarged_first(checked_augment(build(cfg, "augment"), data.images.shape), preprocess)
    return SmallDataModule(data, seeds, cfg.batch_size, cfg.test_curve, augment, draws, streams)


def _callbacks(cfg: DictConfig) -> list[pl.Callback]:
    """Return new callbacks of one fit: those that decide with which weights it ends, and the user's own.

    Raises:
        ConfigError: one of the user's cannot be built, or is no callback.
    """
    found: list[pl.Callback] = []
    if cfg.stop.patience is not None or cfg.weights == "best":
        found.append(TrialEnds(cfg.stop.patience, cfg.stop.min_delta, cfg.weights == "best"))
    if cfg.regularize.ema:
        found.append(AverageWeights(cfg.regularize.ema))
    for name, option in cfg.callbacks.items():
        key = f"callbacks.{name}"
        callback = build({key: option}, key)
        if not isinstance(callback, pl.Callback):
            expected, example = "a class of pytorch_lightning.Callback (docs/callbacks.md)", "mypkg.MyCallback"
            raise ConfigError([Fault(f"{key}._target_", option._target_, expected, f"+{key}._target_={example}")])
        found.append(callback)
    return found


def _phases(cfg: DictConfig, num_kept: int, trained: bool, is_solved: bool) -> list[Phase]:
    """Return the phases, with the job's settings where a phase has none of its own."""
    optimizer, schedule = build(cfg, "optimizer"), build(cfg, "schedule")
    return [
        replace(
            phase,
            epochs=1 if is_solved else phase.epochs or cfg.epochs,
            lr=phase.lr or cfg.optimizer.get("lr", cfg.lr),
            optimizer=phase.optimizer or optimizer,
            schedule=checked_schedule(phase.schedule or schedule),
        )
        for phase in build(cfg, "tune").phases(num_kept, trained)
    ]


def _planned(
    cfg: DictConfig,
    phases: Sequence[Phase],
    example: Backbone,
    head: Callable[[], nn.Module],
    is_solved: bool,
    device: torch.device,
    num_trials: int,
) -> list[PlannedPhase]:
    """Return the phases with the memory format and the chunks of trials that suit their networks."""
    planned, first_epoch = [], 0
    for index, phase in enumerate(phases):
        network = nn.Sequential(example.split(phase.frozen_stages)[1], head())
        if phase.batch_norm == "frozen":
            freeze_batch_norm_stats(network[0])  # the head's trains
        shape = example.output_shape(phase.frozen_stages)
        at_once = cfg.trials_at_once if is_solved else trials_together(cfg.trials_at_once, phase.optimizer, phase.lr)
        parts = chunks(num_trials, at_once, network, shape)  # LoRA's stages are whole: docs/timm.md
        planned.append(PlannedPhase(index, phase, first_epoch, shape, fastest_format(network, shape, device), parts))
        first_epoch += phase.epochs or 0
    return planned
