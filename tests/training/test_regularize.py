import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy, one_hot
from torch.nn.utils import clip_grad_norm_

from graft.data.datamodule import SmallDataModule
from graft.data.dataset import MNIST5k
from graft.errors import GraftError
from graft.heads.head import Dense
from graft.stack.trial_stack import TrialStack
from graft.training.regularize import Mix, Objective, Regularize, clip, parameter_groups

Run = Callable[..., dict]
QUICK = ("source.epochs=1", "trials=2", "epochs=1", "dropout=0")


def networks(count: int) -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.Sequential(nn.Flatten(), Dense(12, 3, [5])) for _ in range(count)]


def batch(trials: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return torch.rand(trials, 6, 3, 2, 2, generator=random), torch.randint(0, 3, (trials, 6), generator=random)


@pytest.mark.parametrize("trials", [1, 3])
def test_each_trial_s_gradient_is_clipped_by_its_own_norm(trials: int):
    nets, (x, y) = networks(trials), batch(trials)
    stack = TrialStack(copy.deepcopy(nets))
    scale = torch.tensor([1.0, 100.0, 1.0])[:trials]
    (scale * cross_entropy(stack(x).flatten(0, 1), y.flatten(), reduction="none").view_as(y).mean(1)).sum().backward()
    clip([value.grad for value in stack.named().values() if value.grad is not None], 0.5, trials)
    optimizer = torch.optim.SGD(stack.parameters(), lr=1.0)
    optimizer.step()
    for trial, net in enumerate(nets):
        (scale[trial] * cross_entropy(net(x[trial]), y[trial])).backward()
        clip_grad_norm_(net.parameters(), 0.5)
        for name, value in net.named_parameters():
            assert value.grad is not None
            torch.testing.assert_close(stack.trial(trial)[name], value.detach() - value.grad)


@pytest.mark.parametrize("settings", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_each_trial_mixes_its_own_batch_by_the_shares_returned(settings: dict[str, float]):
    values = {"mixup": 0.0, "cutmix": 0.0, **settings}
    images = torch.randint(0, 256, (2, 6, 3, 16, 16), dtype=torch.uint8)
    both, alone = Mix(**values, seeds=[4, 5]), Mix(**values, seeds=[5])
    for _ in range(4):
        mixed, (partners, share) = both(images)
        mixed_alone, (partners_alone, share_alone) = alone(images[1:])
        assert torch.equal(mixed[1:], mixed_alone)
        assert torch.equal(partners[1:], partners_alone)
        assert torch.equal(share[1:], share_alone)
        for trial in range(2):
            first, other = images[trial].float(), images[trial][partners[trial]].float()
            blend = share[trial] * first + (1 - share[trial]) * other
            pasted = (mixed[trial] == first) | (mixed[trial] == other)
            if pasted.all():  # cutmix: the share is that of the pixels that stay
                kept = (mixed[trial] == first)[first != other].float().mean()
                assert kept.item() == pytest.approx(share[trial].item(), abs=0.05)
            else:
                torch.testing.assert_close(mixed[trial], blend)


def test_the_loss_of_a_mixture_is_that_of_its_soft_label():
    x, y = batch(2)
    objective = Objective(Regularize(mixup=0.5, label_smoothing=0.1), [0, 1])
    mixed, pairing = objective.mix(x)
    expected, (partners, share) = Mix(0.5, 0.0, [0, 1])(x)
    assert torch.equal(mixed, expected)
    logits = TrialStack(networks(2))(mixed)
    losses = objective.losses(logits, y, pairing)
    hard = one_hot(y, 3).float()
    soft = share[..., None] * hard + (1 - share[..., None]) * one_hot(y.gather(1, partners), 3)
    soft = 0.9 * soft + 0.1 / 3
    torch.testing.assert_close(losses, -(soft * logits.log_softmax(-1)).sum(-1))


def test_class_weights_are_scikit_learn_s_balanced_ones():
    compute = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    labels = torch.tensor([[0, 0, 0, 1, 2, 2], [0, 1, 1, 2, 2, 2]])
    weights = torch.stack(
        [torch.tensor(compute("balanced", classes=np.arange(3), y=row.numpy()), dtype=torch.float32) for row in labels]
    )
    logits = torch.randn(2, 6, 3)
    losses = Objective(Regularize(), [0, 1], weights).losses(logits, labels)
    for trial in range(2):
        expected = cross_entropy(logits[trial], labels[trial], weights[trial])  # torch divides by the sum of weights
        torch.testing.assert_close(losses[trial].mean(), expected)


@pytest.mark.parametrize("kind", ["balanced", "effective"])
def test_class_weights_of_unequal_draws_are_those_of_their_papers(kind: str):
    data = MNIST5k(big=[], small=[1, 3, 5], test_per_class=100, small_per_class="all", draw="first")
    data.counts = [300, 30, 3]
    found = SmallDataModule(data, [0, 1], 4, False).class_weights(kind)
    counts = np.array([300, 30, 3])
    expected = 1 / counts if kind == "balanced" else (1 - 0.99) / (1 - 0.99**counts)  # Cui et al. 2019, equation 4
    expected *= counts.sum() / (expected * counts).sum()
    np.testing.assert_allclose(found.numpy(), np.stack([expected] * 2), rtol=1e-5)


def test_l2_sp_is_the_gradient_of_half_the_squared_distance():
    nets = [nn.Sequential() for _ in range(2)]
    for net in nets:
        net.add_module("stages", nn.Linear(12, 3))
        net.add_module("head", nn.Linear(3, 3))
    stack, (x, y) = TrialStack(nets), batch(2)
    objective = Objective(Regularize(l2_sp=0.3), [0, 1])
    start = {name: value.detach().clone() for name, value in stack.named().items()}
    objective.adjust_gradients(stack)  # before the first step
    with torch.no_grad():
        for value in stack.parameters():
            value.add_(torch.randn_like(value))
    losses = objective.losses(stack(x.flatten(2)), y)
    losses.sum().backward(retain_graph=True)
    objective.adjust_gradients(stack)
    found = {name: value.grad for name, value in stack.named().items()}
    distance = sum((stack.named()[name] - start[name]).square().sum() for name in start if name.startswith("stages"))
    expected = torch.autograd.grad(losses.sum() + 0.15 * distance, list(stack.named().values()))
    for name, gradient in zip(found, expected, strict=True):
        torch.testing.assert_close(found[name], gradient)


@pytest.mark.parametrize("trials", [1, 2])
def test_weight_decay_spares_biases_and_norms(trials: int):
    stack = TrialStack([nn.Sequential(nn.Linear(3, 4), nn.GroupNorm(2, 4)) for _ in range(trials)])
    weights, vectors = parameter_groups(stack, lr=0.1, lr_decay=1.0, lr_factor=1.0)
    names = {id(value): name for name, value in stack.named().items()}
    assert [names[id(value)] for value in weights["params"]] == ["0.weight"]
    assert {names[id(value)] for value in vectors["params"]} == {"0.bias", "1.weight", "1.bias"}
    assert vectors["weight_decay"] == 0


REGULARIZERS = (
    "regularize.label_smoothing=0.1", "regularize.mixup=0.3", "regularize.clip=0.5", "regularize.ema=0.9",
    "regularize.l2_sp=0.1", "class_weights=balanced", "optimizer=adamw",
)  # fmt: skip


@pytest.mark.slow
def test_trials_alone_equal_the_stack_under_all_regularizers(run: Run, way: str):
    overrides = (*QUICK, *REGULARIZERS, "regularize.cutmix=1", "tune.thaw=1")
    both = run(*overrides, name="both")
    alone = run(*overrides, "seed=1", "trials=1", name="alone")
    assert both["trials"][1]["loss"] == pytest.approx(alone["trials"][0]["loss"], abs=1e-4)


@pytest.mark.slow
def test_every_regularizer_changes_the_result(run: Run, tmp_path: Path):
    def weights(name: str, *overrides: str) -> torch.Tensor:
        settings = ("tune=full", "test_curve=false", "trials=1", "dataset.small_per_class=4", *overrides)
        run(*QUICK, *settings, name=name)
        return load_file(tmp_path / name / "weights.safetensors")["trials.stages.stage2.0.weight"]

    plain = weights("plain")
    for regularizer in REGULARIZERS[:-2]:
        assert (weights(regularizer, regularizer) - plain).abs().max() > 1e-5, regularizer


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("regularize.label_smoothing=1",), r"regularize.label_smoothing must be in \[0, 1\), got 1"),
        (("regularize.clip=0",), "regularize.clip must be null or a number above 0, got 0; try regularize.clip=1.0"),
        (("regularize.mixup=-1",), "regularize.mixup must be from 0 to 100, got -1"),
        (("regularize.ema=1",), "regularize.ema must be"),
        (("regularize.mixup=1", "batch_size=1"), "batch_size must be at least 2 with regularize.mixup .*, got 1"),
        (("regularize.cutmix=1",), "regularize.cutmix must be 0 .* no height and width, got 1"),
        (("regularize.l2_sp=1",), "regularize.l2_sp must be 0 .*, got 1; try .*, or tune=full with source=big"),
        (("regularize.l2_sp=1", "source=scratch"), "regularize.l2_sp must be 0 unless stages"),
        (("class_weights=some",), "class_weights must be null, balanced or effective, got some"),
    ],
)
def test_impossible_values_are_refused(run: Run, overrides: tuple[str, ...], message: str):
    with pytest.raises(GraftError, match=message):
        run(*overrides)
