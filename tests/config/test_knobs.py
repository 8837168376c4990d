import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hydra.errors import ConfigCompositionException
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from graft.config.values import PREPROCESSING
from graft.data.preprocess import InputSpec

Configure = Callable[..., DictConfig]
OPTIONS = sorted(path for path in (ROOT / "conf").glob("*/*.yaml") if path.parent.name not in ("experiment", "sweep"))
LIBRARIES = {
    "optimizer": "torch.optim",
    "trainer": "pytorch_lightning",
    "head": ("graft.head", "graft.solved_head", "graft.points_head", "graft.best_solved_head"),
}


def targets(node: Any) -> Iterator[DictConfig]:
    if isinstance(node, DictConfig):
        if "_target_" in node:
            yield node
        for key in node:
            if OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, str(key)):
                continue
            if OmegaConf.is_config(node[key]):
                yield from targets(node[key])


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: f"{path.parent.name}={path.stem}")
def test_every_option_s_keys_are_its_target_s_parameters(path: Path):
    node = OmegaConf.load(path)
    assert isinstance(node, DictConfig)
    assert path.read_text().startswith("# ")
    for option in targets(node):
        keys = [str(key) for key in option if not str(key).startswith("_")]
        keys += ["folder"] if path.parent.name == "logger" else []
        if path.parent.name == "dataset":  # these are the preprocessing's
            inspect.signature(InputSpec).bind_partial(**dict.fromkeys(PREPROCESSING))
            keys = [key for key in keys if key not in PREPROCESSING]
        inspect.signature(get_object(option._target_)).bind_partial(**dict.fromkeys(keys))
    group = path.parent.name
    named = [node] if group != "logger" else [node[key] for key in node]  # each logger has a key: several at once
    for option in named:
        assert option._target_.rpartition(".")[0].startswith(LIBRARIES.get(group, f"graft.{group}"))


def test_every_knob_has_a_default_and_a_meaning():
    lines = (ROOT / "conf" / "train.yaml").read_text().splitlines()
    knobs = lines[lines.index("") + 1 : lines.index("hydra:") - 1]
    assert len(knobs) >= 13
    assert all("# " in line for line in knobs)


@pytest.mark.parametrize("override", ["epochs=many", "droput=0.5", "head=foo", "head.depth=3"])
def test_unknown_keys_choices_and_types_are_refused_when_composing(configure: Configure, override: str):
    with pytest.raises(ConfigCompositionException):
        configure(override)
