import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hydra.errors import ConfigCompositionException
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from graft.config import _job_folder, build, folder_name
from graft.errors import GraftError

Configure = Callable[..., DictConfig]
OPTIONS = sorted(path for path in (ROOT / "conf").glob("*/*.yaml") if path.parent.name not in ("experiment", "sweep"))
LIBRARIES = {"optimizer": "torch.optim", "trainer": "pytorch_lightning"}


def targets(node: Any) -> Iterator[DictConfig]:
    if isinstance(node, DictConfig):
        if "_target_" in node:
            yield node
        for key in node:
            if OmegaConf.is_config(node._get_node(key)):
                yield from targets(node[key])


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: f"{path.parent.name}={path.stem}")
def test_every_option_s_keys_are_its_target_s_parameters(path: Path):
    node = OmegaConf.load(path)
    assert isinstance(node, DictConfig)
    assert path.read_text().startswith("# ")
    for option in targets(node):
        keys = [str(key) for key in option if not str(key).startswith("_")]
        inspect.signature(get_object(option._target_)).bind_partial(**dict.fromkeys(keys))
    group = path.parent.name
    assert node._target_.rpartition(".")[0].startswith(LIBRARIES.get(group, f"graft.{group}"))


def test_every_knob_has_a_default_and_a_meaning():
    lines = (ROOT / "conf" / "train.yaml").read_text().splitlines()
    knobs = lines[lines.index("") + 1 : lines.index("hydra:") - 1]
    assert len(knobs) >= 13
    assert all("# " in line for line in knobs)


@pytest.mark.parametrize("override", ["activation=rleu", "epochs=many", "droput=0.5", "head=foo", "head.depth=3"])
def test_unknown_keys_choices_and_types_are_refused_when_composing(configure: Configure, override: str):
    with pytest.raises(ConfigCompositionException):
        configure(override)


def test_build_refuses_a_key_that_the_target_does_not_take(configure: Configure):
    with pytest.raises(
        GraftError, match=r"Plain takes no depth; it takes num_features, num_classes, dropout; leave.*~head"
    ):
        build(configure("+head.depth=3").head, num_features=3, num_classes=2)


def test_folder_names_are_single_folders():
    assert folder_name("dataset.root=../shared/data_head=plain") == "dataset.root=.._shared_data_head=plain"
    assert folder_name("") == folder_name("..") == "default"
    long = [folder_name(f"{'x' * 300}={number}") for number in range(2)]
    assert long[0] != long[1]
    assert max(map(len, long)) <= 100


def test_a_sweep_s_jobs_are_named_after_what_differs_and_a_lone_job_after_its_experiment():
    overrides = ["experiment=lecture_mnist_scratch", "trials=2"]
    assert _job_folder([*overrides, "head=plain"], overrides) == "head=plain"
    assert _job_folder(overrides, overrides) == "experiment=lecture_mnist_scratch"
    assert _job_folder(["trials=2"], ["trials=2"]) == "default"
