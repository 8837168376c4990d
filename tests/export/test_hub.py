"""A folder for the hub is loaded by timm where it can be, or by Graft."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from test_exported_model import CLASSES, trained
from torchvision.transforms.v2.functional import to_pil_image

import graft
from graft.data.preprocess import Preprocess
from graft.errors import GraftError
from graft.export import hub
from graft.export.hub import USE_TIMM, front_matter, write_hub
from graft.inference.load import load
from graft.inference.trained_model import TrainedModel


def model(
    target: str,
    frozen: int,
    keep: int | None = None,
    head: str = "Plain",
    name: str | None = None,
    pad: int = 0,
    size: int | None = None,
    white: dict | None = None,
    interpolation: str = "bilinear",
) -> TrainedModel:
    """Return a model of random weights whose description says how it is built."""
    kind, _, backbone = target.partition(".")
    size = size or (224 if name and name.startswith("vit") else None)
    preprocess = Preprocess([3, 32, 32], pad, size, mean=[0.5], std=[0.25], interpolation=interpolation)
    known = {"keep": keep} | ({"model": name} if name else {})
    built = getattr(getattr(graft, kind), backbone)(preprocess, **known)
    about = {
        "backbone": {
            "_target_": f"graft.{target}", **known,
            "preprocess": {"_target_": "graft.preprocess.Preprocess", **built.preprocess.settings},
        },
        "head": {"_target_": f"graft.head.{head}", "num_classes": 3},
        "frozen": {"sha256": "0" * 64, "path": "/home/anna/secret.pt"}, "reading": {"fit": "crop", "white": white},
    }  # fmt: skip
    made = trained(built, frozen=frozen)
    made.config |= about
    return made


@pytest.mark.parametrize(
    ("name", "frozen"), [("resnet10t", 2), pytest.param("vit_tiny_patch16_224", 0, marks=pytest.mark.slow)]
)
def test_timm_loads_a_network_of_its_own_with_one_linear_layer(tmp_path: Path, name: str, frozen: int):
    timm = pytest.importorskip("timm")
    made = model("backbone_timm.Timm", frozen, name=name)
    assert write_hub(tmp_path, made, [1]) == USE_TIMM
    pixels = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["label_names"] == CLASSES
    assert config["pretrained_cfg"]["mean"] == [0.5] * 3
    for loaded in (
        timm.create_model(f"local-dir:{tmp_path}", pretrained=True),
        timm.create_model(name, num_classes=3, checkpoint_path=str(tmp_path / "model.safetensors")),
    ):
        with torch.no_grad():
            found = loaded.eval()(made.preprocess(pixels)).softmax(1)
        torch.testing.assert_close(found, made.probabilities(pixels)[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("target", "frozen", "keep", "rows", "why"),
    [
        ("backbone.CNN", 1, None, [0], "none of timm's"),
        ("backbone.CNN", 2, None, [0, 1], "mean of 2 trials"),
        ("backbone.CNN5", 0, 2, [1], "none of timm's"),
    ],
)
def test_what_timm_cannot_load_graft_does(
    tmp_path: Path, target: str, frozen: int, keep: int | None, rows: list[int], why: str
):
    made = model(target, frozen, keep)
    said = write_hub(tmp_path, made, rows)
    assert why in said
    shutil.copy(tmp_path / "model.safetensors", tmp_path / "weights.safetensors")
    loaded = load(tmp_path)
    pixels = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    assert loaded.seeds == rows
    torch.testing.assert_close(loaded.probabilities(pixels), made.probabilities(pixels)[rows])
    assert "anna" not in (tmp_path / "model.yaml").read_text() + (tmp_path / "config.json").read_text()


def test_some_stages_of_timm_s_network_or_a_deeper_head_need_graft(tmp_path: Path):
    pytest.importorskip("timm")
    assert "only some" in write_hub(tmp_path, model("backbone_timm.Timm", 1, keep=2, name="resnet10t"), [0])
    made = model("backbone_timm.Timm", 1, head="Dense", name="resnet10t")
    assert "more than one linear layer" in write_hub(tmp_path, made, [0])


@pytest.mark.parametrize("reading", [{"pad": 4}, {"size": 64}, {"white": {"whole": 4095, "real": 1}}], ids=str)
def test_images_that_timm_s_transform_or_network_does_not_take_need_graft(tmp_path: Path, reading: dict):
    pytest.importorskip("timm")
    made = model("backbone_timm.Timm", 0, name="vit_tiny_patch16_224" if "size" in reading else "resnet10t", **reading)
    said = write_hub(tmp_path, made, [0])
    assert next(why for why in ("does not pad", "images of 64x64", "more than 8 bits") if why in said)
    assert not (tmp_path / "config.json").read_text().count("pretrained_cfg")


def test_a_network_of_timm_s_that_says_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("timm")
    made = model("backbone_timm.Timm", 1, name="resnet10t")
    original = hub.timm_weights

    def wrong(of: TrainedModel, trial: int) -> dict[str, torch.Tensor]:
        weights = original(of, trial)
        return {**weights, "head.bias": weights["head.bias"] + torch.arange(3)}

    monkeypatch.setattr(hub, "timm_weights", wrong)
    with pytest.raises(GraftError, match="says something else"):
        write_hub(tmp_path, made, [0])
    assert list(tmp_path.iterdir()) == []


def test_the_front_matter_is_yaml_between_dashes():
    _, content, rest = (front_matter("timm") + "# name").split("---\n")
    found = yaml.safe_load(content)
    assert found["library_name"] == "timm"
    assert found["metrics"] == ["accuracy"]
    assert "timm" in found["tags"]
    assert "timm" not in yaml.safe_load(front_matter("graft").split("---\n")[1])["tags"]
    assert rest.strip() == "# name"


@pytest.mark.parametrize(("size", "said"), [(48, "bicubic"), (None, "bilinear")])
def test_timm_resizes_as_the_preprocessing_does_or_as_files_are_read(tmp_path: Path, size: int | None, said: str):
    timm = pytest.importorskip("timm")
    made = model("backbone_timm.Timm", 1, name="resnet10t", size=size, interpolation="bicubic")
    assert write_hub(tmp_path, made, [1]) == USE_TIMM
    config = json.loads((tmp_path / "config.json").read_text())["pretrained_cfg"]
    assert config["interpolation"] == said
    pixels = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, pretrained_cfg=config))
    difference = transform(to_pil_image(pixels)) - made.preprocess(pixels[None])[0]
    assert difference.abs().mean() < 0.01  # Pillow rounds to bytes
