from collections.abc import Callable

import pytest
import torch
from omegaconf import DictConfig

from graft.run.make_plan import make_plan


@pytest.mark.parametrize(("size", "order"), [(32, torch.contiguous_format), (96, torch.channels_last)])
def test_thawed_kernels_lie_in_memory_as_is_faster_for_their_maps(
    configure: Callable[..., DictConfig], size: int, order: torch.memory_format
):
    plan = make_plan(configure("backbone=vgg16", "tune=thaw", "trials=1", f"dataset.size={size}"))
    planned = plan.phases[1]
    frozen, stages = plan.backbone().split(planned.phase.frozen_stages)
    transfer = plan.transfer(planned, frozen, [plan.network(0, planned.phase, stages)], plan.datamodule)
    kernels = [value for value in transfer.stack.named().values() if value.dim() == 4]
    assert [kernel.is_contiguous(memory_format=order) for kernel in kernels] == [True] * 3
