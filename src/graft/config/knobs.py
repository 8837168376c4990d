"""Knobs: the types of conf/train.yaml's keys. Importing this module registers them, and the resolvers, with Hydra.

Do not import torch here: `--help` must answer in under a second.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from graft.config import resolvers


@dataclass
class Report:
    """What a report shows besides its ranking."""

    baseline: str | None = None
    margin: float = 0.0
    metric: str = "accuracy"
    thumbnails: bool = True
    figures: Any = "png"
    explain: bool = False


@dataclass
class Stop:
    """When a trial ends early."""

    patience: Any = None
    min_delta: float = 0.0


@dataclass
class Knobs:
    """The types of conf/train.yaml's keys; each key's default and meaning are there."""

    dataset: Any = MISSING
    backbone: Any = MISSING
    source: Any = MISSING
    head: Any = MISSING
    tune: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING
    augment: Any = MISSING
    regularize: Any = MISSING
    trainer: Any = MISSING
    logger: Any = MISSING
    sweep: Any = None  # a search's settings; None: Hydra's grid
    baseline: str = MISSING
    run: Any = None
    refit: Any = None  # once its job is known, what a refit keeps of it
    name: str = MISSING
    seed: int = MISSING
    trials: Any = MISSING
    trials_min: int = MISSING
    trials_max: int = MISSING
    trials_vary: str = MISSING
    trials_at_once: Any = MISSING
    epochs: int = MISSING
    batch_size: int = MISSING
    dropout: float = MISSING
    activation: str = MISSING
    width: int = MISSING
    lr: Any = MISSING
    class_weights: str | None = None
    frozen_precision: str = MISSING
    val_every: int = MISSING
    test_curve: bool = MISSING
    stop: Stop = field(default_factory=Stop)
    weights: str = MISSING
    callbacks: Any = MISSING
    resume: Any = MISSING
    keep_weights: str = MISSING
    cache: str = MISSING
    report: Report = field(default_factory=Report)
    reference: Any = None  # a published range of accuracies: low and high, fractions of 1, their source, and classes


resolvers.register()
ConfigStore.instance().store(name="knobs", node=Knobs)
