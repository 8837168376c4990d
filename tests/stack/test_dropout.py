"""Masks, compared with SplitMix64 in whole numbers, and dropout layers, compared with PyTorch's."""

import copy

import pytest
import torch
from torch import nn
from torch.func import vmap

from graft.seed import stream_seed
from graft.stack import dropout
from graft.stack.dropout import (
    LEVELS,
    MAX_LAYERS,
    MAX_WORDS,
    VALUES_AHEAD,
    MaskedDropout,
    Masks,
    replace_dropout,
    sixteens,
    splitmix64,
)

CPU = torch.device("cpu")


def reference(key: int, counter: int) -> int:
    """SplitMix64's output as its authors' C code computes it, in Python's unbounded whole numbers."""
    z = (key + counter * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def mask(masks: Masks, shape: tuple[int, ...], rate: float = 0.5, trial: int = 0, layer: int = 0, first: int = 0):
    x = torch.ones(shape)

    def run() -> torch.Tensor:
        for _ in range(layer):
            masks.next(rate, x)
        return masks.next(rate, x)

    return masks.masked(run, shape[0], first)(masks.keys(CPU)[trial])


def test_bits_are_splitmix64_s():
    # The first outputs for this seed, as published with many implementations.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    found = splitmix64(torch.tensor(1234567), torch.arange(1, 5))
    assert [value % 2**64 for value in found.tolist()] == expected
    keys, counters = [0, 1, -1, 2**63 - 1, -(2**63), stream_seed(3, "dropout")], [0, 1, 2**31, 2**62 + 12345]
    for key in keys:
        found = splitmix64(torch.tensor(key), torch.tensor(counters)).tolist()
        assert [value % 2**64 for value in found] == [reference(key, counter) for counter in counters]


def test_a_pytorch_whose_vmap_has_no_views_gives_the_same_masks(monkeypatch: pytest.MonkeyPatch):
    words, keys, x = torch.randint(-(2**63), 2**63 - 1, (3, 50)), [3, 7, 9], torch.ones(4, 7)
    expected = words.view(torch.int16)
    masks = Masks(keys)
    masks_by_views = torch.stack([mask(masks, (4, 7), 0.3, trial) for trial in range(3)])
    monkeypatch.setattr(dropout, "_vmap_has_views", lambda: False)
    assert torch.equal(torch.stack([sixteens(row) for row in words]), expected.long())
    assert torch.equal(vmap(sixteens)(words), expected.long())
    found = vmap(masks.masked(lambda: masks.next(0.3, x), 4))(masks.keys(CPU))
    assert torch.equal(found, masks_by_views)


def test_a_mask_is_its_trial_s_step_s_and_layer_s_bits():
    masks = Masks([3, 7], "dropout 1")
    masks.steps = 1000
    found, start = mask(masks, (2, 3), rate=0.25, trial=1, layer=2), (1000 * MAX_LAYERS + 2) * MAX_WORDS
    for row in range(2):
        word = reference(stream_seed(7, "dropout 1"), start + row)
        for column in range(3):
            bits = word >> 16 * column & 0xFFFF
            low = bits - 2**16 if bits >= 2**15 else bits
            assert found[row, column].item() == (pytest.approx(4 / 3) if low < 0.75 * LEVELS - LEVELS // 2 else 0)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75, 0.999])
def test_values_are_dropped_at_the_rate_and_their_mean_is_kept(rate: float):
    found = torch.stack([mask(Masks([seed]), (100, 1000), rate) for seed in range(10)])
    dropped = (found == 0).double()
    deviation = (rate * (1 - rate) / found.numel()) ** 0.5
    assert abs(dropped.mean().item() - rate) < 4 * deviation
    assert found.max().item() == pytest.approx(1 / (1 - rate), rel=0.01)
    assert found.mean().item() == pytest.approx(1, abs=4 * deviation / (1 - rate))
    for dim in range(3):  # no trial, image or feature has more
        others = [d for d in range(3) if d != dim]
        spread = dropped.mean(others).std() * (found.numel() / found.shape[dim]) ** 0.5
        assert spread.item() == pytest.approx((rate * (1 - rate)) ** 0.5, rel=0.8)


def test_masks_of_other_trials_steps_layers_rows_and_purposes_are_independent():
    masks, shape = Masks(range(2)), (64, 500)
    found = [mask(masks, shape), mask(masks, shape, trial=1), mask(masks, shape, layer=1), mask(masks, shape, first=64)]
    found.append(mask(Masks([0], "dropout 1"), shape))
    found.append(found[0].roll(1, 0))
    found.append(found[0].roll(1, 1))
    for masks.steps in (1, 2, 10_000_000):
        found.append(mask(masks, shape))
    table = torch.stack(found).flatten(1) - 1
    correlation = table @ table.T / table.shape[1]
    assert (correlation - torch.eye(len(found))).abs().max().item() < 5 / table.shape[1] ** 0.5


def test_ranks_parts_are_parts_of_the_whole_batch_s_mask():
    whole = mask(Masks([0]), (10, 7))
    assert torch.equal(mask(Masks([0]), (4, 7)), whole[:4])
    assert torch.equal(mask(Masks([0]), (6, 7), first=4), whole[4:])
    windows = Masks([0])  # three rows of each image
    part = windows.masked(lambda: windows.next(0.5, torch.ones(18, 7)), 6, 4)(windows.keys(CPU)[0])
    assert torch.equal(part, mask(Masks([0]), (30, 7))[12:])


def test_masks_that_one_trial_computes_ahead_are_those_of_each_step():
    alone, beside = Masks([7]), Masks([7, 9])  # beside another trial no step is computed ahead
    steps = [0, 1, 40, 5, 5, 1000]  # a fit resumes, another one begins
    batches = [(8, 50), (8, 50), (3, 50), (8, 50), (9, 50), (8, 51), (8, 5, 10), (1, VALUES_AHEAD)]
    for step in steps:
        for shape in batches:
            for layer, rate, first in ((0, 0.5, 0), (1, 0.25, 0), (1, 0.5, 4)):
                alone.steps = beside.steps = step
                expected = mask(beside, shape, rate, layer=layer, first=first)
                assert torch.equal(mask(alone, shape, rate, layer=layer, first=first), expected)


def test_masks_ahead_are_computed_once_for_their_steps(monkeypatch: pytest.MonkeyPatch):
    calls = []
    monkeypatch.setattr(
        "graft.stack.dropout.splitmix64",
        lambda key, counters: (calls.append(len(counters)), splitmix64(key, counters))[1],
    )
    masks = Masks([0])
    for masks.steps in range(VALUES_AHEAD // 4000):
        mask(masks, (8 if masks.steps % 4 < 3 else 4, 500))
    assert calls == [VALUES_AHEAD // 4000 * 1000]


@pytest.mark.parametrize("shape", [(5,), (1, 1), (5, 3), (5, 4, 2), (2, 3, 5, 5), (3, 0)])
def test_masks_have_any_shape_also_under_vmap(shape: tuple[int, ...]):
    masks = Masks([4, 9])
    run = masks.masked(lambda x: x * masks.next(0.5, x), shape[0])
    x, keys = torch.rand(2, *shape), masks.keys(CPU)
    together = vmap(run, randomness="error")(keys, x)
    assert torch.equal(together, torch.stack([run(*one) for one in zip(keys, x, strict=True)]))
    assert together.shape == x.shape


@pytest.mark.parametrize(("rate", "dropped"), [(1.0, 1), (1e-9, 0), (1 - 1e-9, 1)])
def test_extreme_rates(rate: float, dropped: int):
    found = mask(Masks([0]), (10, 100), rate)
    assert found.isfinite().all()
    assert (found == 0).double().mean().item() == pytest.approx(dropped, abs=0.01)


def test_layers_are_replaced_wherever_they_are():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = self.same = nn.Dropout(0.5)
            self.inner = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.25, inplace=True), nn.Dropout2d(0.5))
            self.off = nn.Dropout(0.0)
            self.frozen = nn.Dropout(0.5).eval()

        def forward(self, x):
            return self.frozen(self.off(self.same(self.first(x))))

    network, masks = Network(), Masks([0])
    replace_dropout(network, masks)
    layers = {name: module.p for name, module in network.named_modules(remove_duplicate=False) if kind(module)}
    assert layers == {"first": 0.5, "same": 0.5, "inner.1": 0.25, "off": 0.0, "frozen": 0.5}
    assert type(network.inner[2]) is nn.Dropout2d
    run = masks.masked(network, 6)
    found = run(masks.keys(CPU)[0], torch.ones(6, 8))
    # Two calls of one layer have two masks.
    torch.testing.assert_close(found, mask(masks, (6, 8)) * mask(masks, (6, 8), layer=1))
    assert torch.equal(network.eval()(torch.ones(6, 8)), torch.ones(6, 8))
    other = Masks([1])
    replace_dropout(network, other)  # as in the next fit
    assert network.get_submodule("first").masks is other


def kind(module: nn.Module) -> bool:
    return isinstance(module, MaskedDropout)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_values_and_gradients_are_scaled_in_the_inputs_type(dtype: torch.dtype):
    masks = Masks([0])
    layer, x = MaskedDropout(0.1, masks), torch.full((8, 50), 3.0, dtype=dtype, requires_grad=True)
    found = masks.masked(layer, 8)(masks.keys(CPU)[0], x)
    found.float().sum().backward()
    assert found.dtype == dtype
    assert x.grad is not None
    expected = mask(masks, (8, 50), 0.1)
    torch.testing.assert_close(found, (3 * expected).to(dtype))
    torch.testing.assert_close(x.grad, expected.to(dtype))


def test_a_call_outside_of_a_forward_pass_is_refused():
    masks = Masks([0])
    with pytest.raises(RuntimeError, match="without activation checkpointing"):
        MaskedDropout(0.5, masks)(torch.ones(2, 3))
    copied = copy.deepcopy(nn.Sequential(MaskedDropout(0.5, masks))).eval()
    assert torch.equal(copied(torch.ones(2, 3)), torch.ones(2, 3))
