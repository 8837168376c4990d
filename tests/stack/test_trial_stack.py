import copy

import pytest
import torch
from torch import nn

from graft.heads.head import Dense, Plain
from graft.model.batch_norm import freeze_batch_norm_stats
from graft.stack import trial_stack as stack_module
from graft.stack.chunks import stackable
from graft.stack.dropout import Masks
from graft.stack.trial_stack import TrialStack

IMAGE = [1, 8, 8]


def networks(count: int, dropout: float = 0.0) -> list[nn.Module]:
    return [
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), Dense(36, 3, [8], dropout))
        for _ in range(count)
    ]


def batch_norm() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3))


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

    monkeypatch.setattr(stack_module, "LOOP_WEIGHTS", 36 * 5)  # four kernels of 3x3, five images
    stack, x = TrialStack([counted(network) for network in networks(2)]), torch.rand(2, 5, *IMAGE)
    large = stack(x)
    assert len(calls) == 2
    small = stack(x[:, :4])
    assert len(calls) == 3
    torch.testing.assert_close(large[:, :4], small)
    dense = [counted(nn.Sequential(nn.Flatten(), nn.Linear(64, 2))) for _ in range(2)]
    TrialStack(dense)(x.repeat(1, 100, 1, 1, 1))
    assert len(calls) == 4  # dense layers are batched products for any number of images


@pytest.mark.parametrize(("images", "expected"), [(15, 1), (16, 2)])
def test_trials_with_convolutions_and_large_batches_run_one_after_another(images: int, expected: int):
    calls: list[int] = []
    nets = networks(2)
    for net in nets:
        net.register_forward_hook(lambda module, inputs, output: calls.append(1))
    TrialStack(nets)(torch.rand(2, images, *IMAGE))
    assert len(calls) == expected


def test_a_network_that_changes_its_inputs_in_place_changes_no_other_trial_s(way: str):
    nets, x = [nn.Sequential(nn.SiLU(inplace=True), net) for net in networks(3)], torch.rand(1, 5, *IMAGE)
    expected = torch.stack([net(x[0].clone()) for net in nets])
    torch.testing.assert_close(TrialStack(nets)(x.clone()), expected)


@pytest.mark.parametrize("trials", [1, 2])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_maps_have_the_memory_format_of_the_stack(trials, memory_format, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stack_module, "takes_turns", lambda *_: True)
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(
        nn.MaxPool2d, "forward", lambda self, maps: seen.append(maps) or nn.functional.max_pool2d(maps, 2)
    )
    TrialStack(networks(trials), memory_format)(torch.rand(trials, 5, *IMAGE))
    assert len(seen) == trials
    assert all(maps.is_contiguous(memory_format=memory_format) for maps in seen)


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


def dropout_everywhere() -> nn.Module:
    """A network that drops pixels, maps, and the inputs and outputs of a dense layer."""
    maps = nn.Sequential(nn.Dropout(0.2), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten())
    return nn.Sequential(maps, Dense(144, 3, [8], dropout=0.5, input_dropout=0.25))


@pytest.mark.parametrize("others", [[], [5], [5, 6, 7]])
def test_a_trial_s_masks_are_its_own_whatever_runs_beside_it(way: str, others: list[int]):
    nets, x = [dropout_everywhere() for _ in range(1 + len(others))], torch.rand(4, 1, 6, *IMAGE)
    alone, stack = (
        TrialStack(copy.deepcopy(networks), masks=Masks(seeds))
        for networks, seeds in ((nets[:1], [3]), ([*nets[1:], nets[0]], [*others, 3]))
    )
    logits = []
    for step, inputs in enumerate(x):  # the last batch is smaller
        inputs = inputs[:, : 6 - 2 * (step == 3)]
        logits.append(alone(inputs)[0])
        torch.testing.assert_close(stack(inputs)[-1], logits[-1])
        torch.rand(7)  # nothing is drawn from the global stream
    assert not torch.equal(logits[0], TrialStack([nets[0]])(x[0])[0])


def test_a_stack_s_dropout_is_that_of_plain_products_with_the_same_masks(way: str):
    nets, x = [Dense(20, 3, [8], dropout=0.5, input_dropout=0.25) for _ in range(3)], torch.rand(3, 5, 20)
    stack = TrialStack(copy.deepcopy(nets), masks=Masks([2, 0, 9]))
    for step in range(3):
        found = stack(x)
        for trial, (net, seed) in enumerate(zip(nets, [2, 0, 9], strict=True)):
            (first, second), masks = (net[1], net[-1]), Masks([seed])
            masks.steps = step

            def by_hand(x: torch.Tensor, first=first, second=second, masks=masks) -> torch.Tensor:
                hidden = first(x * masks.next(0.25, x)).relu()
                return second(hidden * masks.next(0.5, hidden))

            expected = masks.masked(by_hand, 5)(masks.keys(x.device)[0], x[trial])
            torch.testing.assert_close(found[trial], expected)


def test_a_stack_that_goes_on_from_its_state_has_the_next_masks(way: str):
    nets, x = [dropout_everywhere() for _ in range(2)], torch.rand(2, 6, *IMAGE)
    stack = TrialStack(copy.deepcopy(nets), masks=Masks([1, 2]))
    seen = [stack(x) for _ in range(3)]
    stack.eval()(x)  # a validation is no step
    resumed = TrialStack(copy.deepcopy(nets), masks=Masks([1, 2]))
    resumed.load_state_dict(stack.state_dict())
    torch.testing.assert_close(resumed(x), stack.train()(x))
    assert not torch.equal(seen[0], seen[1])


def test_one_trial_s_weights_load_into_a_network():
    nets, x = networks(3), torch.rand(4, 1, 8, 8)
    fresh = networks(1)[0]
    fresh.load_state_dict(TrialStack(nets).trial(2))
    torch.testing.assert_close(fresh(x), nets[2](x))


def test_a_stack_has_no_parameters_but_the_stacked_ones():
    nets = networks(3)
    one = sum(parameter.numel() for parameter in nets[0].parameters())
    assert sum(parameter.numel() for parameter in TrialStack(nets).parameters()) == 3 * one


def test_batch_norm_trains_in_a_stack_as_it_does_alone(way: str):
    nets, x = [batch_norm() for _ in range(3)], torch.rand(2, 3, 5, *IMAGE)
    stack, alone = TrialStack(copy.deepcopy(nets)), [TrialStack([copy.deepcopy(net)]) for net in nets]
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (stack, *alone)]
    for inputs in x:
        logits = stack(inputs)
        expected = torch.cat([one(inputs[[trial]]) for trial, one in enumerate(alone)])
        torch.testing.assert_close(logits, expected)
        for loss in (logits.square().mean((1, 2)).sum(), expected.square().mean((1, 2)).sum()):
            loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    for trial, one in enumerate(alone):
        torch.testing.assert_close(stack.trial(trial), one.trial(0))
        assert stack.trial(trial)["1.num_batches_tracked"] == 2
        one.eval()
    torch.testing.assert_close(stack.eval()(x[0]), torch.cat([one(x[0][[trial]]) for trial, one in enumerate(alone)]))


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


@pytest.mark.parametrize("trials", [1, 2])
def test_batch_norm_that_is_frozen_leaves_that_of_the_head_in_training(trials: int):
    networks = [nn.Sequential(nn.BatchNorm2d(3).eval(), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)) for _ in range(trials)]
    stack = TrialStack(networks)
    for mode in (False, True):
        stack.train(mode)
        stack(torch.rand(trials, 8, 3, 2, 2))
    weights = stack.weights()
    assert weights["0.num_batches_tracked"].tolist() == [0] * trials
    assert weights["2.num_batches_tracked"].tolist() == [1] * trials
