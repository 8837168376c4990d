import copy
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from conftest import ROOT
from torch import nn

from graft.backbones.backbone import CNN, CNN4, CNN5, VGG16, Thumbnail
from graft.config.build import build
from graft.data.loader import Batch
from graft.data.preprocess import Preprocess
from graft.errors import GraftError
from graft.heads.head import Plain
from graft.model.layers import activation as make_activation
from graft.training.transfer import TransferModule
from graft.training.tune import Phase

DIGIT = Preprocess([1, 28, 28])
DIGITS = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)


def test_the_lecture_s_cnn():
    backbone = CNN(DIGIT)
    assert backbone(DIGITS).shape == (3, 1600)
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 18_816


@pytest.mark.parametrize(("keep", "features"), [(0, 784), (1, 5408), (2, 1600), (None, 1600)])
def test_keep_discards_the_last_stages(keep: int | None, features: int):
    assert CNN(DIGIT, keep=keep)(DIGITS).shape == (3, features)


def test_keeping_more_than_there_is_is_refused():
    with pytest.raises(GraftError, match=r"backbone\.keep must be from 0 to 2, the stages of CNN, got 3"):
        CNN(DIGIT, keep=3)


@pytest.mark.parametrize(("keep", "frozen"), [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)])
def test_the_two_parts_of_any_cut_make_the_whole(keep: int, frozen: int):
    backbone = CNN(DIGIT, "tanh", keep)
    front, rest = backbone.split(frozen)
    torch.testing.assert_close(rest(front(DIGITS)), backbone(DIGITS))
    assert (list(rest) == []) == (keep == frozen)
    assert keep != frozen or front(DIGITS).dim() == 2  # with all frozen, what is stored is pooled already


def test_the_lecture_s_network_for_cifar():
    backbone = CNN4(Preprocess([3, 32, 32]), "tanh")
    assert backbone(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)).shape == (2, 1600)
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 65_568
    assert [type(layer).__name__ for layer in backbone.stages[0].children()] == [
        "Conv2d", "Tanh", "Conv2d", "MaxPool2d", "Tanh",
    ]  # fmt: skip


def test_the_network_with_batch_norm():
    backbone = CNN5(DIGIT)
    assert backbone(DIGITS).shape == (3, 1152)
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 139_168
    first = backbone.stages[0][:2].train()  # type: ignore[index]
    normed = first(torch.rand(8, 1, 28, 28))
    torch.testing.assert_close(normed.mean((0, 2, 3)), torch.zeros(32), atol=1e-4, rtol=0)
    assert normed.shape == (8, 32, 28, 28)


@pytest.mark.parametrize(("keep", "features"), [(None, 512), (5, 512), (4, 512), (3, 256), (1, 64)])
@pytest.mark.parametrize("image", [[1, 32, 32], [3, 40, 64]])
def test_vgg16_averages_what_its_last_kept_block_makes(keep: int | None, features: int, image: list[int]):
    backbone = VGG16(Preprocess(image), keep).eval()
    assert backbone.num_features() == features
    assert backbone(torch.zeros(2, *image, dtype=torch.uint8)).shape == (2, features)
    flat = VGG16(Preprocess([3, 64, 64]), keep, pool="flatten")
    assert flat.num_features() == features * (64 // 2**flat.keep) ** 2


def test_vgg16_is_torchvision_s():
    theirs = torchvision.models.vgg16(weights=None, init_weights=False).eval()
    backbone = VGG16(Preprocess([3, 64, 64])).eval()
    backbone.load_state_dict(backbone.convert_state_dict(theirs.state_dict()))
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        expected = theirs.features(pixels / 255).mean((2, 3))
        torch.testing.assert_close(backbone(pixels), expected)


@pytest.mark.parametrize(
    ("backbone", "image", "message"),
    [
        (
            VGG16,
            [1, 28, 28],
            "VGG16 with 5 stages takes images from 32x32 pixels up, got 28x28; try dataset.size=32, or",
        ),
        (VGG16, [3, 100, 20], "from 32x32 pixels up, got 100x20; try dataset.size=32, or dataset.pad=6"),
        (CNN, [1, 9, 9], "CNN with 2 stages takes images from 10x10 pixels up, got 9x9"),
        (CNN4, [3, 8, 8], "CNN4 with 2 stages takes images from 16x16 pixels up, got 8x8"),
    ],
)
def test_too_small_images_are_refused_with_the_size_needed(backbone: type, image: list[int], message: str):
    with pytest.raises(GraftError, match=re.escape(message)):
        backbone(Preprocess(image)).num_features()
    assert VGG16(Preprocess([1, 28, 28]), keep=4).num_features() == 512


BY_NAME = {
    "torchvision": ["resnet34", "efficientnet_v2_s", "mobilenet_v2", "convnext_small", "vit_b_32", "swin_v2_t"],
    "timm": [
        "resnet10t", "efficientnet_b0", "mobilenetv3_small_050", "convnext_atto", "vit_tiny_patch16_224",
        "swin_tiny_patch4_window7_224", "beit_base_patch16_224",
    ],
}  # fmt: skip
FAMILIES = [
    [f"backbone={path.stem}"] for path in (ROOT / "conf" / "backbone").glob("*.yaml") if path.stem not in BY_NAME
]
FAMILIES += [[f"backbone={library}", f"backbone.model={name}"] for library in BY_NAME for name in BY_NAME[library]]


@pytest.mark.slow
@pytest.mark.parametrize("options", FAMILIES, ids=lambda options: options[-1].partition("=")[2])
def test_every_family_takes_a_batch_freezes_at_each_stage_trains_a_step_and_predicts(
    options: list[str], configure: Callable
):
    pytest.importorskip("timm")
    cfg = configure(*options)
    size = 224 if re.search("vit|swin|beit", options[-1]) else 64
    pixels, labels = (
        torch.randint(0, 256, (1, 2, 3, size, size), dtype=torch.uint8),
        torch.tensor([[1, 1]]),
    )  # unlike ones would cancel in a bias
    batch = Batch(pixels, labels, stored=False)
    backbone = build(cfg, "backbone", preprocess=Preprocess([3, size, size]))
    num_features = backbone.num_features()
    for frozen in range(backbone.keep + 1):
        front, rest = copy.deepcopy(backbone).split(frozen)
        network = nn.Sequential(rest, Plain(num_features, 2))
        transfer = TransferModule(front, [network], Phase(0, optimizer=torch.optim.SGD)).train()
        optimizer = torch.optim.SGD(transfer.stack.parameters(), lr=0.1)
        before = {name: value.clone() for name, value in front.state_dict().items()}
        start = [parameter.clone() for parameter in network.parameters()]
        assert front.eval()(pixels[0]).shape[1:] == backbone.output_shape(frozen)
        nn.functional.cross_entropy(transfer(batch)[0], labels[0]).backward()
        optimizer.step()
        assert any(not torch.equal(old, new) for old, new in zip(start, network.parameters(), strict=True))
        assert all(torch.equal(value, before[name]) for name, value in front.state_dict().items())
        with torch.no_grad():
            predicted = transfer.eval()(batch).softmax(-1)
        assert predicted.shape == (1, 2, 2)
        assert predicted.isfinite().all()


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "gelu"])
def test_a_block_pools_activations_whichever_it_computes_first(activation: str):
    block = CNN(DIGIT, activation).stages[0]
    conv, x = next(module for module in block.modules() if isinstance(module, nn.Conv2d)), torch.rand(3, 1, 28, 28)
    expected = nn.functional.max_pool2d(make_activation(activation)(conv(x)), 2)
    torch.testing.assert_close(block(x), expected)
    weights = torch.rand_like(expected)
    (grad,) = torch.autograd.grad((block(x) * weights).sum(), conv.weight)
    torch.testing.assert_close(grad, torch.autograd.grad((expected * weights).sum(), conv.weight)[0])


def test_a_thumbnail_has_means_of_areas_and_no_weights():
    backbone = Thumbnail(Preprocess([3, 16, 24]))
    images = torch.randint(0, 256, (2, 3, 16, 24))
    areas = (images / 255).reshape(2, 3, 8, 2, 8, 3).mean((3, 5))
    expected = torch.cat([areas.mean((2, 3)), areas.flatten(1)], 1)
    assert torch.allclose(backbone(images.byte()), expected, atol=1e-6)
    assert backbone.num_features() == 195
    assert not backbone.state_dict()
    assert Thumbnail(Preprocess([1, 5, 5])).num_features() == 65  # smaller than the thumbnail


@pytest.mark.parametrize(
    "words",
    [
        ("source=scratch", "head=ridge"),
        ("source=imagenet", "head=ridge"),
        ("source=big", "head=ridge"),
        ("source=scratch", "tune=full", "epochs=1"),
    ],
)
def test_a_thumbnail_runs_from_any_source(run: Callable[..., dict], tmp_path: Path, words: tuple[str, ...]):
    result = run("backbone=thumbnail", "trials=2", "dataset.test_per_class=10", *words)
    assert result["parameters"]["frozen"] == 0
    assert result["backbone"]["gflops"] == 0
    assert not list(tmp_path.rglob("pretrained/*"))
    assert result["accuracy"]["mean"] > 0.1
