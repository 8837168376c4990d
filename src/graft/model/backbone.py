"""Backbones: an ordered list of stages, of which a transfer keeps, freezes and thaws some."""

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import nn
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import cfgs, make_layers

from graft.data.preprocess import Preprocess
from graft.errors import GraftError
from graft.model.layers import activation as make_activation
from graft.model.layers import conv
from graft.model.pretrained import PretrainedWeights, TorchvisionWeights
from graft.model.stages import Weights
from graft.model.stages import prefix as prefix_of


class Average(nn.Module):
    """Averages what a stage makes over its positions, (batch, ..., channels or features) to (batch, features).

    Maps, (batch, channels, height, width), and tokens, (batch, tokens, features); what has no positions is left.

    Args:
        channels_last: whether maps are (batch, height, width, channels).
    """

    def __init__(self, channels_last: bool = False):
        super().__init__()
        self.channels_last = channels_last

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if inputs.dim() == 4 and not self.channels_last:
            return nn.functional.adaptive_avg_pool2d(inputs, 1).flatten(1)
        return inputs.flatten(1, -2).mean(1) if inputs.dim() > 2 else inputs

    def extra_repr(self) -> str:
        return f"channels_last={self.channels_last}"


class Backbone(nn.Module):
    """Preprocessing, stages and a pooling that ends in features.

    Images, bytes (batch, channels, height, width), become features, (batch, features).

    Args:
        preprocess: what fits the images to the first stage.
        stages: the network, cut where keeping, freezing and thawing may begin or end.
        keep: how many leading stages stay; None keeps all of them.
        pool: what makes features of the last kept stage's output: `flatten`, `average` over its positions, or a
            module of its own.
        model: the network's name in its library.

    Attributes:
        prefix: what a library's names of weights begin with where ours begin with `stages.N.`
        head: what the names of the library's own head begin with.
        default_input_size: height and width of the images that the network was made for, where it may take no others.

    Raises:
        GraftError: `keep` exceeds the number of stages.
    """

    prefix = ""
    head: tuple[str, ...] = ()
    default_input_size: int | None = None

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
            raise GraftError(f"backbone.keep must be from 0 to {len(stages)}, the stages of {self.label}, got {keep}")
        self.keep = len(stages) if keep is None else keep
        self.preprocess = preprocess
        self.stages = nn.ModuleList(stages)
        self.pool = pool if isinstance(pool, nn.Module) else nn.Flatten() if pool == "flatten" else Average()

    @property
    def label(self) -> str:
        """The network's name, as messages say it."""
        return self.model or type(self).__name__

    @classmethod
    def published(cls, weights: str, model: str | None = None) -> PretrainedWeights:
        """Return the published weights of this name for this network.

        Raises:
            GraftError: there are none.
        """
        raise GraftError(f"{cls.__name__} has no published weights; try source=big, or backbone=vgg16")

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

    def output_shape(self, frozen: int) -> tuple[int, ...]:
        """Return the shape of what the first `frozen` stages make of one image."""
        front = copy.deepcopy(self.stages[:frozen])
        if frozen == self.keep:
            front.append(copy.deepcopy(self.pool))
        with torch.device("meta"), torch.no_grad():
            return tuple(
                nn.Sequential(*front).to("meta").eval()(torch.empty(1, *self.preprocess.output_shape)).shape[1:]
            )

    def num_features(self) -> int:
        """Return the length of the features.

        Raises:
            GraftError: the images are smaller than the kept stages take, or of another size than the only one.
        """
        channels, height, width = self.preprocess.output_shape
        network = nn.Sequential(*copy.deepcopy(self.stages[: self.keep]), copy.deepcopy(self.pool)).to("meta").eval()

        def features(height: int, width: int) -> int | None:
            try:
                with torch.device("meta"), torch.no_grad():
                    return network(torch.empty(1, channels, height, width)).shape[1]
            except (RuntimeError, AssertionError):  # nothing was left to work on, or a library knows its size
                return None

        found = features(height, width)
        if found is not None:
            return found
        taken = f"{self.label} with {self.keep} stages takes images"
        default_input_size = self.default_input_size
        if (
            default_input_size
            and features(default_input_size, default_input_size)
            and not features(2 * default_input_size, 2 * default_input_size)
        ):
            raise GraftError(
                f"{taken} of {default_input_size}x{default_input_size} pixels, got {height}x{width}; "
                f"try dataset.size={default_input_size}"
            )
        smallest = min(height, width)
        needed = next((size for size in range(smallest, smallest + 1024) if features(size, size)), None)
        if needed is None:
            raise GraftError(
                f"{taken} of other sizes than {height}x{width}; try dataset.size={default_input_size or 224}"
            )
        raise GraftError(
            f"{taken} from {needed}x{needed} pixels up, got "
            f"{height}x{width}; try dataset.size={needed}, or dataset.pad={(needed - smallest + 1) // 2}"
        )

    def convert_state_dict(self, weights: Mapping[str, torch.Tensor]) -> Weights:
        """Return weights under this backbone's names, without a head.

        Args:
            weights: under this backbone's own names, or its library's, after any prefix: a training script that holds
                the network as `self.model` writes `model.conv1.weight`, beside what else it holds.
        """
        own = self.state_dict()
        ours = {self.prefix + name.split(".", 2)[2]: name for name in own}
        before = prefix_of(weights, own.keys() | ours.keys())
        named = {name.removeprefix(before): value for name, value in weights.items() if name.startswith(before)}
        kept = {name: value for name, value in named.items() if not name.startswith(self.head)}
        return {ours.get(name, name): value for name, value in kept.items()}


class CNN(Backbone):
    """The lecture's network for digits: two stages of a 3x3 convolution and a 2x2 maximum.

    A 28x28 image becomes 1,600 features; 18,816 parameters for one channel.
    """

    def __init__(self, preprocess: Preprocess, activation: str = "relu", keep: int | None = None):
        channels = preprocess.output_shape[0]
        super().__init__(preprocess, [_block([channels, 32], activation), _block([32, 64], activation)], keep)


class CNN4(Backbone):
    """The lecture's network for CIFAR-10: two stages of two 3x3 convolutions and a 2x2 maximum.

    A 32x32 image becomes 1,600 features; 65,568 parameters for three channels.
    """

    def __init__(self, preprocess: Preprocess, activation: str = "relu", keep: int | None = None):
        channels = preprocess.output_shape[0]
        stages: list[nn.Module] = [_block([channels, 32, 32], activation), _block([32, 64, 64], activation)]
        super().__init__(preprocess, stages, keep)


class CNN5(Backbone):
    """A small network that trains well on its own: five padded 3x3 convolutions with batch norm, in three stages.

    Each stage ends in a 2x2 maximum. A 28x28 image becomes 1,152 features; 139,168 parameters for one channel.
    """

    def __init__(self, preprocess: Preprocess, activation: str = "relu", keep: int | None = None):
        widths = [preprocess.output_shape[0], 32, 32], [32, 64, 64], [64, 128]
        super().__init__(preprocess, [_block(channels, activation, normed=True) for channels in widths], keep)


def _block(channels: list[int], activation: str, normed: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for in_channels, out_channels in pairwise(channels):
        if normed:  # batch norm has a bias of its own, and makes the weights' scale and start unimportant
            layers += [nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels)]
        else:
            layers.append(conv(in_channels, out_channels, 3))
        layers.append(make_activation(activation))
    return nn.Sequential(*layers, nn.MaxPool2d(2))


class VGG16(Backbone):
    """torchvision's VGG-16 without its dense layers: five stages, each a block that ends in a 2x2 maximum.

    An image becomes 512 features (64, 128, 256, 512 with fewer stages), averaged over its height and width;
    14,714,688 parameters. Without a source it starts as Simonyan and Zisserman's successors do (He et al. 2015).
    """

    prefix = "features."
    head = ("classifier.",)

    @classmethod
    def published(cls, weights: str, model: str | None = None) -> PretrainedWeights:
        return TorchvisionWeights(VGG16_Weights, weights)

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
