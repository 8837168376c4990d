"""Convolutions, max pooling and batch norm of all trials in one operation, under `vmap` on a CPU.

`vmap` makes one grouped convolution by itself, but adds the biases in a second pass and pools contiguous maps, which
takes 9 times as long as pooling maps in the channels-last format. Here the maps of all trials stay one tensor of
(batch, trials * channels, height, width) in that format.
"""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import batch_norm, conv2d, max_pool2d

from graft.model.batch_norm import BATCH_NORMS, has_trainable_batch_norm_stats


class GroupedConv2d(nn.Conv2d):
    """A convolution that runs under `vmap` as one with a group for each trial."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return _Conv.apply(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class GroupedMaxPool2d(nn.MaxPool2d):
    """Max pooling that runs under `vmap` over the channels of all trials."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return _MaxPool.apply(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class GroupedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that runs under `vmap` over the channels of all trials, whose statistics it updates in place."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        by_batch = self.training or self.running_mean is None
        stats = self.running_mean, self.running_var, self.weight, self.bias
        return _BatchNorm.apply(input, *stats, by_batch, self.momentum, self.eps)


def group_layers(network: nn.Module) -> nn.Module:
    """Let a network's convolutions, max pooling and batch norm run as one operation under `vmap`, and return it."""
    for module in network.modules():
        grouped: Any = None
        if type(module) is nn.Conv2d and module.padding_mode == "zeros":
            grouped = GroupedConv2d
        elif type(module) is nn.MaxPool2d and not module.return_indices:
            grouped = GroupedMaxPool2d
        elif _is_groupable(module):
            grouped = GroupedBatchNorm2d
        if grouped:
            module.__class__ = grouped
    return network


def groups_batch_norm(network: nn.Module) -> bool:
    """Return whether all batch norm that trains can run as one operation: of maps, and no subclass's."""
    norms = [module for module in network.modules() if isinstance(module, BATCH_NORMS)]
    return all(_is_groupable(norm) or not has_trainable_batch_norm_stats(norm) for norm in norms)


def _is_groupable(module: nn.Module) -> bool:
    return type(module) is nn.BatchNorm2d and module.momentum is not None


class _UnderVmap(torch.autograd.Function):
    """An operation whose `vmap` is written by hand, and which autograd differentiates as what that calls.

    Outside of `vmap`, or for inputs without a trial axis, it has no gradient.
    """

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        """Keep nothing: `vmap` calls differentiable operations."""


class _Conv(_UnderVmap):
    @staticmethod
    def forward(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, *options: Any) -> torch.Tensor:
        return conv2d(inputs, weight, bias, *options)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *values: Any) -> tuple[torch.Tensor, int]:
        inputs, weight, bias, stride, padding, dilation, groups = values
        trials = info.batch_size
        kernels = _first(weight, in_dims[1], trials).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        biases = None if bias is None else _first(bias, in_dims[2], trials).flatten()
        if in_dims[0] is None and groups == 1:  # all trials read the same maps, so their kernels are one layer's
            maps = conv2d(inputs, kernels, biases, stride, padding, dilation)
        else:
            maps = conv2d(
                _joined(inputs, in_dims[0], trials), kernels, biases, stride, padding, dilation, trials * groups
            )
        return maps.unflatten(1, (trials, -1)), 1


class _MaxPool(_UnderVmap):
    @staticmethod
    def forward(inputs: torch.Tensor, *options: Any) -> torch.Tensor:
        return max_pool2d(inputs, *options)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *values: Any) -> tuple[torch.Tensor, int]:
        inputs, *options = values
        maps = max_pool2d(_joined(inputs, in_dims[0], info.batch_size), *options)
        return maps.unflatten(1, (info.batch_size, -1)), 1


class _BatchNorm(_UnderVmap):
    @staticmethod
    def forward(inputs: torch.Tensor, *options: Any) -> torch.Tensor:
        return batch_norm(inputs, *options)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *values: Any) -> tuple[torch.Tensor, int]:
        inputs, *of_channels = values[:5]
        by_batch, momentum, eps = values[5:]
        mean, variance, weight, bias = (
            None if value is None else _first(value, dim, info.batch_size).flatten()
            for value, dim in zip(of_channels, in_dims[1:5], strict=True)
        )
        maps = _joined(inputs, in_dims[0], info.batch_size)
        maps = batch_norm(maps, mean, variance, weight, bias, by_batch, momentum, eps)
        return maps.unflatten(1, (info.batch_size, -1)), 1


def _first(value: torch.Tensor, dim: int | None, trials: int) -> torch.Tensor:
    """Return a value with its trial axis first, (trials, ...)."""
    return value.expand(trials, *value.shape) if dim is None else value.movedim(dim, 0)


def _joined(maps: torch.Tensor, dim: int | None, trials: int) -> torch.Tensor:
    """Return the trials' maps as one tensor, (batch, trials * channels, height, width), in the channels-last format."""
    by_trial = _first(maps, dim, trials)  # (trials, batch, channels, height, width)
    return by_trial.permute(1, 3, 4, 0, 2).flatten(3).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
