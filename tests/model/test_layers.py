import math

import pytest
import torch
from torch import nn

from graft.model.layers import ACTIVATIONS, activation, conv, fastest_format, linear


@pytest.mark.parametrize(
    ("layer", "fan_in", "fan_out"), [(linear(300, 200), 300, 200), (conv(8, 16, 3), 8 * 9, 16 * 9)]
)
def test_weights_are_glorot_uniform_and_biases_zero(layer: nn.Linear | nn.Conv2d, fan_in: int, fan_out: int):
    bound = math.sqrt(6 / (fan_in + fan_out))  # Glorot and Bengio 2010, formula 16
    assert layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    assert layer.bias is not None
    assert not layer.bias.any()


def test_activations_are_found_by_name():
    inputs = torch.linspace(-2, 2, 9)
    assert torch.equal(activation("tanh")(inputs), inputs.tanh())
    assert all(isinstance(activation(name), kind) for name, kind in ACTIVATIONS.items())
    with pytest.raises(ValueError, match="activation must be one of relu, tanh, sigmoid, gelu, got 'rleu'"):
        activation("rleu")


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
