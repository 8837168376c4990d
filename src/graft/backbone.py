"""Backbones: an ordered list of stages, of which a transfer keeps, freezes and thaws some."""

import copy
from collections import OrderedDict
from collections.abc import Mapping
from enum import EnumType
from itertools import pairwise

import torch
from torch import nn
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import cfgs, make_layers

from graft.errors import GraftError
from graft.layer import activation as make_activation
from graft.layer import conv
from graft.preprocess import Preprocess

Weights = dict[str, torch.Tensor]


class Backbone(nn.Module):
    """Preprocessing, stages and a pooling that ends in features.

    Images, bytes (batch, channels, height, width), become features, (batch, features).

    Args:
        preprocess: what fits the images to the first stage.
        stages: the network, cut where keeping, freezing and thawing may begin or end.
        keep: how many leading stages stay; None keeps all of them.
        pool: `flatten`, or `average` over height and width.

    Attributes:
        published: torchvision's enumeration of published weights, if there are any.
        prefix: what those weights' names begin with where ours begin with `stages.N.`
        head: what the names of their own head begin with.

    Raises:
        GraftError: `keep` exceeds the number of stages, or the images are too small for those that stay.
    """

    published: EnumType | None = None
    prefix = ""
    head = ""

    def __init__(self, preprocess: Preprocess, stages: list[nn.Module], keep: int | None = None, pool: str = "flatten"):
        super().__init__()
        if keep is not None and not 0 <= keep <= len(stages):
            raise GraftError(
                f"backbone.keep must be from 0 to {len(stages)}, the stages of {type(self).__name__}, got {keep}"
            )
        self.keep = len(stages) if keep is None else keep
        self.preprocess = preprocess
        self.stages = nn.ModuleList(stages)
        self.pool = nn.Flatten() if pool == "flatten" else nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return nn.Sequential(*self.split(0))(pixels)

    def split(self, frozen: int) -> tuple[nn.Sequential, nn.Sequential]:
        """Cut the kept stages in two: preprocessing with the first `frozen` stages, and the rest.

        Where nothing is left to train, the pooling joins the first part, so that what is stored is small.
        """
        stages = {f"stage{number}": stage for number, stage in enumerate(self.stages[: self.keep], start=1)}
        names = list(stages)
        front = {"preprocess": self.preprocess} | {name: stages[name] for name in names[:frozen]}
        rest = {name: stages[name] for name in names[frozen:]}
        (rest if rest else front)["pool"] = self.pool
        return nn.Sequential(OrderedDict(front)), nn.Sequential(OrderedDict(rest))

    def num_features(self) -> int:
        """Return the length of the features.

        Raises:
            GraftError: the images are smaller than the kept stages take.
        """
        channels, height, width = self.preprocess.fitted
        network = nn.Sequential(*copy.deepcopy(self.stages[: self.keep]), self.pool).to("meta").eval()

        def features(height: int, width: int) -> int | None:
            try:
                with torch.no_grad():
                    return network(torch.empty(1, channels, height, width, device="meta")).shape[1]
            except RuntimeError:  # a convolution or a maximum had nothing left to work on
                return None

        found = features(height, width)
        if found is None:
            smallest = min(height, width)
            needed = next(size for size in range(smallest, smallest + 1024) if features(size, size))
            raise GraftError(
                f"{type(self).__name__} with {self.keep} stages takes images from {needed}x{needed} pixels up, got "
                f"{height}x{width}; try dataset.size={needed}, or dataset.pad={(needed - smallest + 1) // 2}"
            )
        return found

    def own_names(self, weights: Mapping[str, torch.Tensor]) -> Weights:
        """Return weights under this backbone's names where they bear those of its published ones, without a head."""
        if self.published is None:
            return dict(weights)
        ours = {self.prefix + name.split(".", 2)[2]: name for name in self.state_dict()}
        return {ours.get(name, name): value for name, value in weights.items() if not name.startswith(self.head)}


class CNN(Backbone):
    """The lecture's network for digits: two stages of a 3x3 convolution and a 2x2 maximum.

    A 28x28 image becomes 1,600 features; 18,816 parameters for one channel.
    """

    def __init__(self, preprocess: Preprocess, activation: str = "relu", keep: int | None = None):
        channels = preprocess.fitted[0]
        super().__init__(preprocess, [_block([channels, 32], activation), _block([32, 64], activation)], keep)


class CNN4(Backbone):
    """The lecture's network for CIFAR-10: two stages of two 3x3 convolutions and a 2x2 maximum.

    A 32x32 image becomes 1,600 features; 65,568 parameters for three channels.
    """

    def __init__(self, preprocess: Preprocess, activation: str = "relu", keep: int | None = None):
        channels = preprocess.fitted[0]
        stages: list[nn.Module] = [_block([channels, 32, 32], activation), _block([32, 64, 64], activation)]
        super().__init__(preprocess, stages, keep)


def _block(channels: list[int], activation: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for in_channels, out_channels in pairwise(channels):
        layers += [conv(in_channels, out_channels, 3), make_activation(activation)]
    return nn.Sequential(*layers, nn.MaxPool2d(2))


class VGG16(Backbone):
    """torchvision's VGG-16 without its dense layers: five stages, each a block that ends in a 2x2 maximum.

    An image becomes 512 features (64, 128, 256, 512 with fewer stages), averaged over its height and width;
    14,714,688 parameters. Without a source it starts as Simonyan and Zisserman's successors do (He et al. 2015).
    """

    published = VGG16_Weights
    prefix = "features."
    head = "classifier."

    def __init__(self, preprocess: Preprocess, keep: int | None = None, pool: str = "average"):
        stages: list[nn.Module] = [nn.Sequential()]
        for name, layer in make_layers(cfgs["D"]).named_children():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            stages[-1].add_module(name, layer)
            if isinstance(layer, nn.MaxPool2d):
                stages.append(nn.Sequential())
        super().__init__(preprocess.rgb(), stages[:-1], keep, pool)
