"""Backbones: an ordered list of stages, of which a transfer keeps, freezes and thaws some."""

from collections import OrderedDict

import torch
from torch import nn

from graft.errors import GraftError
from graft.layer import activation as make_activation
from graft.layer import conv


class UnitPixels(nn.Module):
    """Bytes, 0 to 255, to floats from 0 to 1: all the preprocessing that the lecture's digits get."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.float() / 255


class Backbone(nn.Module):
    """Preprocessing, stages and a pooling that ends in features.

    Images, bytes (batch, channels, height, width), become features, (batch, features).

    Args:
        stages: the network, cut where keeping, freezing and thawing may begin or end.
        keep: how many leading stages stay; None keeps all of them.

    Raises:
        GraftError: `keep` exceeds the number of stages.
    """

    def __init__(self, stages: list[nn.Module], keep: int | None = None):
        super().__init__()
        if keep is not None and not 0 <= keep <= len(stages):
            raise GraftError(
                f"backbone.keep must be from 0 to {len(stages)}, the stages of {type(self).__name__}, got {keep}"
            )
        self.keep = len(stages) if keep is None else keep
        self.preprocess = UnitPixels()
        self.stages = nn.ModuleList(stages)
        self.pool = nn.Flatten()

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


class CNN(Backbone):
    """The lecture's network for digits: two stages of a 3x3 convolution and a 2x2 maximum.

    A 28x28 image becomes 1,600 features; 18,816 parameters for one channel.
    """

    def __init__(self, in_channels: int, activation: str = "relu", keep: int | None = None):
        super().__init__([_block(in_channels, 32, activation), _block(32, 64, activation)], keep)


def _block(in_channels: int, out_channels: int, activation: str) -> nn.Sequential:
    return nn.Sequential(conv(in_channels, out_channels, 3), make_activation(activation), nn.MaxPool2d(2))
