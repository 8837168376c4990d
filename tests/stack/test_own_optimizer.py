import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch.optim import lr_scheduler

from graft.errors import ConfigError, GraftError
from graft.run.make_plan import make_plan
from graft.stack.own_optimizer import check_optimizer, checked_schedule, trials_together
from graft.training import schedule


class Momentum:
    """A change that each gradient adds to, kept outside of an optimizer's state."""

    def __init__(self):
        self.sums: dict[torch.Size, torch.Tensor] = {}

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        self.sums[gradient.shape] = self.sums.get(gradient.shape, 0) + gradient  # type: ignore[operator]
        return self.sums[gradient.shape]


class Steps(torch.optim.Optimizer):
    """Gradient descent; `change` says which step a gradient gives."""

    def __init__(self, params: Any, lr: float, change: Callable = lambda gradient: gradient, calls: bool = True):
        super().__init__(params, {"lr": lr})
        self.change, self.calls = change, calls

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        if self.calls:
            torch.enable_grad()(closure)()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.sub_(self.change(weight.grad), alpha=group["lr"])


OPTIMIZERS = [torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.Adagrad, torch.optim.NAdam]


@pytest.mark.parametrize("make", [*OPTIMIZERS, functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True), Steps])
def test_trials_may_share_optimizers_that_compute_element_by_element(make: Callable):
    assert not check_optimizer(functools.partial(make, lr=0.01))
    assert trials_together("auto", make, 0.01) == "auto"
    assert trials_together(7, make, "auto") == 7


@pytest.mark.parametrize(
    "make",
    [
        torch.optim.Adafactor,
        functools.partial(Steps, change=lambda gradient: gradient / gradient.norm()),
        functools.partial(Steps, change=lambda gradient: gradient + torch.randn_like(gradient)),
    ],
)
def test_trials_train_one_by_one_with_optimizers_that_mix_them(make: Callable):
    assert check_optimizer(functools.partial(make, lr=0.01))
    assert [trials_together(at_once, make, 0.01) for at_once in ("auto", 1)] == [1, 1]
    with pytest.raises(ConfigError, match=r"trials_at_once must be 1 or auto with this optimizer.*got 3"):
        trials_together(3, make, 0.01)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda params, lr: 3, r"optimizer\._target_ gives a int; expected is a torch.optim.Optimizer"),
        (
            lambda params: torch.optim.SGD(params),
            r"optimizer\._target_ fails \(TypeError: .*unexpected keyword argument 'lr'",
        ),
        (torch.optim.SparseAdam, "SparseAdam does not support dense gradients"),
        (functools.partial(Steps, change=lambda gradient: gradient[:, :1, :1]), r"optimizer\._target_ fails"),
        (functools.partial(Steps, calls=False), "does not call its closure"),
        (lambda params, lr: Steps(params, lr, Momentum()), "takes other steps after an interruption"),
    ],
)
def test_what_does_not_work_as_an_optimizer_is_refused(make: Callable, message: str):
    with pytest.raises(GraftError, match=message):
        trials_together(1, make, 0.01)


@pytest.mark.parametrize("own", [schedule.constant, schedule.cosine, schedule.one_cycle])
def test_schedules_of_graft_pass(own: Callable):
    assert checked_schedule(own) is own


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (lambda optimizer: None, "the schedule fails"),
        (functools.partial(lr_scheduler.StepLR, step_size=3), "multiple values for argument 'step_size'"),
        (lambda optimizer, steps, epoch_steps: 0.5, "gives a float; expected is a function of the optimizer"),
        (lambda optimizer, steps, epoch_steps: lr_scheduler.ReduceLROnPlateau(optimizer), "gives a ReduceLROnPlateau"),
    ],
)
def test_other_schedules_are_refused(own: Callable, message: str):
    with pytest.raises(GraftError, match=message):
        checked_schedule(own)


def test_a_plan_has_chunks_of_one_trial_with_such_an_optimizer(configure: Callable[..., DictConfig]):
    words = ["optimizer._target_=torch.optim.Adafactor", "~optimizer.betas", "~optimizer.eps", "~optimizer.fused"]
    plan = make_plan(configure(*words, "trials=3", "~optimizer.weight_decay"))
    assert [list(chunk) for chunk in plan.phases[0].chunks] == [[0], [1], [2]]
