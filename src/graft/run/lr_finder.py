"""The learning-rate range test (Smith 2017): what `lr=auto` takes its rate from."""

import functools
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from scipy.ndimage import gaussian_filter1d
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ExponentialLR

from graft.errors import GraftError
from graft.files import write_text
from graft.run.plan import Plan
from graft.seed import seeded
from graft.training.progress import Progress
from graft.training.tune import Freeze

log = logging.getLogger("graft")

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 100
SMOOTH = 4.0  # standard deviation of the smoothing, in steps


def find(plan: Plan, number: int, front: nn.Module, networks: Callable[[range], list[nn.Module]], note: Path) -> float:
    """Return the rate that all trials of a job share in one phase.

    Lightning's own finder gives all groups of parameters one rate, and tests one fit; here stages keep the ratios of
    their rates, and the trials of all chunks count.

    Args:
        plan: the job's, with its inputs in place.
        number: the phase, counted from 0.
        front: preprocessing and frozen stages.
        networks: makes what some trials train, as it is before the phase; nothing of the test remains in it.
        note: a file where the rate is kept, so that a fit that goes on from a checkpoint has the same.

    Raises:
        GraftError: the losses fall at no rate.
    """
    if not note.exists():
        sums = [_losses(plan, number, front, networks(trials), trials) for trials in plan.chunks[number]]
        write_text(note, json.dumps(suggest(np.sum(sums, 0) / len(plan.seeds))))
    rate = json.loads(note.read_text())
    log.info("lr=auto: phase %d has lr=%g", number + 1, rate)
    return rate


def suggest(losses: np.ndarray) -> float:
    """Return a tenth of the rate at which the smoothed loss is lowest, to two digits.

    Lightning takes the steepest descent over the rate itself, not its logarithm, of a running mean that lags by 26 of
    the 100 steps. That is where the test begins: 1.1e-5 for the default job, which comes to 46 % of its
    validation images even with 3e-5, and to 94 % with 0.001; this rule gives 0.0013 (lr=auto trials=4 epochs=10
    dataset.val_per_class=20, 2026-11-24). Losses count as no higher than those at the start, so that
    one that explodes does not reach back through the smoothing.

    Args:
        losses: of steps whose rates rise evenly on a logarithmic scale, (steps,).

    Raises:
        GraftError: the loss falls at no rate.
    """
    start = losses[:10].mean()
    smooth = gaussian_filter1d(np.fmin(losses, start), SMOOTH, mode="nearest")
    if not smooth.min() < (1 - 1e-6) * start:
        raise GraftError(f"lr=auto: the loss, {start:.3g} at first, falls at no rate; try lr=0.001")
    rates = np.geomspace(LOWEST, HIGHEST, len(losses))
    return float(f"{rates[smooth.argmin()] / 10:.2g}")


def _losses(plan: Plan, number: int, front: nn.Module, networks: list[nn.Module], trials: range) -> np.ndarray:
    """Return the trials' summed losses at each step of a fit whose rates rise, (steps,)."""
    split, losses = plan.split.chunk(trials), _Losses()
    transfer = plan.transfer(number, front, networks, split)
    optimizer = plan.phases[number].optimizer
    assert optimizer is not None
    transfer.optimizer, transfer.schedule = functools.partial(optimizer, lr=LOWEST), _rise
    trainer = plan.trainer(
        max_epochs=STEPS, logger=False, callbacks=[Freeze(), Progress("lr=auto"), losses], limit_val_batches=0
    )
    trainer.fit_loop.epoch_loop.max_steps = STEPS
    with seeded(split.seeds[0], f"range test {number}"):
        trainer.fit(transfer, datamodule=split)
    found = torch.stack(losses.steps).double().cpu().numpy()
    return np.pad(found, (0, STEPS - len(found)), constant_values=np.nan)  # a fit ends where all losses are lost


def _rise(optimizer: Optimizer, steps: int, epoch_steps: int) -> ExponentialLR:
    """Let the rates rise to the highest at the last step."""
    return ExponentialLR(optimizer, (HIGHEST / LOWEST) ** (1 / (STEPS - 1)))


class _Losses(pl.Callback):
    """Keeps what each step minimises: the sum of the trials' losses."""

    def __init__(self):
        self.steps: list[torch.Tensor] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs, *_: object, **__: object
    ) -> None:
        self.steps.append(outputs["loss"].detach())
