"""Options of a glob that need a further key, and names of networks in a sweep."""

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from graft.backbones import backbone_timm
from graft.errors import ConfigError, GraftError, UnavailableError

Sweep = Callable[..., list[DictConfig]]


@pytest.mark.slow
def test_options_without_a_value_are_left_out_and_named(sweep: Sweep, capsys: pytest.CaptureFixture[str]):
    jobs = sweep("backbone=glob(*)", "head=solved,ridge", "name=s")
    chosen = {job.hydra.runtime.choices.backbone for job in jobs}
    assert {"cnn", "resnet18", "vit_b_16"} <= chosen
    assert not {"timm", "torchvision"} & chosen
    assert len(jobs) == 2 * len(chosen)
    said = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert said == [
        "left out of the glob: backbone=timm and backbone=torchvision, for which backbone.model must be given; to add "
        "them, try backbone=timm backbone.model=VALUE, or -m with several values and another name=, and src/report.py "
        "compares both"
    ]


def test_a_glob_of_nothing_else_is_refused(sweep: Sweep):
    with pytest.raises(GraftError, match=r"the glob lists only backbone=timm, for which backbone\.model must be given"):
        sweep("backbone=glob(timm*)", "name=s")


def test_what_is_typed_needs_its_value(sweep: Sweep):
    with pytest.raises(ConfigError, match=r"backbone\.model must be a network's name"):
        sweep("backbone=cnn,timm", "name=s")


def test_a_glob_with_the_value_leaves_nothing_out(sweep: Sweep, capsys: pytest.CaptureFixture[str]):
    assert len(sweep("backbone=glob(t*v*)", "backbone.model=resnet18,resnet34", "name=s")) == 2
    assert "left out" not in capsys.readouterr().err


@pytest.mark.slow
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
