from collections.abc import Callable

import pytest
import torch
from omegaconf import DictConfig

from graft.run.plan import Plan


@pytest.mark.parametrize(("size", "order"), [(32, torch.contiguous_format), (96, torch.channels_last)])
def test_thawed_kernels_lie_in_memory_as_is_faster_for_their_maps(
    configure: Callable[..., DictConfig], size: int, order: torch.memory_format
):
    plan = Plan(configure("backbone=vgg16", "tune=thaw", "trials=1", f"dataset.size={size}"))
    front, stages = plan.backbone().split(plan.phases[1].frozen_stages)
    transfer = plan.transfer(1, front, [plan.network(0, plan.phases[1], stages)], plan.split)
    kernels = [value for value in transfer.stack.named().values() if value.dim() == 4]
    assert [kernel.is_contiguous(memory_format=order) for kernel in kernels] == [True] * 3
