"""Poolings, compared with timm's, torchvision's and the formula in plain PyTorch."""

import re

import pytest
import torch
from torch import nn
from torchvision import models

from graft.backbones.backbone import CNN, VGG16
from graft.backbones.backbone_timm import Timm
from graft.backbones.backbone_torchvision import Torchvision
from graft.backbones.pooling import Pool, pooled
from graft.data.preprocess import Preprocess
from graft.errors import ConfigError
from graft.files import fingerprint

timm = pytest.importorskip("timm")

PIXELS = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def gem(positions: torch.Tensor) -> torch.Tensor:
    return (positions.clamp(min=1e-6) ** 3).mean(1) ** (1 / 3)


def filled(backbone, theirs):
    backbone.load_state_dict(backbone.convert_state_dict(theirs.state_dict()))
    return backbone.eval()


def test_poolings_of_maps_and_tokens():
    maps = torch.randn(2, 5, 3, 4)
    positions = maps.flatten(2).mT
    both = torch.cat([positions.mean(1), positions.amax(1)], 1)
    for kind, expected in (("avg", positions.mean(1)), ("gem", gem(positions)), ("concat", both)):
        assert torch.equal(pooled(kind)(maps), expected)
        assert torch.equal(pooled(kind, channels_last=True)(maps.permute(0, 2, 3, 1)), expected)
        assert torch.equal(Pool(kind, keeps_maps=True)(maps)[..., 0].mT.flatten(1), expected)
        assert Pool(kind, channels_last=True, keeps_maps=True)(maps.permute(0, 2, 3, 1)).shape[2:] == (1, 5)
    tokens = torch.randn(2, 7, 5)  # a class token, a register and five patches
    patches = tokens[:, 2:]
    assert torch.equal(pooled("cls", 2, True)(tokens), tokens[:, 0])
    assert torch.equal(pooled("gem", 2, True)(tokens), gem(patches))
    assert torch.equal(pooled("concat", 2, True)(tokens), torch.cat([tokens[:, 0], patches.mean(1)], 1))
    assert torch.equal(pooled("concat", 2)(tokens), torch.cat([patches.mean(1), patches.amax(1)], 1))
    assert torch.equal(pooled("gem")(tokens[:, 0]), tokens[:, 0])  # without positions


def test_maps_of_timm_s_resnet_are_pooled_as_in_timm():
    theirs = timm.create_model("test_resnet", global_pool="catavgmax", num_classes=0).eval()
    images = PIXELS / 255
    with torch.no_grad():
        maps = theirs.forward_features(images)
        for pool, expected in (
            ("concat", theirs(images)),
            ("avg", maps.mean((2, 3))),
            ("gem", gem(maps.flatten(2).mT)),
        ):
            backbone = filled(Timm(Preprocess([3, 64, 64]), "test_resnet", pool=pool), theirs)
            found = backbone(PIXELS)
            assert found.shape == expected.shape == (2, backbone.num_features())
            assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("model", ["test_vit2", "test_vit4"])  # registers; and a norm after the pooling
def test_tokens_of_timm_s_transformers(model: str):
    theirs = timm.create_model(model, num_classes=0).eval()
    size, prefix = theirs.pretrained_cfg["input_size"][-1], theirs.num_prefix_tokens
    pixels = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    with torch.no_grad():
        tokens = theirs.forward_features(pixels / 255)
        parts = [tokens[:, prefix:].mean(1)]
        parts = [tokens[:, 0], *parts] if theirs.cls_token is not None else [*parts, tokens[:, prefix:].amax(1)]
        expected = torch.cat([theirs.fc_norm(part) for part in parts], 1)
        found = filled(Timm(Preprocess([3, size, size]), model, pool="concat"), theirs)(pixels)
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.slow
def test_torchvision_s_networks():
    for name in ("resnet18", "mobilenet_v3_small", "convnext_tiny", "squeezenet1_1"):
        theirs = models.get_model(name)
        backbone = filled(Torchvision(Preprocess([3, 64, 64]), name, pool="concat"), theirs)
        plain = filled(Torchvision(Preprocess([3, 64, 64]), name), theirs)
        with torch.no_grad():
            found, features = backbone(PIXELS), plain(PIXELS)
        assert found.shape == (2, 2 * features.shape[1])
        if name == "resnet18":
            assert torch.allclose(found[:, ::2], features, atol=1e-6)  # each channel's mean, and its maximum
    with torch.device("meta"):
        assert Torchvision(Preprocess([3, 224, 224]), "vit_b_16", pool="concat").num_features() == 1536
        assert Torchvision(Preprocess([3, 224, 224]), "vit_b_16", keep=2, pool="avg").num_features() == 768
        assert Torchvision(Preprocess([3, 224, 224]), "swin_t", pool="gem").num_features() == 768


def test_fewer_stages_are_pooled_likewise():
    backbone = CNN(Preprocess([1, 28, 28]), keep=1, pool="concat").eval()
    assert backbone.num_features() == 64
    frozen, rest = backbone.split(1)
    assert [*dict(frozen.named_children())] == ["preprocess", "stage1", "pool"]
    assert not list(rest)
    assert CNN(Preprocess([1, 28, 28]), pool="avg").num_features() == 64
    assert CNN(Preprocess([1, 28, 28])).num_features() == 1600
    assert VGG16(Preprocess([3, 32, 32]), pool=None).num_features() == 512
    maps = torch.randn(2, 128, 4, 4)
    kept = Timm(Preprocess([3, 64, 64]), "test_resnet", keep=2, pool="gem")
    assert torch.equal(kept.pool(maps), gem(maps.flatten(2).mT))


def test_the_feature_store_tells_poolings_apart():
    frozen = [CNN(Preprocess([1, 28, 28]), pool=pool).split(2)[0] for pool in (None, "avg", "gem", "concat")]
    assert len({fingerprint(each) for each in frozen}) == 4
    one, other = (Timm(Preprocess([3, 160, 160]), "test_vit", pool=pool).split(7)[0] for pool in ("cls", "gem"))
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda image: CNN(image, pool="cls"), "null, avg, gem or concat for CNN, which has no class token, got cls"),
        (lambda image: Timm(image, "test_resnet", pool="cls"), "for test_resnet, which has no class token, got cls"),
        (lambda image: Timm(image, "test_resnet", pool="flatten"), "concat for test_resnet, got flatten"),
        (lambda image: Torchvision(image, "resnet18", pool="cls"), "for resnet18, which has no class token"),
        (lambda image: Torchvision(image, "densenet121", pool="gem"), "must be null for densenet121, whose pooling is"),
    ],
)  # fmt: skip
def test_what_a_network_cannot_give_is_refused(make, message: str):
    with torch.device("meta"), pytest.raises(ConfigError, match=re.escape(message)):
        make(Preprocess([3, 64, 64]))


def test_layers_after_the_pooling_that_take_no_two_parts_are_named(monkeypatch: pytest.MonkeyPatch):
    create = timm.create_model

    def with_hidden_layer(*args, **flags):
        network = create(*args, **flags)
        network.fc = nn.Sequential(nn.Flatten(), nn.Linear(128, 8))
        return network

    monkeypatch.setattr(timm, "create_model", with_hidden_layer)
    message = r"null, avg or gem for test_resnet2?, whose layers after the pooling take single features, got concat"
    with pytest.raises(ConfigError, match=message):
        Timm(Preprocess([3, 64, 64]), "test_resnet", pool="concat")


def test_features_of_several_stages_are_those_of_fewer_joined():
    torch.manual_seed(0)
    backbone = Timm(Preprocess([3, 64, 64]), "test_resnet", features=[4, 2], pool="gem").eval()
    parts = []
    for keep in (2, 4):
        part = Timm(Preprocess([3, 64, 64]), "test_resnet", keep=keep, pool="gem").eval()
        part.load_state_dict(backbone.state_dict())
        parts.append(part)
    frozen, rest = backbone.split(backbone.keep)
    assert not list(rest)
    with torch.no_grad():
        expected = torch.cat([part(PIXELS) for part in parts], 1)
        assert torch.equal(frozen(PIXELS), expected)
        assert torch.equal(backbone(PIXELS), expected)
    assert backbone.num_features() == expected.shape[1] == backbone.output_shape(backbone.keep)[0]
    last = len(backbone.stages)
    whole = Timm(Preprocess([3, 64, 64]), "test_resnet", features=[last - 1, last], pool="concat").eval()
    alone = Timm(Preprocess([3, 64, 64]), "test_resnet", pool="concat").eval()
    alone.load_state_dict(whole.state_dict())
    with torch.no_grad():
        assert torch.equal(whole(PIXELS)[:, -alone.num_features() :], alone(PIXELS))
    assert CNN(Preprocess([1, 28, 28]), features=[1, 2], pool="avg").num_features() == 32 + 64
    with pytest.raises(ConfigError, match=r"backbone\.features must be stages from 1 to 1, .*CNN keeps, got \[2\]"):
        CNN(Preprocess([1, 28, 28]), keep=1, features=[2])
