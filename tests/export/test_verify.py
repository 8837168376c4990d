"""A file that says something else than its model is not kept."""

from pathlib import Path

import numpy as np
import pytest
import torch
from test_exported_model import trained
from torch import nn

from graft.backbones.backbone import CNN
from graft.data.preprocess import Preprocess
from graft.errors import GraftError
from graft.export import verify as module
from graft.export.exported_model import ExportedModel
from graft.export.verify import Run, verify
from graft.inference.trained_model import TrainedModel

NONE = GraftError("the folder is gone")


def check(model: TrainedModel, change, monkeypatch: pytest.MonkeyPatch, exact: bool = True) -> list[str]:
    """Verify a file whose probabilities a function changes."""
    graph = ExportedModel(model, [0])

    def load(path: Path) -> tuple[dict, Run]:
        return {}, lambda pixels: change(graph(torch.from_numpy(pixels)).numpy())

    monkeypatch.setattr(module, "load_as_predict_file", load)
    return verify(Path("model.onnx"), model, [0], NONE, exact, progress=False)


@pytest.mark.parametrize("size", [None, 32])
def test_the_model_itself_says_the_same(size: int | None, monkeypatch: pytest.MonkeyPatch):
    model = trained(CNN(Preprocess([1, 20, 20], size=size)))
    first, *others = check(model, lambda said: said, monkeypatch)
    assert first.startswith("64 random images, because the job's images cannot be read (the folder is gone): 0 of 64")
    assert float(first.split("at most ")[1].split(",")[0]) < 1e-6
    assert [line.split(",")[0] for line in others] == ["the network's own resizing"] * (size is not None)


@pytest.mark.parametrize("change", [lambda said: said + 2e-4, lambda said: said * np.nan, lambda said: said[:, ::-1]])
def test_another_probability_or_class_fails(change, monkeypatch: pytest.MonkeyPatch):
    model = trained(CNN(Preprocess([1, 20, 20])))
    with pytest.raises(GraftError, match="says something else than the model"):
        check(model, change, monkeypatch)
    assert check(model, change, monkeypatch, exact=False)[0].startswith(
        "64 random images"
    )  # 16 and 8 bits: told, not refused


def test_a_tie_is_counted_and_is_no_failure(monkeypatch: pytest.MonkeyPatch):
    model = trained(CNN(Preprocess([1, 20, 20])))
    head = nn.Linear(576, 3)
    nn.init.zeros_(head.weight)
    head.bias = nn.Parameter(torch.tensor([1.0, 1.0, 0.0]))
    model.networks[0] = nn.Sequential(model.networks[0].get_submodule("stages"), head)
    found = check(model, lambda said: said + np.array([[0, 1e-6, 0]]), monkeypatch)
    assert "64 of 64 images with another class, 64 of them a tie" in found[0]
