"""Layers: with Keras's initialization, as in the lecture (Glorot-uniform weights, zero biases), and a pooling."""

import torch
from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
}


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
