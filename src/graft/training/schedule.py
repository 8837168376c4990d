"""Schedules: how the learning rates change from step to step within one fit.

Each function takes the optimizer, the number of steps of the fit and the number of steps of an epoch. The optimizer's
groups have their peak rates. A schedule multiplies all groups by the same factor; only `cosine` ends at an absolute
rate, `eta_min`.
"""

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

Schedule = Callable[[Optimizer, int, int], LRScheduler | None]


def constant(optimizer: Optimizer, steps: int, epoch_steps: int, warmup: float = 0.0) -> LRScheduler | None:
    """Keep the rates after a warm-up in the first fraction `warmup` of the steps; without a warm-up, return None."""
    warmup_steps = round(warmup * steps)
    return _with_warmup(optimizer, warmup_steps, lambda step, peak: 1.0) if warmup_steps else None


def cosine(
    optimizer: Optimizer, steps: int, epoch_steps: int, warmup: float = 0.0, eta_min: float = 0.0
) -> LRScheduler:
    """Lower the rates to `eta_min` along half a cosine, after a warm-up in the first fraction `warmup` of the steps.

    A rate that is lower anyway stays as it is: an early stage's with `tune.lr_decay`, or the one that lr=auto finds.
    """
    warmup_steps = round(warmup * steps)
    falling_steps = max(1, steps - warmup_steps)

    def half_cosine(step: int, peak: float) -> float:
        lowest = min(eta_min / peak, 1.0)
        return lowest + (1 - lowest) * (1 + math.cos(math.pi * step / falling_steps)) / 2

    return _with_warmup(optimizer, warmup_steps, half_cosine)


def step(
    optimizer: Optimizer, steps: int, epoch_steps: int, step_size: int, gamma: float = 0.1, warmup: float = 0.0
) -> LRScheduler:
    """Multiply the rates by `gamma` every `step_size` epochs, counted from the end of a warm-up."""
    interval = step_size * epoch_steps
    return _with_warmup(optimizer, round(warmup * steps), lambda step, peak: gamma ** (step // interval))


def one_cycle(
    optimizer: Optimizer,
    steps: int,
    epoch_steps: int,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    anneal_strategy: str = "cos",
) -> LRScheduler:
    """Raise the rates from peak / `div_factor` in the first fraction `pct_start` of the steps, then lower them.

    The rate after the last step is the first one / `final_div_factor` (Smith and Topin 2018). Momentum stays constant.
    """
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=steps + 1,  # Lightning steps the scheduler once more after the last step
        pct_start=pct_start,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        anneal_strategy=anneal_strategy,  # type: ignore[arg-type]
        cycle_momentum=False,
    )


def _with_warmup(optimizer: Optimizer, warmup_steps: int, shape: Callable[[int, float], float]) -> LambdaLR:
    """Return a scheduler that raises the rates linearly, then multiplies the peak rates by a shape.

    Args:
        optimizer: its groups have the peak rates.
        warmup_steps: steps before the peak, with 1 / n, 2 / n, ... of the rates, where n is `warmup_steps` + 1.
        shape: maps a step, counted from the end of the warm-up, and a group's peak rate to a factor of that rate.
    """

    def factor(peak: float) -> Callable[[int], float]:
        return lambda step: (step + 1) / (warmup_steps + 1) if step < warmup_steps else shape(step - warmup_steps, peak)

    return LambdaLR(optimizer, [factor(group["lr"]) for group in optimizer.param_groups])
