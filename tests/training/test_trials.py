import copy
import doctest

import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from graft.errors import GraftError
from graft.model.batch_norm import freeze_batch_norm_stats
from graft.model.head import Dense, Plain
from graft.training import trials as trials_module
from graft.training.trials import TrialStack, chunks, fastest_format, stackable

IMAGE = [1, 8, 8]


def networks(count: int, dropout: float = 0.0) -> list[nn.Module]:
    return [
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), Dense(36, 3, [8], dropout))
        for _ in range(count)
    ]


def batch_norm() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3))


def test_the_example_in_the_docstring_is_true():
    found = doctest.testmod(trials_module)
    assert found.attempted > 5
    assert not found.failed


def test_a_stack_gives_each_network_s_logits(way: str):
    nets, x = networks(3), torch.rand(3, 5, 1, 8, 8)
    expected = torch.stack([net(inputs) for net, inputs in zip(nets, x, strict=True)])
    torch.testing.assert_close(TrialStack(nets)(x), expected)


def test_inputs_with_one_trial_are_shared_by_all(way: str):
    nets, x = networks(3), torch.rand(1, 5, 1, 8, 8)
    torch.testing.assert_close(TrialStack(nets)(x), torch.stack([net(x[0]) for net in nets]))


def test_trials_with_large_convolutions_run_one_after_another(monkeypatch: pytest.MonkeyPatch):
    calls: list[int] = []

    def counted(network: nn.Module) -> nn.Module:
        network.register_forward_hook(lambda module, inputs, output: calls.append(1))
        return network

    monkeypatch.setattr(trials_module, "LOOP_THRESHOLD", 36 * 5)  # four kernels of 3x3, five images
    stack, x = TrialStack([counted(network) for network in networks(2)]), torch.rand(2, 5, *IMAGE)
    large = stack(x)
    assert len(calls) == 2
    small = stack(x[:, :4])
    assert len(calls) == 3
    torch.testing.assert_close(large[:, :4], small)
    dense = [counted(nn.Sequential(nn.Flatten(), nn.Linear(64, 2))) for _ in range(2)]
    TrialStack(dense)(x.repeat(1, 100, 1, 1, 1))
    assert len(calls) == 4  # dense layers are batched products for any number of images


def test_a_network_that_changes_its_inputs_in_place_changes_no_other_trial_s(way: str):
    nets, x = [nn.Sequential(nn.SiLU(inplace=True), net) for net in networks(3)], torch.rand(1, 5, *IMAGE)
    expected = torch.stack([net(x[0].clone()) for net in nets])
    torch.testing.assert_close(TrialStack(nets)(x.clone()), expected)


@pytest.mark.parametrize("trials", [1, 2])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_maps_have_the_memory_format_of_the_stack(trials, memory_format, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trials_module, "LOOP_THRESHOLD", 0)
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(
        nn.MaxPool2d, "forward", lambda self, maps: seen.append(maps) or nn.functional.max_pool2d(maps, 2)
    )
    TrialStack(networks(trials), memory_format)(torch.rand(trials, 5, *IMAGE))
    assert len(seen) == trials
    assert all(maps.is_contiguous(memory_format=memory_format) for maps in seen)


@pytest.mark.parametrize(
    ("network", "input_shape", "device", "contiguous"),
    [
        (nn.Conv2d(8, 8, 3), (8, 4, 4), "cpu", True),
        (nn.Conv2d(8, 8, 3), (8, 4, 4), "cuda", False),
        (nn.Conv2d(8, 8, 3), (8, 5, 5), "cpu", False),
        (nn.Conv2d(8, 8, 3, groups=8), (8, 4, 4), "cpu", False),
        (nn.Linear(8, 8), (7, 7, 8), "cpu", True),
    ],
)
def test_small_maps_of_heavy_kernels_are_contiguous(network, input_shape, device, contiguous):
    expected = torch.contiguous_format if contiguous else torch.channels_last
    assert fastest_format(network, input_shape, torch.device(device)) is expected


def test_a_stack_s_gradients_are_each_network_s_own(way: str):
    nets, x = networks(2), torch.rand(2, 5, *IMAGE)
    stack = TrialStack(nets)
    before = {name: value.detach().clone() for name, value in stack.weights().items()}
    optimizer = torch.optim.SGD(stack.parameters(), lr=1.0)
    stack(x).square().mean((1, 2)).sum().backward()
    optimizer.step()
    for trial, (net, inputs) in enumerate(zip(nets, x, strict=True)):
        net(inputs).square().mean().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None
            torch.testing.assert_close(stack.weights()[name][trial], before[name][trial] - parameter.grad)


def test_each_trial_has_its_own_dropout_and_none_in_evaluation():
    head = Plain(50, 2, dropout=0.5)
    stack = TrialStack([head, copy.deepcopy(head)])
    x = torch.ones(1, 1, 50).expand(2, 1, 50)
    first, second = stack.train()(x)
    assert not torch.equal(first, second)
    first, second = stack.eval()(x)
    assert torch.equal(first, second)


def test_one_trial_s_weights_load_into_a_network():
    nets, x = networks(3), torch.rand(4, 1, 8, 8)
    fresh = networks(1)[0]
    fresh.load_state_dict(TrialStack(nets).trial(2))
    torch.testing.assert_close(fresh(x), nets[2](x))


def test_a_stack_has_no_parameters_but_the_stacked_ones():
    nets = networks(3)
    one = sum(parameter.numel() for parameter in nets[0].parameters())
    assert sum(parameter.numel() for parameter in TrialStack(nets).parameters()) == 3 * one


def test_batch_norm_runs_alone_and_is_not_stacked():
    assert not stackable(batch_norm(), IMAGE)
    assert stackable(networks(1)[0], IMAGE)
    net, x = batch_norm(), torch.rand(1, 5, 1, 8, 8)
    stack = TrialStack([net])
    torch.testing.assert_close(stack(x)[0], copy.deepcopy(net)(x[0]))
    torch.testing.assert_close(stack.trial(0), net.state_dict())
    with pytest.raises(ValueError, match="cannot be stacked"):
        TrialStack([batch_norm(), batch_norm()])


@pytest.mark.parametrize("trials", [1, 2])
def test_frozen_batch_norm_stays_frozen_and_stacks(trials: int, way: str):
    nets, x = [batch_norm() for _ in range(trials)], torch.rand(trials, 5, *IMAGE)
    for net in nets:
        net(torch.rand(20, 1, 8, 8) * 3)  # statistics unlike those of the batch
        freeze_batch_norm_stats(net)
    assert stackable(nets[0], IMAGE)
    expected = [copy.deepcopy(net)(inputs) for net, inputs in zip(nets, x, strict=True)]
    before = [copy.deepcopy(net.state_dict()) for net in nets]
    stack = TrialStack(nets).eval().train()
    torch.testing.assert_close(stack(x), torch.stack(expected))
    stack(x).sum().backward()
    assert all(parameter.grad is not None for parameter in stack.parameters())  # scale and shift train
    for trial, values in enumerate(before):
        torch.testing.assert_close(stack.trial(trial), values, rtol=0, atol=0)


def test_operations_that_vmap_refuses_are_found_without_training():
    depth = nn.Sequential(nn.Flatten(), StochasticDepth(0.2, "row"), nn.Linear(64, 2))
    assert not stackable(depth, IMAGE)  # it draws in place, which vmap refuses
    assert stackable(nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 2)), IMAGE)
    assert all(parameter.device.type == "cpu" for parameter in depth.parameters())


@pytest.mark.parametrize(
    ("num_trials", "at_once", "expected"),
    [
        (5, "auto", [range(5)]),
        (5, 2, [range(2), range(2, 4), range(4, 5)]),
        (5, 1, [range(i, i + 1) for i in range(5)]),
        (2, 9, [range(2)]),
    ],
)
def test_chunks(num_trials: int, at_once: int | str, expected: list[range]):
    assert chunks(num_trials, at_once, networks(1)[0], IMAGE) == expected


def test_chunks_are_single_with_batch_norm_and_bounded_by_memory():
    assert len(chunks(3, "auto", batch_norm(), IMAGE)) == 3
    with pytest.raises(GraftError, match=r"trials_at_once=3.*try trials_at_once=auto"):
        chunks(3, 3, batch_norm(), IMAGE)
    large = nn.Linear(2**13, 2**12)  # 32 Mi weights, 512 MiB with gradients and Adam's moments
    assert max(len(chunk) for chunk in chunks(9, "auto", large, [2**13])) == 3
