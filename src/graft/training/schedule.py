"""Schedules: how the learning rates change, step by step, over one fit. torch's own schedulers do it.

Each function takes the optimiser, whose groups' rates are the highest ones and keep their ratios, and how many steps
the fit and one epoch have.
"""

from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, SequentialLR, StepLR

Schedule = Callable[[Optimizer, int, int], LRScheduler | None]


def constant(optimizer: Optimizer, steps: int, epoch_steps: int, warmup: float = 0.0) -> LRScheduler | None:
    """Keep the rates, after a warm-up in the first fraction `warmup` of the steps; None without one."""
    first = round(warmup * steps)
    return LinearLR(optimizer, 1 / (first + 1), total_iters=first) if first else None


def cosine(
    optimizer: Optimizer, steps: int, epoch_steps: int, warmup: float = 0.0, eta_min: float = 0.0
) -> LRScheduler:
    """Let the rates fall to `eta_min` along half a cosine, after a warm-up."""
    first = round(warmup * steps)
    return _warmed(optimizer, CosineAnnealingLR(optimizer, max(1, steps - first), eta_min), first)


def step(
    optimizer: Optimizer, steps: int, epoch_steps: int, step_size: int, gamma: float = 0.1, warmup: float = 0.0
) -> LRScheduler:
    """Multiply the rates by `gamma` after each `step_size` epochs, counted from the end of a warm-up."""
    first = round(warmup * steps)
    return _warmed(optimizer, StepLR(optimizer, step_size * epoch_steps, gamma), first)


def one_cycle(
    optimizer: Optimizer,
    steps: int,
    epoch_steps: int,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    anneal_strategy: str = "cos",
) -> LRScheduler:
    """Let the rates rise from a `div_factor`-th in the first fraction `pct_start` of the steps, then fall to nothing.

    Smith and Topin 2018; momentum stays.
    """
    top = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(
        optimizer,
        top,
        total_steps=steps + 1,  # the scheduler steps once more after the last step
        pct_start=pct_start,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        anneal_strategy=anneal_strategy,  # type: ignore[arg-type]
        cycle_momentum=False,
    )


def _warmed(optimizer: Optimizer, schedule: LRScheduler, first: int) -> LRScheduler:
    """Put a linear rise in `first` steps before a schedule."""
    if not first:
        return schedule
    for group in optimizer.param_groups:  # the second scheduler has begun from what the first has set
        group["lr"] = group["initial_lr"]
    rise = LinearLR(optimizer, 1 / (first + 1), total_iters=first)
    return SequentialLR(optimizer, [rise, schedule], [first])
