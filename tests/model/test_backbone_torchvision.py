import re
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision import models

from graft.data.preprocess import Preprocess
from graft.errors import GraftError
from graft.model.backbone_torchvision import Torchvision

CUT = [  # the network, its size of images here, stages, features, and the module that makes them in torchvision
    ("resnet18", 32, 5, 512, "avgpool"),
    ("efficientnet_b0", 32, 5, 1280, "avgpool"),
    ("mobilenet_v3_small", 32, 5, 576, "avgpool"),
    ("mobilenet_v3_large", 32, 5, 960, "avgpool"),
    ("convnext_tiny", 32, 4, 768, "classifier.0"),
    ("swin_t", 32, 4, 768, "flatten"),
    ("vit_b_16", 224, 5, 768, "encoder"),
]


@pytest.mark.parametrize(
    ("model", "size", "stages", "features", "last"),
    [pytest.param(*row, marks=pytest.mark.slow if "_b" in row[0] or "tiny" in row[0] else ()) for row in CUT],
)
def test_features_are_torchvision_s(model: str, size: int, stages: int, features: int, last: str):
    theirs = models.get_model(model, weights=None).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():  # no zero hides a part that is missing
            parameter.add_(torch.rand_like(parameter), alpha=0.01)
    backbone = Torchvision(Preprocess([3, size, size]), model).eval()
    backbone.load_state_dict(backbone.convert_state_dict(theirs.state_dict()))
    pixels = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    seen = []
    theirs.get_submodule(last).register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        theirs(pixels / 255)
        expected = seen[0][:, 0] if model.startswith("vit") else seen[0].flatten(1)
        assert torch.equal(backbone(pixels), expected)
    assert len(backbone.stages) == stages
    assert backbone.num_features() == expected.shape[1] == features


def test_resnet_s_stages_are_its_stem_and_layers():
    backbone = Torchvision(Preprocess([1, 64, 64]), "resnet18")
    assert [next(iter(dict(stage.named_children()))) for stage in backbone.stages] == [
        "conv1", "layer1", "layer2", "layer3", "layer4",
    ]  # fmt: skip
    for keep, features in [(1, 64), (2, 64), (3, 128)]:
        assert Torchvision(Preprocess([1, 64, 64]), "resnet18", keep).num_features() == features
    assert backbone.output_shape(3) == (128, 8, 8)
    assert backbone.output_shape(5) == (512,)


def test_a_family_that_is_not_cut_is_one_stage_and_says_so(caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO", "graft"):
        backbone = Torchvision(Preprocess([3, 32, 32]), "mnasnet0_5").eval()
    assert len(backbone.stages) == 1
    assert "MNASNet is not split into stages" in caplog.text
    assert isinstance(backbone.stages[0].classifier, nn.Identity)
    assert backbone.num_features() == 1280


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Torchvision(Preprocess([3, 9, 9]), "resnet81"), "got resnet81; try backbone.model=resnet18"),
        (lambda: Torchvision.published("V1", "resnet81"), "got resnet81; try backbone.model=resnet18"),
        (
            lambda: Torchvision.published("V3", "resnet18"),
            "source.weights must be one of IMAGENET1K_V1, DEFAULT, got V3; try source.weights=IMAGENET1K_V1",
        ),
        (
            lambda: Torchvision(Preprocess([3, 9, 9]), "resnet18", keep=6),
            "backbone.keep must be from 0 to 5, the stages of resnet18, got 6",
        ),
    ],
)
def test_refusals(make: Callable, message: str):
    with pytest.raises(GraftError, match=re.escape(message)):
        make()


@pytest.mark.parametrize("size", [32, 225, 256])
def test_a_vit_takes_one_size(size: int):
    backbone = Torchvision(Preprocess([3, size, size]), "vit_b_16")
    with pytest.raises(GraftError, match=f"vit_b_16 .* takes images of 224x224 pixels, got {size}x{size}; try dataset"):
        backbone.num_features()


def test_published_weights_tell_their_pixels():
    trained = Torchvision.published("DEFAULT", "efficientnet_b0").trained_on()
    assert (trained.size, trained.interpolation) == (224, "bicubic")
