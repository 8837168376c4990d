from collections.abc import Callable

import pytest
import torch
from omegaconf import DictConfig
from torch import nn
from torch.nn import functional

from graft.backbones.own_backbone import checked_backbone
from graft.backbones.staged import Backbone
from graft.data.preprocess import Preprocess
from graft.errors import GraftError
from graft.run.make_plan import make_plan

IMAGE = (1, 28, 28)


class Last(nn.Module):
    def __init__(self, function: Callable):
        super().__init__()
        self.function = function

    def forward(self, maps: torch.Tensor) -> object:
        return self.function(maps)


class Net(Backbone):
    def __init__(self, preprocess: Preprocess, function: Callable, keep: int | None = None):
        super().__init__(preprocess, [nn.Conv2d(1, 4, 3, stride=3), Last(function)], keep)


ANOTHER = "Net gives an image other features each time, beside other images, or in another copy with the same weights"
ON_META = 'Net fails on PyTorch\'s device "meta"'


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda maps: maps + torch.randn_like(maps), ANOTHER),
        (functional.dropout, ANOTHER),
        (lambda maps: maps - maps.mean(0), ANOTHER),
        (lambda maps: maps.flip(0), ANOTHER),
        (lambda maps: (maps, maps), r"Net fails on images of 1x28x28 \(AttributeError: 'tuple' .*one tensor from each"),
        (lambda maps: maps[:, :0], r"Net gives float32 of the shape \(2, 0\) for 2 images; expected"),
        (lambda maps: maps.double(), r"Net gives float64 of the shape \(2, 324\) for 2 images"),
        (lambda maps: maps.mean(0), r"Net gives float32 of the shape \(4, 81\) for 2 images"),
        (lambda maps: maps / maps.max() if maps.max() > 1 else maps, ON_META),
        (lambda maps: torch.from_numpy(maps.numpy()), ON_META),
    ],
)
def test_a_backbone_without_features_of_each_image_alone_is_refused(function: Callable, message: str):
    with pytest.raises(GraftError, match=message):
        checked_backbone(lambda: Net(Preprocess(IMAGE), function), IMAGE)


@pytest.mark.parametrize("function", [torch.relu, lambda maps: maps * float("nan"), lambda maps: 0 * maps])
def test_other_backbones_stay_as_they_are(function: Callable):
    torch.manual_seed(0)
    backbone, state = Net(Preprocess(IMAGE), function), torch.get_rng_state()
    assert checked_backbone(lambda: backbone, IMAGE) is backbone
    assert backbone.training
    assert torch.equal(torch.get_rng_state(), state)


class Drawn(nn.Module):
    """Multiplies by a random number of its own."""

    def __init__(self, saved: bool):
        super().__init__()
        self.register_buffer("scale", torch.rand(4, 1, 1), persistent=saved)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps * self.scale  # type: ignore[operator]


def test_random_numbers_that_no_file_of_weights_has_are_refused():
    """The backbone that is pre-trained, or that predicts, would have others."""
    checked_backbone(lambda: Net(Preprocess(IMAGE), Drawn(saved=True)), IMAGE)
    with pytest.raises(GraftError, match=ANOTHER):
        checked_backbone(lambda: Net(Preprocess(IMAGE), Drawn(saved=False)), IMAGE)


def test_a_parameter_that_is_not_to_train_is_refused():
    with pytest.raises(
        GraftError, match=r"Net has parameters that are not to train \(stages\.0\.weight, stages\.0\.bias\)"
    ):
        checked_backbone(lambda: Net(Preprocess(IMAGE), torch.relu).requires_grad_(False), IMAGE)


def test_what_cannot_be_built_is_told_with_its_line():
    with pytest.raises(
        GraftError, match=r"cannot be built \(TypeError: .*missing .*'function' in .*test_own_backbone\.py, line"
    ):
        checked_backbone(lambda: Net(Preprocess(IMAGE)), IMAGE)  # type: ignore[call-arg]


def test_it_is_refused_before_training(configure: Callable[..., DictConfig], edit: Callable[[str], None]):
    edit(
        "import torch\nfrom graft.backbones.staged import Backbone\nclass Noise(torch.nn.Module):\n"
        "  def forward(self, maps):\n    return maps + torch.randn_like(maps)\nclass Net(Backbone):\n"
        "  def __init__(self, preprocess, keep=None):\n    super().__init__(preprocess, [Noise()], keep)\n"
    )
    words = ("backbone._target_=ours.Net", "~backbone.activation", "+backbone.keep=null")
    with pytest.raises(GraftError, match=ANOTHER):
        make_plan(configure(*words, "source=scratch"))
