"""Pooling: how a backbone's last output, maps or tokens, becomes one list of features."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from graft.errors import ConfigError, Fault
from graft.model.stages import on_meta, output_shape

# Keys of a backbone's option that mean nothing where they are null: a class of the user's own may lack them.
OPTIONAL_KEYS = ("pool", "features")

POOLS = ("avg", "cls", "gem", "concat")
POWER = 3.0  # of the generalized mean, the initial value in Radenovic et al. 2018
SMALLEST = 1e-6  # which values below it become before they are raised to this power

# Where torchvision's and timm's networks have the pooling before their classifier.
PLACES = ("avgpool", "global_pool", "head.global_pool")


def stated(option: Mapping[str, Any]) -> dict[str, Any]:
    """Return a backbone's option without the optional keys that are null."""
    return {key: value for key, value in option.items() if key not in OPTIONAL_KEYS or value is not None}


class Pool(nn.Module):
    """Pools a stage's output over its positions.

    Maps, (batch, channels, height, width), and tokens, (batch, tokens, features), become (batch, parts, features); two
    parts with `concat`, else one. An output without positions is unchanged.

    Args:
        kind: `avg`: mean over positions. `cls`: the class token. `gem`: generalized mean, the cube root of the mean
            cube; values below 0 count as 0 (Radenovic et al. 2018, p = 3). `concat`: class token and mean as in
            DINOv2's linear probes (Oquab et al. 2023), mean and maximum where there is no class token (fastai).
        prefix: number of tokens before those of positions; they are in no mean.
        has_class_token: whether the first of them is a class token.
        channels_last: whether maps are (batch, height, width, channels).
        keeps_maps: whether the result is maps, too, with a row for each part, for layers that follow.
    """

    def __init__(
        self,
        kind: str,
        prefix: int = 0,
        has_class_token: bool = False,
        channels_last: bool = False,
        keeps_maps: bool = False,
    ):
        super().__init__()
        self.kind, self.prefix, self.has_class_token = kind, prefix, has_class_token
        self.channels_last, self.keeps_maps = channels_last, keeps_maps

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if inputs.dim() == 2:
            return inputs
        if inputs.dim() == 3:
            return torch.stack(self._parts(inputs[:, self.prefix :], inputs), 1)
        maps = inputs if self.channels_last else inputs.permute(0, 2, 3, 1)
        parts = torch.stack(self._parts(maps.flatten(1, 2), inputs), 1)
        if not self.keeps_maps:
            return parts
        return parts.unsqueeze(2) if self.channels_last else parts.mT.unsqueeze(3)

    def _parts(self, positions: torch.Tensor, tokens: torch.Tensor) -> list[torch.Tensor]:
        """Pool positions, (batch, positions, features); tokens have the class token at their beginning."""
        if self.kind == "cls":
            return [tokens[:, 0]]
        if self.kind == "gem":
            return [positions.clamp(min=SMALLEST).pow(POWER).mean(1).pow(1 / POWER)]
        mean = positions.mean(1)
        if self.kind == "avg":
            return [mean]
        return [tokens[:, 0], mean] if self.has_class_token else [mean, positions.amax(1)]

    def extra_repr(self) -> str:
        return f"{self.kind}, prefix={self.prefix}, class_token={self.has_class_token}, last={self.channels_last}"


def pooled(kind: str, prefix: int = 0, has_class_token: bool = False, channels_last: bool = False) -> nn.Module:
    """Return a pooling to (batch, features), parts joined; arguments as for `Pool`."""
    return nn.Sequential(Pool(kind, prefix, has_class_token, channels_last), nn.Flatten())


class Joined(nn.Sequential):
    """Stages that run one after another; the pooled outputs of some are joined, (batch, features of all these stages).

    Args:
        stages: by name, in order.
        pools: poolings by the names of the stages whose outputs are joined.
    """

    def __init__(self, stages: Mapping[str, nn.Module], pools: Mapping[str, nn.Module]):
        super().__init__(OrderedDict(stages))
        self.order, self.joined = tuple(stages), tuple(pools)
        for name, pool in pools.items():
            self.add_module(f"{name}_pool", pool)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        outputs = []
        for name in self.order:
            input = self.get_submodule(name)(input)
            if name in self.joined:
                outputs.append(self.get_submodule(f"{name}_pool")(input))
        return torch.cat(outputs, 1)


def checked_pool(pool: str, label: str, has_class_token: bool) -> str:
    """Return the name of a pooling that a network has.

    Args:
        pool: the name.
        label: the network's name in messages.
        has_class_token: whether it has a class token.

    Raises:
        ConfigError: it is no pooling's name, or the network has no class token.
    """
    possible = [each for each in POOLS if each != "cls" or has_class_token]
    if pool in possible:
        return pool
    why = ", which has no class token" if pool == "cls" else ""
    expected = f"null, {', '.join(possible[:-1])} or {possible[-1]} for {label}{why}"
    raise ConfigError([Fault("backbone.pool", pool, expected, "backbone.pool=avg")])


def pool_maps(stage: nn.Module, pool: str, channels_last: bool) -> bool:
    """Replace the pooling of maps in a network's last stage; return whether it has one that can be replaced.

    Args:
        stage: the last stage.
        pool: the name of the new pooling.
        channels_last: whether its maps are (batch, height, width, channels).
    """
    for path in PLACES:
        parent, _, name = path.rpartition(".")
        try:
            holder: Any = stage.get_submodule(parent)
            shape = getattr(holder, name)(torch.ones(1, 2, 2, 2)).shape
        except (AttributeError, TypeError):  # it has no module of this name
            continue
        if shape.numel() != 2:  # VGG's, to maps of 7x7, is none before a classifier
            continue
        setattr(holder, name, Pool(pool, channels_last=channels_last, keeps_maps=len(shape) == 4))
        return True
    return False


def check_pooled(stages: Sequence[nn.Module], pool: str, label: str, image: Sequence[int], replaced: bool) -> None:
    """Refuse a pooling that does not reach a network's features.

    Args:
        stages: all the network's.
        pool: the name of the pooling.
        label: the network's name in messages.
        image: height and width of images that it takes.
        replaced: whether a pooling in its last stage was replaced by this one.

    Raises:
        ConfigError: the network pools inside another layer, or layers after its pooling do not take two parts.
    """
    try:
        shape = output_shape(on_meta(stages), (3, *image))
    except (RuntimeError, AssertionError):
        expected = f"null, avg or gem for {label}, whose layers after the pooling take single features"
        raise ConfigError([Fault("backbone.pool", pool, expected, "backbone.pool=gem")]) from None
    if not replaced and len(shape) == 1:
        expected = f"null for {label}, whose pooling is inside another layer"
        raise ConfigError([Fault("backbone.pool", pool, expected, "backbone.pool=null")])
