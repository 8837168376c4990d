"""Batch norm: whether its statistics are updated in training, and over which images they are computed."""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from graft.errors import GraftError
from graft.ranks import world_size

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def freeze_batch_norm_stats(network: nn.Module) -> None:
    """Make batch norm use its running statistics and not update them; its scale and shift may still train."""
    for module in _batch_norms(network):
        module.eval()


def has_trainable_batch_norm_stats(network: nn.Module) -> bool:
    """Return whether the network has batch norm that computes its statistics from training batches."""
    return any(module.track_running_stats and module.training for module in _batch_norms(network))


def frozen_batch_norms(network: nn.Module) -> list[str]:
    """Return the names of the network's batch norm with frozen statistics."""
    return [name for name, each in network.named_modules() if isinstance(each, BATCH_NORMS) and not each.training]


def check_batch_norm(network: nn.Module, device: torch.device, world_size: int) -> None:
    """Refuse batch norm whose statistics cannot be computed over the batches of all ranks.

    Raises:
        GraftError: it trains on several CPUs, or is a subclass with its own forward pass, such as timm's.
    """
    if world_size == 1 or not has_trainable_batch_norm_stats(network):
        return
    mend = "try trainer=default, or with source=file or source=imagenet tune.batch_norm=frozen"
    if device.type == "cpu":
        raise GraftError(
            "batch norm cannot be synchronized between CPU processes (PyTorch supports GPUs only), and this job trains "
            f"it; {mend}"
        )
    for module in _batch_norms(network):
        if type(module).forward is not nn.BatchNorm2d.forward:  # all of PyTorch's share one
            raise GraftError(f"{type(module).__name__} cannot be synchronized between devices; {mend}")


def lacks_values(network: nn.Module, input_shape: Sequence[int]) -> bool:
    """Return whether batch norm in training refuses a batch of one image: it needs two values of each channel.

    Args:
        network: as it trains.
        input_shape: of one image's input to the network.
    """
    if not has_trainable_batch_norm_stats(network):
        return False
    probe = copy.deepcopy(network).to("meta")
    try:
        with torch.device("meta"), torch.no_grad():
            probe(torch.empty(1, *input_shape))
    except ValueError:  # PyTorch's "expected more than 1 value per channel when training"
        return True
    return False


def synchronized(network: nn.Module) -> nn.Module:
    """Return the network with batch norm, if it trains, that computes its statistics over the batches of all ranks.

    Lightning's own flag would also replace batch norm in frozen stages, in place.
    """
    if world_size() == 1 or not has_trainable_batch_norm_stats(network):
        return network
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)


def _batch_norms(network: nn.Module) -> list[nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm]:
    return [module for module in network.modules() if isinstance(module, BATCH_NORMS)]
