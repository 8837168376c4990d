import pytest
import torch
from torch import nn

from graft.model.stages import computes_the_same, evenly, stages, units


def network() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 64))


def test_stages_start_at_the_given_paths_and_keep_the_names():
    whole = nn.Module()
    whole.stem = nn.Conv2d(3, 4, 1)
    whole.blocks = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
    parts = units(whole)
    assert list(parts) == ["stem", "blocks.0", "blocks.1"]
    first, second = stages(parts, ["blocks.1"])
    assert [*first.state_dict(), *second.state_dict()] == list(whole.state_dict())
    maps = torch.rand(1, 3, 2, 2)
    assert torch.equal(second(first(maps)), whole.blocks(whole.stem(maps)))


def test_blocks_are_divided_evenly():
    assert evenly([str(number) for number in range(12)]) == ["0", "3", "6", "9"]
    assert evenly(["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("parts", "same"),
    [
        (lambda whole: [whole[:2], whole[2:]], True),
        (lambda whole: [whole[:1], whole[2:]], False),  # a layer is missing
        (lambda whole: [whole[2:], whole[:2]], False),  # another order, which the first layer refuses
        (lambda whole: [whole, nn.ReLU()], False),  # the same weights, another function
    ],
)
def test_stages_must_compute_what_the_network_computes(parts, same: bool):
    whole = network()
    assert computes_the_same(whole, parts(whole), nn.Identity(), 2) is same
