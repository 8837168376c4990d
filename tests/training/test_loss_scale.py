"""Each trial's loss scale, against PyTorch's GradScaler in a plain loop for each trial."""

import copy

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader

from graft.data.loader import Batch
from graft.training.loss_scale import LARGEST, LossScale
from graft.training.regularize import Objective, Regularize
from graft.training.transfer import TransferModule
from graft.training.tune import Phase


def networks(count: int) -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)) for _ in range(count)]


def batches(trials: int, count: int = 6) -> list[Batch]:
    random = torch.Generator().manual_seed(1)
    return [
        Batch(
            torch.rand(trials, 8, 6, generator=random), torch.randint(0, 3, (trials, 8), generator=random), stored=True
        )
        for _ in range(count)
    ]


def fit(nets: list[nn.Module], steps: list[Batch], optimizer, **settings: float) -> TransferModule:
    """Fit as on a GPU with precision=16-mixed; Lightning itself would take bfloat16 on a CPU."""
    objective = Objective(Regularize(**settings), seeds=range(len(nets))) if settings else None
    module = TransferModule(nn.Identity(), nets, Phase(0, lr=0.1, optimizer=optimizer), objective)
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", plugins=[MixedPrecision("16-mixed", "cpu")], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, DataLoader(steps, batch_size=None))  # type: ignore[arg-type]
    return module


def scaled_by_pytorch(net: nn.Module, steps: list[Batch], trial: int, optimizer, clip: float | None) -> nn.Module:
    """Train one trial's network in float16 in the order of PyTorch's manual."""
    scaler, sgd = torch.amp.GradScaler("cpu"), optimizer(net.parameters(), lr=0.1)
    for step in steps:
        with torch.autocast("cpu", torch.float16):
            loss = cross_entropy(net(step.inputs[trial]), step.labels[trial])
        sgd.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(sgd)
        if clip is not None:
            clip_grad_norm_(net.parameters(), clip)
        scaler.step(sgd)
        scaler.update()
    return net


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("trials", [1, 3])
def test_gradients_are_unscaled_before_they_are_clipped(trials: int, fused: bool, clip: float | None):
    def sgd(parameters, lr):
        return torch.optim.SGD(parameters, lr, momentum=0.9, fused=fused)

    def plain_sgd(parameters, lr):
        return torch.optim.SGD(parameters, lr, momentum=0.9)

    nets, steps = networks(trials), batches(trials)
    module = fit(copy.deepcopy(nets), steps, sgd, **({} if clip is None else {"clip": clip}))
    assert module.loss_scale is not None
    assert (module.loss_scale.factors == 2.0**16).all()  # nothing has overflowed
    for trial, net in enumerate(nets):
        expected = scaled_by_pytorch(net, steps, trial, plain_sgd, clip).state_dict()
        for name, value in module.stack.trial(trial).items():
            torch.testing.assert_close(value, expected[name], atol=2e-3, rtol=0)


@pytest.mark.parametrize("settings", [{}, {"clip": 1.0}])
def test_a_trial_whose_gradient_is_no_number_leaves_the_others_alone(settings: dict[str, float]):
    steps = batches(3, count=20)
    alone = fit(networks(3), steps, torch.optim.SGD, **settings)
    for step in steps:
        step.inputs[1] = 1e30  # infinite in float16
    module = fit(networks(3), steps, torch.optim.SGD, **settings)
    for trial in (0, 2):
        for name, value in module.stack.trial(trial).items():
            torch.testing.assert_close(value, alone.stack.trial(trial)[name])
    assert not module.history["train", "loss", 1][1].isfinite()  # it has failed
    assert module.history["train", "loss", 1][[0, 2]].isfinite().all()


def test_factors_follow_pytorch_s_rule():
    ours, scaler, weight = LossScale(1), torch.amp.GradScaler("cpu"), nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([weight])
    scaler.scale(weight.sum())  # makes its factor
    for step in range(4100):
        gradient = torch.tensor([torch.inf if step in (3, 4, 2500) else 1.0])
        weight.grad = gradient.clone()
        scaler.unscale_(sgd)
        scaler.step(sgd)
        scaler.update()
        ours.unscale([gradient])
        assert ours.factors.item() == scaler.get_scale(), step


def test_a_factor_stays_between_1_and_a_largest_one_and_a_scalar_has_one_too():
    scale, gradient = LossScale(1), torch.tensor(torch.nan)
    for _ in range(16):
        scale.unscale([gradient := torch.tensor(torch.nan)])
        assert gradient == 0
    scale.unscale([gradient := torch.tensor(torch.nan)])
    assert gradient.isnan()  # not an overflow: the trial fails
    assert scale.factors == 1
    scale.factors.fill_(LARGEST)
    scale.steps.fill_(1999)
    scale.unscale([torch.ones(())])
    assert scale.factors == LARGEST


def test_factors_are_part_of_a_checkpoint():
    first, second = LossScale(2), LossScale(2)
    first.unscale([torch.tensor([torch.inf, 1.0])])
    second.load_state_dict(first.state_dict())
    assert second.factors.tolist() == [2.0**15, 2.0**16]
    assert second.steps.tolist() == [0, 1]
