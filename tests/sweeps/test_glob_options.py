"""Options of a glob that need a further key."""

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from graft.errors import ConfigError, GraftError

Sweep = Callable[..., list[DictConfig]]


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
