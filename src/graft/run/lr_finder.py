"""The learning-rate range test (Smith 2017), which finds the rate of `lr=auto`."""

import json
import logging
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from scipy.ndimage import gaussian_filter1d
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ExponentialLR

from graft.errors import GraftError
from graft.files import write_text
from graft.run.phase import PhaseRun
from graft.seed import seeded
from graft.training.progress import Progress
from graft.training.tune import Freeze, Unfreeze

log = logging.getLogger("graft")

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 100
SMOOTHING = 4.0  # standard deviation of the smoothing, in steps


def find_lr(run: PhaseRun, path: Path) -> float:
    """Return the learning rate that all trials of a job share in one phase.

    Lightning's own finder gives all parameter groups one rate and tests a single fit; here stages keep the ratios of
    their rates, and the trials of all chunks count. The test trains separate copies of the networks; training starts
    from unchanged ones.

    Args:
        run: the phase.
        path: file that keeps the rate, so that a fit that continues from a checkpoint has the same.

    Raises:
        GraftError: no rate lowers the loss.
    """
    if not path.exists():
        sums = [_losses(run, trials) for trials in run.planned.chunks]
        write_text(path, json.dumps(suggest_lr(np.sum(sums, 0) / len(run.plan.seeds))))
    lr = json.loads(path.read_text("utf-8"))
    log.info("lr=auto: phase %d has lr=%g", run.planned.index + 1, lr)
    return lr


def suggest_lr(losses: np.ndarray) -> float:
    """Return a tenth of the rate at which the smoothed loss is lowest, to two digits.

    Lightning's rule takes the steepest descent of a running mean that lags by 26 of the 100 steps, over the rate
    itself rather than its logarithm. It would pick 1.1e-5 here, near the start of the test. The default job reaches
    46 % validation accuracy at 3e-5 and 94 % at 0.001; this rule picks 0.0013 (lr=auto trials=4 epochs=10
    dataset.val_per_class=20, 2026-11-24). Losses are clipped at their mean over the first ten steps, so that one that
    explodes does not affect its neighbors through the smoothing.

    Args:
        losses: of steps whose rates rise evenly on a logarithmic scale, (steps,).

    Raises:
        GraftError: no rate lowers the loss.
    """
    start = losses[:10].mean()
    smooth = gaussian_filter1d(np.fmin(losses, start), SMOOTHING, mode="nearest")
    if not smooth.min() < (1 - 1e-6) * start:
        raise GraftError(f"lr=auto: no rate lowers the loss, {start:.3g} at first; try lr=0.001")
    rates = np.geomspace(LOWEST, HIGHEST, len(losses))
    return float(f"{rates[smooth.argmin()] / 10:.2g}")


def _losses(run: PhaseRun, trials: range) -> np.ndarray:
    """Return the trials' summed losses at each step of a fit whose rates rise, (steps,)."""
    datamodule, losses = run.datamodule.chunk(trials), _Losses()
    test = run.with_settings(lr=LOWEST, schedule=_rise)
    transfer = run.plan.transfer(test.planned, run.frozen, run.networks(trials), datamodule)
    callbacks = [Freeze(), Unfreeze(), Progress("lr=auto"), losses]
    flags = {"max_epochs": STEPS, "max_steps": STEPS, "max_time": None, "fast_dev_run": False}
    trainer = run.plan.trainer(**flags, logger=False, callbacks=callbacks, limit_val_batches=0)
    with seeded(datamodule.streams[0], f"range test {run.planned.index}"):
        trainer.fit(transfer, datamodule=datamodule)
    found = torch.stack(losses.steps).double().cpu().numpy()
    return np.pad(found, (0, STEPS - len(found)), constant_values=np.nan)  # a fit ends early where all losses are NaN


def _rise(optimizer: Optimizer, steps: int, epoch_steps: int) -> ExponentialLR:
    """Let the rates rise to the highest at the last step."""
    return ExponentialLR(optimizer, (HIGHEST / LOWEST) ** (1 / (STEPS - 1)))


class _Losses(pl.Callback):
    """Keeps each step's loss, the sum over the trials; the mean over the batches of a step."""

    def __init__(self):
        self.steps: list[torch.Tensor] = []
        self._batches: list[torch.Tensor] = []  # since the last step, if gradients are accumulated

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs, *_: object, **__: object
    ) -> None:
        self._batches.append(outputs["loss"].detach())
        if trainer.global_step > len(self.steps):
            self.steps.append(torch.stack(self._batches).mean())
            self._batches.clear()
