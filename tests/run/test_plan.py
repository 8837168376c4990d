from collections.abc import Callable

import pytest
import torch
from omegaconf import DictConfig

from graft.config.build import to_plain
from graft.config.identity import content_digests, job_identity
from graft.data.preprocess import Enlarged
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


def test_jobs_that_augment_enlarged_images_have_an_identity_of_their_own(configure: Callable[..., DictConfig]):
    """Versions before 2026-11-28 augmented such images at the files' size: their jobs run again, no others do."""
    for words, enlarged in (("", False), ("augment=digits", False), ("augment=digits dataset.size=40", True)):
        cfg = configure("trials=1", *words.split())
        plan, config = make_plan(cfg), to_plain(cfg)
        before = job_identity(config, plan.data.images.fingerprint, plan.data.images.classes, content_digests(config))
        assert isinstance(plan.augment, Enlarged) == enlarged
        assert (plan.identify(config)[0] != before) == enlarged
