"""Graft's own backbones, those of the lecture among them, and VGG-16."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import cfgs, make_layers

from graft.backbones.pretrained import NoWeights, PretrainedWeights, TorchvisionWeights
from graft.backbones.staged import Backbone as Backbone
from graft.data.preprocess import Preprocess
from graft.model.layers import MONOTONE, conv
from graft.model.layers import activation as make_activation


class Blocks(Backbone):
    """Stages of 3x3 convolutions that each end in 2x2 max pooling.

    Attributes:
        widths: output channels of each stage's convolutions.
        normed: whether convolutions are padded and followed by batch norm.
    """

    widths: tuple[tuple[int, ...], ...]
    normed = False

    def __init__(
        self,
        preprocess: Preprocess,
        activation: str = "relu",
        keep: int | None = None,
        pool: str | None = None,
        features: Sequence[int] | None = None,
    ):
        inputs = [preprocess.output_shape[0], *(channels[-1] for channels in self.widths)]
        stages = [
            _block([first, *channels], activation, self.normed)
            for first, channels in zip(inputs, self.widths, strict=False)
        ]
        super().__init__(preprocess, stages, keep, pool or "flatten", None, features)


class CNN(Blocks):
    """The lecture's network for digits: two stages of a 3x3 convolution and 2x2 max pooling.

    A 28x28 image becomes 1,600 features; 18,816 parameters for one channel.
    """

    widths = ((32,), (64,))


class CNN4(Blocks):
    """The lecture's network for CIFAR-10: two stages of two 3x3 convolutions and 2x2 max pooling.

    A 32x32 image becomes 1,600 features; 65,568 parameters for three channels.
    """

    widths = ((32, 32), (64, 64))


class CNN5(Blocks):
    """A small network that trains well on its own: five padded 3x3 convolutions with batch norm, in three stages.

    Each stage ends in 2x2 max pooling. A 28x28 image becomes 1,152 features; 139,168 parameters for one channel.
    """

    widths = ((32, 32), (64, 64), (128,))
    normed = True


def _block(channels: list[int], activation: str, normed: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for in_channels, out_channels in pairwise(channels):
        if normed:  # batch norm has its own bias, and makes the scale of the initial weights irrelevant
            layers += [nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels)]
        else:
            layers.append(conv(in_channels, out_channels, 3))
        layers.append(make_activation(activation))
    # The largest value's monotone activation is the largest activation, of a quarter of the values.
    layers.insert(len(layers) - (activation in MONOTONE), nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class Thumbnail(Backbone):
    """A control without weights, which every other backbone has to beat: mean color and an 8x8 thumbnail.

    65 features for each channel of the preprocessed image: its mean, and the means of 8x8 areas.
    """

    @classmethod
    def published(cls, weights: str, model: str | None = None) -> PretrainedWeights:
        return NoWeights()

    def __init__(self, preprocess: Preprocess):
        super().__init__(preprocess, [MeanAndThumbnail()])


class MeanAndThumbnail(nn.Module):
    """Maps images, (batch, channels, height, width), to (batch, 65 x channels): means, then thumbnails."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        parts = (adaptive_avg_pool2d(images, size).flatten(1) for size in (1, 8))
        return torch.cat(list(parts), 1)


class VGG16(Backbone):
    """torchvision's VGG-16 without its dense layers: five stages, each a block that ends in 2x2 max pooling.

    An image becomes 512 features (64, 128, 256, 512 with fewer stages), averaged over its height and width;
    14,714,688 parameters. Random weights are He's (He et al. 2015), as in torchvision.
    """

    prefix = "features."
    head = ("classifier.",)

    @classmethod
    def published(cls, weights: str, model: str | None = None) -> PretrainedWeights:
        return TorchvisionWeights(VGG16_Weights, weights)

    @classmethod
    def published_names(cls, model: str | None = None) -> list[str]:
        return [weights.name for weights in VGG16_Weights]

    def __init__(
        self,
        preprocess: Preprocess,
        keep: int | None = None,
        pool: str | None = "average",
        features: Sequence[int] | None = None,
    ):
        stages: list[nn.Module] = [nn.Sequential()]
        for name, layer in make_layers(cfgs["D"]).named_children():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            stages[-1].add_module(name, layer)
            if isinstance(layer, nn.MaxPool2d):
                stages.append(nn.Sequential())
        super().__init__(preprocess.rgb(), stages[:-1], keep, pool or "average", None, features)
