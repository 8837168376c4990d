"""Every backbone becomes a file that says what its model says."""

import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT
from test_exported_model import trained
from torch.torch_version import TorchVersion

from graft.backbones.backbone import CNN, Backbone
from graft.config.target import find_target
from graft.data.preprocess import Preprocess
from graft.errors import GraftError
from graft.export import model_files
from graft.export.exported_model import ExportedModel
from graft.export.model_files import check_installed, write_int8, write_onnx, write_torch
from graft.export.predict_file import load_as_predict_file as load

SIZES = {"cnn": 20, "cnn4": 32, "cnn5": 16, "vit_b_16": 224}
MODELS = {"torchvision": "resnet34", "timm": "vit_tiny_patch16_224"}
FAMILIES = sorted(path.stem for path in (ROOT / "conf" / "backbone").glob("*.yaml"))
ABOUT = {"classes": ["cat", "dog", "été"], "version": "1"}


def backbone(name: str) -> Backbone:
    option: dict[str, Any] = yaml.safe_load((ROOT / "conf" / "backbone" / f"{name}.yaml").read_text())
    if option.get("_target_", "").startswith("graft.backbone_timm"):
        pytest.importorskip("timm")
    size = 224 if name == "timm" else SIZES.get(name, 64)
    known = {"model": MODELS[name]} if name in MODELS else {}
    known |= {"activation": "relu"} if "activation" in option else {}
    arguments = {key: value for key, value in option.items() if key not in ("_target_", "activation")} | known
    return find_target("backbone", option["_target_"])(preprocess=Preprocess([3, size, size]), **arguments)


def check(path: Path, exported: ExportedModel) -> None:
    """Compare a file with its graph, for other numbers and sizes of images than it was traced with."""
    about, run = load(path)
    assert about == ABOUT
    for shape in ((1, 50, 70, 3), (3, 33, 19, 3)):
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8)
        np.testing.assert_allclose(run(pixels.numpy()), exported(pixels).numpy(), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_in_conf_is_written_as_onnx(name: str, tmp_path: Path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    built = backbone(name)
    exported = ExportedModel(trained(built, frozen=max(built.keep - 1, 0)), [0, 1])
    write_onnx(exported, tmp_path / "model.onnx", ABOUT)
    check(tmp_path / "model.onnx", exported)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "resnet18", "vit_b_16", "swin_t"])
def test_representative_families_are_written_as_pytorch_s_own_file(name: str, tmp_path: Path):
    exported = ExportedModel(trained(backbone(name)), [0, 1])
    write_torch(exported, tmp_path / "model.pt2", ABOUT)
    check(tmp_path / "model.pt2", exported)


@pytest.mark.parametrize("kind", [pytest.param("onnx", marks=pytest.mark.slow), "pt2"])
def test_a_small_network_with_batch_norm_is_written(kind: str, tmp_path: Path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    exported = ExportedModel(trained(backbone("cnn5")), [0, 1])
    (write_onnx if kind == "onnx" else write_torch)(exported, tmp_path / f"model.{kind}", ABOUT)
    check(tmp_path / f"model.{kind}", exported)
    assert logging.root.manager.disable == logging.NOTSET


def test_8_bits_keep_what_it_says_nearly_and_its_metadata(tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = trained(CNN(Preprocess([1, 20, 20])))
    exported, path = ExportedModel(model, [0, 1]), tmp_path / "model.onnx"
    write_onnx(exported, path, ABOUT)
    pixels = torch.randint(0, 256, (8, 1, 20, 20), dtype=torch.uint8)
    write_int8(path, iter(pixels.split(4)))
    about, run = load(path)
    assert about == ABOUT
    found = run(pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().numpy())
    expected = model.probabilities(pixels).mean(0).numpy()
    assert 0 < np.abs(found - expected).max() < 0.1
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds


def test_missing_packages_are_named_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.10.0"))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(GraftError, match=r"needs onnx, .*pip install -e .*export.*format=torch"):
        check_installed("onnx")
    check_installed("torch")
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.9.1+cpu"))
    with pytest.raises(GraftError, match=r"needs PyTorch 2\.10 or newer, this is 2\.9\.1\+cpu; try format=torch"):
        check_installed("onnx")
    check_installed("torch")


class Branching(torch.nn.Module):
    """Does what depends on values, which no graph can."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs if inputs.sum().item() > 0 else -inputs


def test_a_network_that_cannot_be_traced_is_refused_in_a_line(tmp_path: Path):
    model = trained(CNN(Preprocess([1, 20, 20])))
    model.frozen.append(Branching())
    with pytest.raises(GraftError, match=r"cannot trace this network .*predict.py") as refused:
        write_torch(ExportedModel(model, [0]), tmp_path / "model.pt2", ABOUT)
    assert "\n" not in str(refused.value)
    assert model_files.torch.backends.mha.get_fastpath_enabled()
