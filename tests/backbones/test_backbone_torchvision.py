import copy
import functools
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.transforms.v2 import functional as F

from graft.backbones.backbone import VGG16
from graft.backbones.backbone_torchvision import Torchvision
from graft.data.preprocess import InputSpec, Preprocess
from graft.errors import GraftError
from graft.model.weight_values import checked
from graft.training.source import ImageNet

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


OLD = "resnet|googlenet|inception|densenet|vgg.*_bn"  # published before PyTorch 0.4.1, without num_batches_tracked


def publish(network: nn.Module, model: str) -> dict[str, torch.Tensor]:
    """Return random weights under the names of torchvision's published files."""
    numbers = torch.Generator().manual_seed(0)
    weights = network.state_dict()
    for name, value in weights.items():
        if value.is_floating_point():  # no zero bias or unit scale hides a part that is missing
            spread = 0.5 * value.std().nan_to_num() + 0.01
            value += spread * torch.randn(value.shape, generator=numbers)
            weights[name] = value.abs() if name.endswith("running_var") else value
    return renamed(weights, model)


def renamed(weights: dict[str, torch.Tensor], model: str) -> dict[str, torch.Tensor]:
    if re.match(OLD, model):
        weights = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    if model.startswith("densenet"):
        old = re.compile(r"(denselayer\d+\.(?:norm|conv))([12])")
        return {old.sub(r"\1.\2", name): value for name, value in weights.items()}
    if model.startswith("vit"):
        old_names = [name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2.") for name in weights]
        return dict(zip(old_names, weights.values(), strict=True))
    return weights


FAMILIES = {  # the smallest network of each, and the module whose input are its features
    "alexnet": "avgpool", "convnext_tiny": "classifier.2", "densenet121": "classifier", "efficientnet_b0": "classifier",
    "efficientnet_v2_s": "classifier", "googlenet": "dropout", "inception_v3": "dropout", "maxvit_t": "classifier",
    "mnasnet0_5": "classifier", "mobilenet_v2": "classifier", "mobilenet_v3_small": "classifier",
    "regnet_x_400mf": "fc", "regnet_y_400mf": "fc", "resnet18": "fc", "resnext50_32x4d": "fc",
    "shufflenet_v2_x0_5": "fc", "squeezenet1_1": "classifier", "swin_t": "head", "swin_v2_t": "head",
    "vgg11": "avgpool", "vgg11_bn": "avgpool", "vit_b_32": "heads", "wide_resnet50_2": "fc",
}  # fmt: skip
# Some weights are of other families' images or sizes than a network's first.
PUBLISHED = [(model, "DEFAULT") for model in FAMILIES]
PUBLISHED += [
    ("vit_b_16", "IMAGENET1K_V1"),
    ("vit_b_16", "IMAGENET1K_SWAG_E2E_V1"),
    ("regnet_y_400mf", "IMAGENET1K_V1"),
]


def compare(model: str, weights: str, layer: str, size: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load published weights, in torchvision and here, and compare the features of one image."""
    entry = models.get_model_weights(model)[weights]
    auxiliary = {"init_weights": False} if model in ("googlenet", "inception_v3") else {}
    larger = {"image_size": entry.transforms().crop_size[0]} if model.startswith("vit") else {}
    published = publish(models.get_model(model, weights=None, **auxiliary, **larger), model)
    monkeypatch.setattr(type(entry), "get_state_dict", lambda self, **_: copy.copy(published))
    theirs = models.get_model(model, weights=entry).eval()

    trained = Torchvision.published(weights, model).trained_on()
    preprocess = InputSpec(size=size, trained=trained).preprocess([3, 64, 64])
    source = ImageNet(weights)
    make = functools.partial(Torchvision, preprocess, model)
    found = source.weights(make, None, None, Path())  # type: ignore[arg-type]
    backbone = make().eval()
    assert found is not None
    backbone.load_state_dict(found)

    pixels = torch.randint(0, 256, (1, 3, *preprocess.output_shape[1:]), dtype=torch.uint8)
    transforms = entry.transforms()
    normalized = F.normalize(pixels / 255, transforms.mean, transforms.std)
    seen = []
    theirs.get_submodule(layer).register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        theirs(normalized)
        features = backbone(pixels)
    expected = seen[0].mean((2, 3)) if seen[0].dim() == 4 and seen[0].shape[2] > 1 else seen[0].flatten(1)
    assert features.std() > 0
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


QUICK = [
    "densenet121",
    "googlenet",
    "mnasnet0_5",
    "mobilenet_v3_small",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
]


@pytest.mark.slow
@pytest.mark.parametrize("model", QUICK)
def test_published_weights_give_torchvision_s_features(model: str, monkeypatch: pytest.MonkeyPatch):
    compare(model, "DEFAULT", FAMILIES[model], 64, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "weights"), PUBLISHED)
def test_published_weights_of_every_family_give_torchvision_s_features_at_their_own_size(
    model: str, weights: str, monkeypatch: pytest.MonkeyPatch
):
    compare(model, weights, FAMILIES.get(model, "heads"), None, monkeypatch)


@pytest.mark.slow
def test_published_names_of_every_network_are_its_weights():
    names = [name for name in models.list_models(module=models) if not name.startswith("regnet")]  # none on meta
    for model in names:
        for entry in models.get_model_weights(model):
            size = entry.transforms().crop_size[0]
            auxiliary = {"init_weights": False} if model in ("googlenet", "inception_v3") else {}
            larger = {"image_size": size} if model.startswith("vit") else {}
            with torch.device("meta"):
                published = renamed(models.get_model(model, weights=None, **auxiliary, **larger).state_dict(), model)
                backbone = Torchvision(Preprocess([3, size, size]), model)
                found = backbone.convert_state_dict(published)
            expected = backbone.state_dict()
            missing = {name for name in expected.keys() - found.keys() if not name.endswith("num_batches_tracked")}
            assert missing == set(), model
            assert found.keys() <= expected.keys(), model
            assert all(value.shape == expected[name].shape for name, value in found.items()), model


def test_vgg16_s_published_features_have_no_classifier():
    """torchvision's file has NaN where the classifier would be."""
    network = VGG16(Preprocess([3, 32, 32]))
    weights = {f"features.{name.split('.', 2)[2]}": value for name, value in network.state_dict().items()}
    weights["classifier.0.weight"] = torch.full([4096, 9], torch.nan)
    found = checked(network.convert_state_dict(weights), network.state_dict(), "the file", "vgg16")
    assert all(value.isfinite().all() for value in found.values())


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
        backbone = Torchvision(Preprocess([3, 32, 32]), "regnet_x_400mf").eval()
    assert len(backbone.stages) == 1
    assert "RegNet is not split into stages" in caplog.text
    assert isinstance(backbone.stages[0].fc, nn.Identity)
    assert backbone.num_features() == 400


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
