"""Lightning's trainer: the user's flags, with those that Graft sets."""

import functools
from collections.abc import Callable

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import MisconfigurationException  # pyright: ignore[reportPrivateImportUsage]

from graft.errors import GraftError
from graft.run.launch import check_shares, join, strategy
from graft.training.checkpoint import Checkpoint

SET_BY_GRAFT = (
    "max_epochs", "logger", "callbacks", "check_val_every_n_epoch", "limit_val_batches", "default_root_dir",
    "enable_checkpointing", "enable_progress_bar", "sync_batchnorm",
)  # fmt: skip


def make_trainer(make: functools.partial[pl.Trainer], **flags) -> pl.Trainer:
    """Make a trainer.

    Args:
        make: makes it with the user's flags.
        flags: those of one fit.

    Raises:
        GraftError: the user sets a flag that is Graft's, or Lightning refuses one.
    """
    taken = sorted(make.keywords.keys() & {*SET_BY_GRAFT})
    if taken:
        raise GraftError(f"trainer.{taken[0]} is set by Graft; try epochs=, val_every= or test_curve= instead")
    saves = any(isinstance(callback, Checkpoint) for callback in flags.get("callbacks", ()))
    try:
        return make(**flags, strategy=strategy(), enable_progress_bar=False, enable_checkpointing=saves)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise GraftError(f"Lightning refuses these trainer flags: {reason}; try trainer=default") from None


def join_ranks(cfg: DictConfig, trainer: Callable[..., pl.Trainer]) -> tuple[torch.device, int]:
    """Join the process group that the trainer's flags ask for; return this process's device and the world size.

    Raises:
        GraftError: there are not as many processes or devices, or a batch has fewer images.
    """
    probe = trainer(max_epochs=1, logger=False)
    join(probe)
    world_size = probe.num_devices * probe.num_nodes
    check_shares(cfg, world_size)
    return probe.strategy.root_device, world_size
