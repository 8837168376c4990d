"""A job's own file is a source of weights: of the stages of its best trial, and no others are taken for them."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from graft.backbones.backbone import CNN
from graft.data.dataset import MNIST5k
from graft.data.preprocess import InputSpec
from graft.errors import GraftError
from graft.files import write_tensors
from graft.inference.load import load
from graft.training.source import File

SMALL = ("trials=2", "epochs=1", "source.epochs=1", "dataset.test_per_class=5")


def read(path: Path) -> Any:
    data = MNIST5k(big=[0], small=[1, 3])
    make = functools.partial(CNN, InputSpec("unit").preprocess(data.images.shape))
    return File(str(path)).weights(make, data, pl.Trainer, path.parent)


@pytest.mark.slow
@pytest.mark.parametrize("words", [("source=scratch", "tune=full"), ("tune=thaw", "tune.thaw=1"), ("tune=frozen",)])
def test_the_stages_of_the_best_trial_are_read(run: Callable[..., dict], tmp_path: Path, words: tuple[str, ...]):
    given = [word for word in SMALL if "scratch" not in words[0] or not word.startswith("source.")]
    run(*given, *words, "keep_weights=best")
    weights = read(tmp_path / "job/weights.safetensors")
    model = load(tmp_path / "job")
    stages: nn.Module = model.networks[0].get_submodule("stages")
    expected = [*model.frozen.state_dict().values(), *stages.state_dict().values()]
    assert len(weights) == len(expected) == 4
    assert all(torch.equal(one, two) for one, two in zip(weights.values(), expected, strict=True))


def test_of_several_trials_none_is_taken(run: Callable[..., dict], tmp_path: Path):
    run(*SMALL, "tune=full", "keep_weights=all")
    with pytest.raises(GraftError, match=r"has the weights of 2 trials, .* again with keep_weights=best"):
        read(tmp_path / "job/weights.safetensors")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["trials.head.1.bias"], "a job's file with no stage, as frozen ones are elsewhere; .* keep_weights=whole"),
        (["trials.stages.stage2.0.bias"], "with no stage before stage 2, as frozen"),
        (["frozen.joined.stage1.0.bias", "trials.head.1.bias"], "with frozen.joined.stage1.0.bias, which is of no"),
    ],
)
def test_a_file_without_all_stages_is_refused_with_the_way(tmp_path: Path, names: list[str], said: str):
    write_tensors(tmp_path / "weights.safetensors", {name: torch.ones(1, 3) for name in names})
    with pytest.raises(GraftError, match=said):
        read(tmp_path / "weights.safetensors")
