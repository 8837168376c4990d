"""Which trials train together: as one stack, or in several after each other."""

import copy
import functools
from collections.abc import Sequence

import torch
from torch import nn
from torch.func import functional_call, vmap

from graft.errors import GraftError
from graft.model.batch_norm import frozen_batch_norms, has_trainable_batch_norm_stats
from graft.model.layers import num_kernel_weights, shares_weights
from graft.ranks import world_size
from graft.stack.dropout import Masks, replace_dropout
from graft.stack.grouped import group_layers, groups_batch_norm

MAX_STACK_BYTES = 2**31  # for the weights, gradients and optimizer state of the trials that train together
MAX_KERNEL_WEIGHTS = 250_000  # of convolutions in networks with batch norm, of which several train together


def stackable(network: nn.Module, input_shape: Sequence[int]) -> bool:
    """Return whether several copies of the network can train as one stack.

    Args:
        network: one trial's network, in training mode except for frozen batch norm.
        input_shape: shape of the network's input for one image.
    """
    trains_batch_norm = has_trainable_batch_norm_stats(network)
    if shares_weights(network):
        return False
    if trains_batch_norm and (world_size() > 1 or not groups_batch_norm(network)):  # ranks share its statistics
        return False
    template, masks = copy.deepcopy(network).to("meta"), Masks([0, 1])
    if trains_batch_norm:
        group_layers(template)
    replace_dropout(template, masks)
    values = {**dict(template.named_parameters()), **dict(template.named_buffers())}
    stacked = {name: value.detach().expand(2, *value.shape) for name, value in values.items()}
    run = masks.masked(functools.partial(functional_call, template), 2)
    try:  # without data: only PyTorch knows which operations vmap supports
        with torch.device("meta") as meta:
            inputs = torch.empty(2, 2, *input_shape)
            vmap(run, randomness="error")(masks.keys(meta), stacked, inputs)
            masks.masked(template, 2)(masks.keys(meta)[0], inputs[0])
    except (RuntimeError, NotImplementedError, ValueError, AssertionError, TypeError):
        return False
    # A buffer that is assigned (self.mean = ...) would be forgotten; one that is changed in place is a trial's.
    return all(buffer is values[name] for name, buffer in template.named_buffers())


def chunks(num_trials: int, at_once: int | str, network: nn.Module, input_shape: Sequence[int]) -> list[range]:
    """Divide trials into chunks that train together.

    Args:
        num_trials: number of trials.
        at_once: largest number of trials in a chunk; `auto`: as many as fit into 2 GiB.
        network: one trial's network.
        input_shape: shape of its input for one image.

    Raises:
        GraftError: `at_once` is above 1, but the network cannot be stacked.
    """
    if at_once == "auto":
        # Weights, gradients and Adam's two moments, four bytes each; of buffers, such as training images, the values.
        size = 16 * sum(parameter.numel() for parameter in network.parameters())
        size += 4 * sum(buffer.numel() for buffer in network.buffers())
        at_once = max(1, MAX_STACK_BYTES // max(size, 1))
        if min(at_once, num_trials) > 1 and (_is_deep(network) or not stackable(network, input_shape)):
            at_once = 1
    elif min(int(at_once), num_trials) > 1 and not stackable(network, input_shape):
        raise GraftError(
            f"trials_at_once={at_once}, but the networks cannot be stacked (batch norm in training other than "
            "nn.BatchNorm2d on one device, layers that share weights, buffers that are assigned instead of changed in "
            "place, or random layers other than nn.Dropout, such as stochastic depth); try trials_at_once=auto"
        )
    step = min(int(at_once), num_trials)
    return [range(first, min(first + step, num_trials)) for first in range(0, num_trials, step)]


def _is_deep(network: nn.Module) -> bool:
    """Return whether a fit for each trial costs little more time, and memory for one trial's activations only."""
    has_batch_norm = frozen_batch_norms(network) or has_trainable_batch_norm_stats(network)
    return bool(has_batch_norm) and num_kernel_weights(network) > MAX_KERNEL_WEIGHTS
