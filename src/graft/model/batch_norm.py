"""Batch norm: whether its statistics train, and whose batches they are of."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from graft.errors import GraftError
from graft.ranks import world_size


def freeze_batch_norm_stats(network: nn.Module) -> None:
    """Let batch norm normalise by the statistics it has, and leave them, while its scale and shift may train."""
    for module in _batch_norms(network):
        module.eval()


def has_trainable_batch_norm_stats(network: nn.Module) -> bool:
    """Return whether the network has batch norm that takes its statistics from the batches it trains on."""
    return any(module.track_running_stats and module.training for module in _batch_norms(network))


def has_frozen_batch_norm(network: nn.Module) -> bool:
    """Return whether the network has batch norm that is held."""
    return any(not module.training for module in _batch_norms(network))


def check_batch_norm(network: nn.Module, device: torch.device, number: int) -> None:
    """Refuse batch norm that trains where its ranks would each take their part of a batch for the whole.

    Raises:
        GraftError: it trains on several CPUs, or is timm's, which has an activation inside.
    """
    if number == 1 or not has_trainable_batch_norm_stats(network):
        return
    mend = "try trainer=default, or with source=file or source=imagenet tune.batch_norm=frozen"
    if device.type == "cpu":
        raise GraftError(
            "batch norm that trains takes its statistics over whole batches, which PyTorch can do for several GPUs, "
            f"but not for several CPUs; {mend}"
        )
    for module in _batch_norms(network):
        if type(module).forward is not _BatchNorm.forward:
            raise GraftError(f"{type(module).__name__}, which trains here, cannot be divided among devices; {mend}")


def synchronized(network: nn.Module) -> nn.Module:
    """Return a network whose batch norm, where it trains, takes its statistics over all ranks' parts of a batch.

    Lightning's own flag would also replace what is frozen, in place.
    """
    return (
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
        if world_size() > 1 and has_trainable_batch_norm_stats(network)
        else network
    )


def _batch_norms(network: nn.Module) -> list[_BatchNorm]:
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]
