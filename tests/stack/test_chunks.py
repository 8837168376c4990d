"""Which trials train together."""

import copy

import pytest
import torch
from timm.layers.drop import DropPath
from torch import nn
from torchvision.ops import StochasticDepth

from graft.errors import GraftError
from graft.stack import chunks as chunks_module
from graft.stack.chunks import chunks, stackable
from graft.stack.trial_stack import TrialStack

IMAGE = [1, 8, 8]


@pytest.mark.parametrize(
    "layer",
    [nn.Dropout2d(0.5), nn.AlphaDropout(0.5), StochasticDepth(0.2, "row"), DropPath(0.5)],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_that_draw_from_a_shared_generator_run_alone(layer: nn.Module):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), layer, nn.Flatten(), nn.Linear(144, 2))
    assert not stackable(network, IMAGE)
    assert chunks(2, "auto", network, IMAGE) == [range(1), range(1, 2)]
    with pytest.raises(GraftError, match=r"random layers other than nn\.Dropout"):
        chunks(2, 2, network, IMAGE)
    assert stackable(network.eval(), IMAGE)
    with pytest.raises(RuntimeError, match="random"):  # even if someone stacks them
        TrialStack([copy.deepcopy(network).train() for _ in range(2)])(torch.rand(2, 3, *IMAGE))


def test_functions_that_drop_run_alone():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.output = nn.Linear(64, 2)

        def forward(self, x):
            return self.output(nn.functional.dropout(x.flatten(1), 0.5, self.training))

    assert not stackable(Functional(), IMAGE)


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 2)
        self.second.weight = self.first.weight

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(self.second(self.first(inputs.flatten(1))))


def test_layers_that_share_weights_run_alone():
    network = Tied()
    assert not stackable(network, IMAGE)
    assert chunks(2, "auto", network, IMAGE) == [range(1), range(1, 2)]
    with pytest.raises(GraftError, match="layers that share weights"):
        chunks(2, 2, network, IMAGE)
    with pytest.raises(ValueError, match="share weights"):
        TrialStack([network, copy.deepcopy(network)])
    images = torch.rand(1, 3, *IMAGE)
    torch.testing.assert_close(TrialStack([network])(images)[0], network(images[0]))


class OwnNorm(nn.BatchNorm2d):
    """A subclass may compute something else."""


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(4, momentum=None), nn.SyncBatchNorm(4), OwnNorm(4)])
def test_other_batch_norm_runs_alone(norm: nn.Module):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.Flatten(), nn.Linear(144, 3))
    assert not stackable(network, IMAGE)
    with pytest.raises(ValueError, match="cannot be stacked"):
        TrialStack([network, copy.deepcopy(network)])


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
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    assert chunks(num_trials, at_once, network, IMAGE) == expected


def test_chunks_are_single_where_networks_with_batch_norm_are_deep():
    small = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))
    deep = nn.Sequential(nn.Conv2d(1, 512, 3), nn.Conv2d(512, 64, 3), nn.BatchNorm2d(64))
    assert chunks(3, "auto", small, IMAGE) == [range(3)]
    assert len(chunks(3, "auto", deep, IMAGE)) == len(chunks(3, "auto", deep.eval(), IMAGE)) == 3
    assert chunks(3, 3, deep.train(), IMAGE) == [range(3)]


def test_chunks_are_single_where_ranks_share_the_statistics_of_batch_norm(monkeypatch: pytest.MonkeyPatch):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))
    monkeypatch.setattr(chunks_module, "world_size", lambda: 2)
    assert len(chunks(3, "auto", network, IMAGE)) == 3
    assert chunks(3, "auto", network.eval(), IMAGE) == [range(3)]
    with pytest.raises(GraftError, match=r"trials_at_once=3.*on one device.*try trials_at_once=auto"):
        chunks(3, 3, network.train(), IMAGE)


def test_chunks_are_bounded_by_memory():
    large = nn.Linear(2**13, 2**12)  # 32 Mi weights, 512 MiB with gradients and Adam's moments
    assert max(len(chunk) for chunk in chunks(9, "auto", large, [2**13])) == 3
