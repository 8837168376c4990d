"""The check of an optimizer and a schedule: they work, resume, and whether trials may share the optimizer."""

import functools
import io
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from graft.errors import ConfigError, Fault, GraftError
from graft.own_code import failure
from graft.seed import seeded

STEPS = 6  # some begin to differ at the second; half of them are before an interruption
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
    mixes = check_optimizer(functools.partial(make, lr=0.01 if lr in ("auto", None) else lr))
    if at_once == 1 or not mixes:
        return at_once
    if at_once == "auto":
        return 1
    expected = "1 or auto with this optimizer, whose step of one trial depends on the others'"
    raise ConfigError([Fault("trials_at_once", at_once, expected, "trials_at_once=auto")])


def check_optimizer(make: Callable[..., torch.optim.Optimizer], key: str = "optimizer") -> bool:
    """Refuse an optimizer that does not work; return whether its step of one trial depends on the others'.

    Trials are stacked in one parameter. Most optimizers compute element by element. Others take norms or means of a
    whole parameter, or draw random numbers.

    Args:
        make: makes one for parameters.
        key: the option that names it, in messages.

    Raises:
        GraftError: it cannot be made, fails, or takes other steps where a fit resumes.
    """
    weights = [torch.linspace(-1, 1, 2 * shape.numel()).view(2, *shape) for shape in map(torch.Size, SHAPES)]
    second = [each[1:] for each in weights]
    both, resumed = _trained(make, weights, key), _trained(make, second, key, interrupted=True)
    tolerated = TOLERANCE * _distance(resumed, second)
    differs = _distance(resumed, [each[1:] for each in both]) > tolerated
    if differs and _distance(resumed, _trained(make, second, key)) > tolerated:  # without its neighbor, too
        raise GraftError(
            f"{key}._target_ takes other steps after an interruption, as state_dict() lacks some of what it remembers; "
            "keep all of it in self.state[parameter] or self.param_groups, and draw random numbers from PyTorch's own "
            "generator"
        )
    return differs


def _distance(weights: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    return float(torch.cat([(one - other).flatten() for one, other in zip(weights, others, strict=True)]).norm())


def _trained(
    make: Callable[..., torch.optim.Optimizer], weights: list[torch.Tensor], key: str, interrupted: bool = False
) -> list[torch.Tensor]:
    """Return weights after some steps, between which a fit may be interrupted.

    The gradients are the same function of each weight.
    """
    parameters = [nn.Parameter(each.clone()) for each in weights]
    expected = "expected is a torch.optim.Optimizer of parameters of any shape"
    calls = []

    def made() -> torch.optim.Optimizer:
        optimizer = make(parameters)
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise GraftError(f"{key}._target_ gives a {type(optimizer).__name__}; {expected}")
        return optimizer

    def closure() -> torch.Tensor:  # Lightning computes the gradients in it
        for each in parameters:
            each.grad = None
        loss = torch.stack([(each.sin() * (1 + each.detach().exp())).sum() for each in parameters]).sum()
        loss.backward()
        calls.append(loss)
        return loss

    try:
        with seeded(0, "check"), torch.enable_grad():
            optimizer = made()
            for step in range(STEPS):
                if interrupted and step == STEPS // 2:
                    optimizer = _as_resumed(optimizer, made())
                optimizer.step(closure=closure)  # type: ignore[arg-type]
    except GraftError:
        raise
    except Exception as error:  # of the user's code, of any kind
        raise GraftError(f"{key}._target_ fails ({failure(error)}); {expected}; try torch.optim.Adam") from None
    if len(calls) < STEPS:
        raise GraftError(
            f"the step of {key}._target_ does not call its closure, in which Lightning computes the gradients; begin "
            "it with loss = None if closure is None else torch.enable_grad()(closure)()"
        )
    return [each.detach() for each in parameters]


def _as_resumed(before: torch.optim.Optimizer, new: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return a new optimizer with the state of one before it, as a checkpoint's file has it."""
    file = io.BytesIO()
    torch.save(before.state_dict(), file)
    file.seek(0)
    new.load_state_dict(torch.load(file, weights_only=True))
    return new


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
