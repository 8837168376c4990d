"""The check of an optimizer and a schedule: they work, and whether trials may share the optimizer."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from graft.errors import ConfigError, Fault, GraftError
from graft.own_code import failure

STEPS = 3  # some begin to differ at the second
SHAPES = ((6, 4), (6,))  # of one trial's weights
TOLERANCE = 1e-3  # of the weights' change


def trials_together(at_once: int | str, make: Any, lr: float | str | None) -> int | str:
    """Return how many trials may train side by side with an optimizer: one, if it mixes them.

    Args:
        at_once: a number, or `auto`.
        make: makes the optimizer for parameters, with a learning rate.
        lr: the learning rate, or `auto`; None: one for this check.

    Raises:
        GraftError: the optimizer cannot be made, fails, or mixes the trials that are to train side by side.
    """
    mixes = mixes_trials(functools.partial(make, lr=0.01 if lr in ("auto", None) else lr))  # it also has to work alone
    if at_once == 1 or not mixes:
        return at_once
    if at_once == "auto":
        return 1
    expected = "1 or auto with this optimizer, whose step of one trial depends on the others'"
    raise ConfigError([Fault("trials_at_once", at_once, expected, "trials_at_once=auto")])


def mixes_trials(make: Callable[..., torch.optim.Optimizer]) -> bool:
    """Return whether what an optimizer does to one trial's weights depends on the others', stacked in one parameter.

    Most compute element by element. Others take norms or means of a whole parameter, or draw random numbers.

    Args:
        make: makes one for parameters.

    Raises:
        GraftError: it cannot be made, or fails.
    """
    weights = [torch.linspace(-1, 1, 2 * shape.numel()).view(2, *shape) for shape in map(torch.Size, SHAPES)]
    both, alone = _trained(make, weights), _trained(make, [each[1:] for each in weights])
    changed = torch.cat([(new - old[1:]).flatten() for new, old in zip(alone, weights, strict=True)])
    differing = torch.cat([(one - two[1:]).flatten() for one, two in zip(alone, both, strict=True)])
    return bool(differing.norm() > TOLERANCE * changed.norm())


def _trained(make: Callable[..., torch.optim.Optimizer], weights: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return weights after some steps; the gradients are the same function of each weight."""
    parameters = [nn.Parameter(each.clone()) for each in weights]
    expected = "expected is a torch.optim.Optimizer of parameters of any shape"
    calls = []
    try:
        optimizer = make(parameters)
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise GraftError(f"optimizer._target_ gives a {type(optimizer).__name__}; {expected}")

        def closure() -> float:  # Lightning computes the gradients in it
            optimizer.zero_grad()
            loss = torch.stack([(each.sin() * (1 + each.detach().exp())).sum() for each in parameters]).sum()
            loss.backward()
            calls.append(loss)
            return loss  # type: ignore[return-value]

        with torch.enable_grad():
            for _ in range(STEPS):
                optimizer.step(closure=closure)
    except GraftError:
        raise
    except Exception as error:  # of the user's code, of any kind
        raise GraftError(f"the optimizer fails ({failure(error)}); {expected}; try optimizer=adam") from None
    if len(calls) < STEPS:
        raise GraftError(
            "the optimizer's step does not call its closure, in which Lightning computes the gradients; begin it with "
            "loss = None if closure is None else torch.enable_grad()(closure)()"
        )
    return [each.detach() for each in parameters]


def checked_schedule(schedule: Callable[..., Any]) -> Callable[..., Any]:
    """Return a schedule, a function of optimizer, steps and steps of an epoch that gives a scheduler of steps.

    Raises:
        GraftError: says what it does instead.
    """
    expected = (
        "expected is a function of the optimizer, the number of steps and that of an epoch's steps, which returns a "
        "torch.optim.lr_scheduler.LRScheduler, or None; try schedule=cosine"
    )
    try:
        found = schedule(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1), 20, 10)
    except GraftError:
        raise
    except Exception as error:  # of the user's code, of any kind
        raise GraftError(f"the schedule fails ({failure(error)}); {expected}") from None
    if found is not None and (isinstance(found, ReduceLROnPlateau) or not isinstance(found, LRScheduler)):
        raise GraftError(f"schedule._target_ gives a {type(found).__name__}; {expected}")
    return schedule
