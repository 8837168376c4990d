"""Backbones: an ordered list of stages; a transfer keeps the leading ones, and freezes or unfreezes each of them."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import nn
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import cfgs, make_layers

from graft.data.preprocess import Preprocess
from graft.errors import ConfigError, Fault, GraftError
from graft.model.layers import Average, conv
from graft.model.layers import activation as make_activation
from graft.model.pretrained import PretrainedWeights, TorchvisionWeights
from graft.model.stages import HalfPrecision, Weights, on_meta, output_shape
from graft.model.weight_names import Wanted, choose, unwrapped


class Backbone(nn.Module):
    """Preprocessing, stages and a pooling that ends in features.

    Images, bytes (batch, channels, height, width), become features, (batch, features).

    Args:
        preprocess: prepares the images for the first stage.
        stages: the network's parts, in order; each is kept, frozen or unfrozen as a whole.
        keep: how many leading stages stay; None: all.
        pool: maps the last kept stage's output to features: `flatten`, `average` over positions, or a module.
        model: the network's name in its library.

    Attributes:
        prefix: the library's prefix of weights' names, in place of our `stages.N.`
        head: prefixes of the names of the library's own head.
        default_input_size: height and width of the images that the network was designed for; it may take no others.
        half_frozen: whether stages that are frozen compute in bfloat16.

    Raises:
        ConfigError: `keep` exceeds the number of stages.
    """

    prefix = ""
    head: tuple[str, ...] = ()
    default_input_size: int | None = None
    half_frozen = False

    def __init__(
        self,
        preprocess: Preprocess,
        stages: Sequence[nn.Module],
        keep: int | None = None,
        pool: str | nn.Module = "flatten",
        model: str | None = None,
    ):
        super().__init__()
        self.model = model
        if keep is not None and not 0 <= keep <= len(stages):
            expected = f"from 0 to {len(stages)}, the stages of {self.label}"
            raise ConfigError([Fault("backbone.keep", keep, expected, f"backbone.keep={len(stages)}")])
        self.keep = len(stages) if keep is None else keep
        self.preprocess = preprocess
        self.stages = nn.ModuleList(stages)
        self.pool = pool if isinstance(pool, nn.Module) else nn.Flatten() if pool == "flatten" else Average()

    @property
    def label(self) -> str:
        """The network's name in messages."""
        return self.model or type(self).__name__

    @classmethod
    def published(cls, weights: str, model: str | None = None) -> PretrainedWeights:
        """Return the published weights of this name for this network.

        Raises:
            GraftError: there are none.
        """
        raise GraftError(f"{cls.__name__} has no published weights; try source=big, or backbone=vgg16")

    @classmethod
    def published_names(cls, model: str | None = None) -> list[str]:
        """Return the names of the published weights for this network."""
        return []

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return nn.Sequential(*self.split(0))(pixels)

    def split(self, num_frozen: int) -> tuple[nn.Sequential, nn.Sequential]:
        """Split the kept stages: preprocessing with the first `num_frozen` stages, and the other stages.

        Pooling ends the second part; if that has no stages, it ends the first, so that stored features are small.
        """
        stages = {f"stage{number}": stage for number, stage in enumerate(self.stages[: self.keep], start=1)}
        names = list(stages)
        frozen = {"preprocess": self.preprocess} | {name: stages[name] for name in names[:num_frozen]}
        rest = {name: stages[name] for name in names[num_frozen:]}
        (rest if rest else frozen)["pool"] = self.pool
        front = HalfPrecision if self.half_frozen and num_frozen else nn.Sequential
        return front(OrderedDict(frozen)), nn.Sequential(OrderedDict(rest))

    def output_shape(self, num_frozen: int) -> tuple[int, ...]:
        """Return the shape of one image's output of the first `num_frozen` stages."""
        stages = list(self.stages[:num_frozen])
        if num_frozen == self.keep:
            stages.append(self.pool)
        return output_shape(on_meta(stages), self.preprocess.output_shape)

    def num_features(self) -> int:
        """Return the length of the features.

        Raises:
            GraftError: the kept stages take images of other sizes.
        """
        network = on_meta([*self.stages[: self.keep], self.pool])
        try:
            return output_shape(network, self.preprocess.output_shape)[0]
        except (RuntimeError, AssertionError):  # the maps became empty, or a library checks the size
            raise GraftError(self._expected_size(network)) from None

    def _expected_size(self, network: nn.Module) -> str:
        """Say which images the network takes instead of those that it gets."""
        channels, height, width = self.preprocess.output_shape

        def takes(side: int) -> bool:
            try:
                return bool(output_shape(network, (channels, side, side)))
            except (RuntimeError, AssertionError):
                return False

        taken, size = f"{self.label} with {self.keep} stages takes images", self.default_input_size
        if size and takes(size) and not takes(2 * size):
            return f"{taken} of {size}x{size} pixels, got {height}x{width}; try dataset.size={size}"
        shorter = min(height, width)
        smallest = next((side for side in range(shorter, shorter + 1024) if takes(side)), None)
        if smallest is None:
            return f"{taken} of other sizes than {height}x{width}; try dataset.size={size or 224}"
        return (
            f"{taken} from {smallest}x{smallest} pixels up, got {height}x{width}; "
            f"try dataset.size={smallest}, or dataset.pad={(smallest - shorter + 1) // 2}"
        )

    def convert_state_dict(self, weights: Mapping[str, torch.Tensor], prefix: str | None = None) -> Weights:
        """Return weights under this backbone's names, without a head.

        Args:
            weights: under this backbone's own names or its library's, after any prefix: a training script that holds
                the network as `self.model` writes `model.conv1.weight`, and may write other weights.
            prefix: the prefix, if the weights of several networks have these names.

        Raises:
            ConfigError: the weights are several networks', or no name has the prefix.
        """
        own = self.state_dict()
        to_own = {self.prefix + name.split(".", 2)[2]: name for name in own}
        # Two stages of ours may have the same names inside; a library's network has each name once.
        namings = [dict(zip(own, own, strict=True)), *([to_own] if len(to_own) == len(own) else [])]
        return choose(unwrapped(weights), Wanted(self.label, own, namings, self.head), prefix)


class CNN(Backbone):
    """The lecture's network for digits: two stages of a 3x3 convolution and 2x2 max pooling.

    A 28x28 image becomes 1,600 features; 18,816 parameters for one channel.
    """

    def __init__(self, preprocess: Preprocess, activation: str = "relu", keep: int | None = None):
        channels = preprocess.output_shape[0]
        super().__init__(preprocess, [_block([channels, 32], activation), _block([32, 64], activation)], keep)


class CNN4(Backbone):
    """The lecture's network for CIFAR-10: two stages of two 3x3 convolutions and 2x2 max pooling.

    A 32x32 image becomes 1,600 features; 65,568 parameters for three channels.
    """

    def __init__(self, preprocess: Preprocess, activation: str = "relu", keep: int | None = None):
        channels = preprocess.output_shape[0]
        stages: list[nn.Module] = [_block([channels, 32, 32], activation), _block([32, 64, 64], activation)]
        super().__init__(preprocess, stages, keep)


class CNN5(Backbone):
    """A small network that trains well on its own: five padded 3x3 convolutions with batch norm, in three stages.

    Each stage ends in 2x2 max pooling. A 28x28 image becomes 1,152 features; 139,168 parameters for one channel.
    """

    def __init__(self, preprocess: Preprocess, activation: str = "relu", keep: int | None = None):
        widths = [preprocess.output_shape[0], 32, 32], [32, 64, 64], [64, 128]
        super().__init__(preprocess, [_block(channels, activation, normed=True) for channels in widths], keep)


def _block(channels: list[int], activation: str, normed: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for in_channels, out_channels in pairwise(channels):
        if normed:  # batch norm has its own bias, and makes the scale of the initial weights irrelevant
            layers += [nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels)]
        else:
            layers.append(conv(in_channels, out_channels, 3))
        layers.append(make_activation(activation))
    return nn.Sequential(*layers, nn.MaxPool2d(2))


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
