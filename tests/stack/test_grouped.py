"""Convolutions, max pooling and batch norm of all trials in one operation, against each network alone."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from graft.stack.grouped import group_layers

Weights = dict[str, torch.Tensor]
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: nn.Conv2d(4, 6, 3),
    "no bias": lambda: nn.Conv2d(4, 6, 3, bias=False),
    "stride, padding, dilation": lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2),
    "same": lambda: nn.Conv2d(4, 6, (3, 5), padding="same"),
    "reflect": lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
    "depthwise": lambda: nn.Conv2d(4, 8, 3, groups=4),
    "pooling": lambda: nn.Sequential(nn.Conv2d(4, 6, 3), nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)),
    "pooling and indices": lambda: nn.Sequential(nn.Conv2d(4, 6, 3), First(nn.MaxPool2d(2, return_indices=True))),
    "batch norm": lambda: nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)),
    "batch norm without scale": lambda: nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6, affine=False)),
    "batch norm without statistics": lambda: nn.Sequential(
        nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6, track_running_stats=False)
    ),
    "batch norm of the inputs": lambda: nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3)),
    "pooling of the inputs": lambda: nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(4, 6, 3)),
}


class First(nn.Module):
    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layer(inputs)[0]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_grouped_layers_compute_what_each_network_computes(make: Callable[[], nn.Module], shared: bool, training: bool):
    nets = [make().double().train(training) for _ in range(3)]  # so that rounding hides nothing
    template = group_layers(copy.deepcopy(nets[0]).to("meta"))
    parameters, buffers = stack_module_state(nets)
    x = torch.rand(1 if shared else 3, 5, 4, 9, 9, dtype=torch.double)
    for net in nets:
        net.zero_grad()

    def run(parameters: Weights, buffers: Weights, inputs: torch.Tensor) -> torch.Tensor:
        return functional_call(template, (parameters, buffers), inputs)

    in_dims = (0, 0, None if shared else 0)
    found = vmap(run, in_dims=in_dims, randomness="error")(parameters, buffers, x[0] if shared else x)
    expected = torch.stack([net(x[0 if shared else trial]) for trial, net in enumerate(nets)])
    torch.testing.assert_close(found, expected)
    weights = torch.rand_like(found)
    for logits in (found, expected):
        (logits * weights).sum().backward()
    for name, value in parameters.items():
        grads = [grad for net in nets if (grad := net.get_parameter(name).grad) is not None]
        torch.testing.assert_close(value.grad, torch.stack(grads))
    for name, value in buffers.items():
        torch.testing.assert_close(value, torch.stack([net.get_buffer(name) for net in nets]))
