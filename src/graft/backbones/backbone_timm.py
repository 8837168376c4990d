"""Any network of timm's, split into stages at timm's layer groups."""

import functools
import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from graft.backbones.backbone import Backbone
from graft.backbones.pretrained import PretrainedWeights
from graft.backbones.pretrained_timm import PackageWeights, TimmWeights, known, tags, timm
from graft.data.preprocess import Preprocess
from graft.model.layers import Average
from graft.model.stages import computes_the_same, evenly, stages, units

log = logging.getLogger("graft")

MAX_STAGES = 8  # more layer groups than these are joined: a ViT's twelve blocks become four stages


class Timm(Backbone):
    """A network of timm's without its head.

    Its stages are the layer groups that timm defines for layer-wise learning rates. If there are more than eight, the
    stages are the first group and four joined groups of the others. A network whose stages do not compute what it
    computes is one stage. The pooling and timm's layers before the classifier belong to the last stage, so that all
    stages together give the features that timm's own classifier gets. With fewer stages, the last one's output is
    averaged over its positions.

    Args:
        preprocess: prepares the images for the network.
        model: the name in timm, with or without the tag of its weights: `resnet18.a1_in1k`.
        keep: how many leading stages stay; None keeps all of them.

    Raises:
        GraftError: timm is not installed, or has no network of this name.
    """

    def __init__(self, preprocess: Preprocess, model: str, keep: int | None = None):
        network = _create(model)
        config = network.pretrained_cfg
        heads = config.get("classifier") or ()
        self.head = tuple(f"{name}." for name in ([heads] if isinstance(heads, str) else heads))
        self.default_input_size = config["input_size"][-1]
        pool = _pool(network)
        super().__init__(preprocess.rgb(), _stages(network, stage_starts(model)), keep, pool, model)

    @classmethod
    def published(cls, weights: str, model: str | None = None) -> PretrainedWeights:
        return TimmWeights(str(model), weights)

    @classmethod
    def published_names(cls, model: str | None = None) -> list[str]:
        return tags(str(model))


class EfficientNetLite0(Timm):
    """EfficientNet-Lite0, whose ImageNet weights are in a Python package and need no download."""

    def __init__(self, preprocess: Preprocess, keep: int | None = None):
        super().__init__(preprocess, "tf_efficientnet_lite0", keep)

    @classmethod
    def published(cls, weights: str, model: str | None = None) -> PretrainedWeights:
        return PackageWeights(weights)

    @classmethod
    def published_names(cls, model: str | None = None) -> list[str]:
        return ["DEFAULT"]


def _create(model: str) -> Any:
    return timm().create_model(known(model), pretrained=False, num_classes=0)


def _pool(network: Any) -> nn.Module:
    return Average(channels_last=getattr(network, "output_fmt", "NCHW") == "NHWC")


@functools.cache
def stage_starts(model: str) -> tuple[str, ...]:
    """Return the paths of the modules that start a stage; none if the network stays one stage."""
    with torch.random.fork_rng(devices=[]):  # a trial's weights must not depend on whether this is cached
        network = _create(model)
    starts = _layer_groups(network)
    size = network.pretrained_cfg["input_size"][-1]
    if starts and computes_the_same(network, _stages(network, starts), _pool(network), size):
        return starts
    log.info("timm's %s cannot be split into stages: it is one", model)
    return ()


def _layer_groups(network: Any) -> tuple[str, ...]:
    """Return the first module of each of timm's layer groups; none without groups, or if they are not in order."""
    # timm numbers parameters of no group like a last group: one that surely is in no group shows this number.
    network.register_parameter("ungrouped", nn.Parameter(torch.empty(0)))
    try:
        matcher = network.group_matcher(coarse=True)
        groups = timm().models.group_parameters(network, matcher, reverse=True)  # number by name
    except Exception:  # a network without groups says so in different ways
        return ()
    finally:
        del network.ungrouped
    starts: list[str] = []
    highest = -1
    for path in units(network):
        numbers = [number for name, number in groups.items() if name.startswith(f"{path}.")]
        if numbers and highest < max(numbers) < groups["ungrouped"]:  # modules of no group join the last one
            starts.append(path)
            highest = max(numbers)
    return tuple(starts if len(starts) <= MAX_STAGES else [starts[0], *evenly(starts[1:])])


def _stages(network: Any, starts: tuple[str, ...]) -> list[nn.Module]:
    if not starts:
        return [network]
    parts = units(network)
    if not isinstance(network, timm().models.VisionTransformer):
        return stages(parts, starts)
    embedding = PatchEmbedding(network)
    names = [name for name in parts if name not in dict(embedding.named_children())]
    rest = {name: parts[name] for name in names[: names.index("norm") + 1]}
    rest["pool"] = TokenPool(network.global_pool, network.num_prefix_tokens)
    rest |= {name: parts[name] for name in names[names.index("norm") + 1 :]}
    return [embedding, *stages(rest, starts[1:])]


class PatchEmbedding(nn.Module):
    """A ViT's first stage: images become tokens, with prefix tokens before them and their positions added.

    timm has it only inside the network's forward pass; parameters and submodules keep their names.

    Args:
        network: the ViT.
    """

    def __init__(self, network: Any):
        super().__init__()
        self.cls_token, self.reg_token, self.pos_embed = network.cls_token, network.reg_token, network.pos_embed
        self.patch_embed, self.pos_drop = network.patch_embed, network.pos_drop
        self.patch_drop, self.norm_pre = network.patch_drop, network.norm_pre
        # Of the prefix tokens (class token, registers) either all have a position or none has.
        self.num_prefix_positions = 0 if network.no_embed_class else network.num_prefix_tokens

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens, positions = self.patch_embed(images), self.pos_embed  # tokens: (batch, patches, features)
        if tokens.dim() == 4:  # (batch, height, width, features), from a network that takes images of any size
            positions = self._resized(positions, tokens.shape[1:3])
            tokens = tokens.flatten(1, 2)
        if positions is not None and not self.num_prefix_positions:
            tokens = tokens + positions
        prefix = [
            token.expand(tokens.shape[0], -1, -1) for token in (self.cls_token, self.reg_token) if token is not None
        ]
        tokens = torch.cat([*prefix, tokens], dim=1)
        if positions is not None and self.num_prefix_positions:
            tokens = tokens + positions
        return self.norm_pre(self.patch_drop(self.pos_drop(tokens)))

    def _resized(self, positions: torch.Tensor | None, grid: Sequence[int]) -> torch.Tensor | None:
        """Interpolate the patches' positions to a grid of this height and width."""
        if positions is None:
            return None
        old_grid = self.patch_embed.grid_size
        return timm().layers.resample_abs_pos_embed(positions, list(grid), old_grid, self.num_prefix_positions)


class TokenPool(nn.Module):
    """timm's pooling of tokens, (batch, tokens, features) to (batch, features)."""

    def __init__(self, pool: str, prefix: int):
        super().__init__()
        self.kind, self.prefix = pool, prefix

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return timm().layers.global_pool_nlc(tokens, self.kind, self.prefix)

    def extra_repr(self) -> str:
        return f"{self.kind}, prefix={self.prefix}"
