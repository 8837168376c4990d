"""Names of networks in a sweep."""

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from graft.backbones import backbone_timm
from graft.errors import ConfigError, UnavailableError

Sweep = Callable[..., list[DictConfig]]


@pytest.mark.parametrize(
    ("library", "right", "wrong", "near"),
    [
        ("torchvision", "resnet18", "resnet8", "resnet18"),
        ("timm", "resnet18.a1_in1k", "resnett18.a1_in1k", "resnet18.a1_in1k"),
        ("timm", "resnet18", "resnet18.a1_in2k", "resnet18.a1_in1k"),
    ],
)
def test_a_misspelt_network_is_refused_before_the_first_job(
    sweep: Sweep, library: str, right: str, wrong: str, near: str
):
    with pytest.raises(ConfigError, match=rf"backbone\.model must be one of .*, got {wrong}; try .*{near}"):
        sweep(f"backbone={library}", f"backbone.model={right},{wrong}", "name=s")
    assert len(sweep(f"backbone={library}", f"backbone.model={right}", "name=s")) > 0


def test_all_misspelt_networks_are_named_at_once(sweep: Sweep):
    with pytest.raises(ConfigError) as refused:
        sweep("backbone=torchvision", "backbone.model=resnet8,vgg15,resnet18", "head=ridge,lda", "name=s")
    assert [fault.got for fault in refused.value.faults] == ["resnet8", "vgg15"]


def test_without_timm_its_jobs_say_so(sweep: Sweep, monkeypatch: pytest.MonkeyPatch):
    def absent() -> None:
        raise UnavailableError("not installed")

    monkeypatch.setattr("graft.backbones.pretrained_timm.timm", absent)
    with pytest.raises(UnavailableError):
        backbone_timm.Timm.published_names("resnet18")
    assert len(sweep("backbone=timm", "backbone.model=resnet18", "name=s")) > 0
