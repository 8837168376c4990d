"""Layers as Keras makes them (Glorot-uniform weights, zero biases: the lecture's scripts rely on it); batch norm."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

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


def hold_norm(network: nn.Module) -> None:
    """Let batch norm normalise by the statistics it has, and leave them, while its scale and shift may train."""
    for module in _batch_norms(network):
        module.eval()


def counts_batches(network: nn.Module) -> bool:
    """Return whether the network has batch norm that takes its statistics from the batches it trains on."""
    return any(module.track_running_stats and module.training for module in _batch_norms(network))


def holds_norm(network: nn.Module) -> bool:
    """Return whether the network has batch norm that is held."""
    return any(not module.training for module in _batch_norms(network))


def _batch_norms(network: nn.Module) -> list[_BatchNorm]:
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


def _glorot(layer):
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
