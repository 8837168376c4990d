import pytest
import torch
from torch import nn

from graft.model.memory_format import fastest_format


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
