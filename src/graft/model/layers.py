"""Layers, initialized as in Keras and the lecture (Glorot-uniform weights, zero biases), a pooling, and their maps."""

import math
from collections.abc import Sequence

import torch
from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
}
MONOTONE = ("relu", "tanh", "sigmoid")  # they keep the order of values, so that max pooling may come before them


def activation(name: str) -> nn.Module:
    """Return the activation of this name.

    Raises:
        ValueError: no activation has this name.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {name!r}")
    return ACTIVATIONS[name]()


def linear(num_inputs: int, num_outputs: int) -> nn.Linear:
    """Return a dense layer, (..., num_inputs) to (..., num_outputs)."""
    return _glorot(nn.Linear(num_inputs, num_outputs))


def conv(in_channels: int, out_channels: int, kernel_size: int) -> nn.Conv2d:
    """Return a convolution without padding."""
    return _glorot(nn.Conv2d(in_channels, out_channels, kernel_size))


def _glorot(layer):
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Average(nn.Module):
    """Averages a stage's output over its positions.

    Maps, (batch, channels, height, width), and tokens, (batch, tokens, features), become (batch, features); an output
    without positions is unchanged.

    Args:
        channels_last: whether maps are (batch, height, width, channels).
    """

    def __init__(self, channels_last: bool = False):
        super().__init__()
        self.channels_last = channels_last

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if inputs.dim() == 4 and not self.channels_last:
            return nn.functional.adaptive_avg_pool2d(inputs, 1).flatten(1)
        return inputs.flatten(1, -2).mean(1) if inputs.dim() > 2 else inputs

    def extra_repr(self) -> str:
        return f"channels_last={self.channels_last}"


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    """Return a network's 2D convolutions."""
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


def num_kernel_weights(network: nn.Module) -> int:
    """Return the number of weights of a network's 2D convolutions."""
    return sum(module.weight.numel() for module in convolutions(network))


def shares_weights(network: nn.Module) -> bool:
    """Return whether some of a network's layers share parameters."""
    return len(list(network.parameters())) < len(list(network.named_parameters(remove_duplicate=False)))


def fastest_format(network: nn.Module, input_shape: Sequence[int], device: torch.device) -> torch.memory_format:
    """Return the memory format of maps with which training is faster.

    Usually channels last: without it, a step of the lecture's networks takes 1.4 times as long, one of EfficientNet's
    last blocks 1.4 to 3 times. The contiguous format is faster on a CPU if maps are small and kernels have many
    weights: VGG-16's last block takes 68 ms for maps of 2x2 (channels last: 84 ms), ResNet-18's 36 ms (53 ms). The
    formats are equally fast at 4x4 to 6x6. Grouped kernels have few weights (batches of 32, one thread, 2026-11-24).

    Args:
        network: one trial's network.
        input_shape: shape of its input for one image.
        device: where it trains.
    """
    kernels = convolutions(network)
    small = len(input_shape) == 3 and math.prod(input_shape[1:]) <= 16 and device.type == "cpu"
    contiguous = not kernels or (small and all(kernel.groups == 1 for kernel in kernels))
    return torch.contiguous_format if contiguous else torch.channels_last
