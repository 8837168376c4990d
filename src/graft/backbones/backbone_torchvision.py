"""Any of torchvision's classification networks, split into stages."""

import copy
import functools
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torchvision import models
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

from graft.backbones.pooling import Pool, check_pooled, checked_pool, pool_maps, pooled
from graft.backbones.pretrained import PretrainedWeights, TorchvisionWeights, unknown
from graft.backbones.staged import Backbone
from graft.data.preprocess import Preprocess
from graft.model.layers import Average
from graft.model.stages import Weights, evenly, has_weights, nest, stages, units

log = logging.getLogger("graft")

HEADS = ("fc", "classifier", "heads", "head")
WITH_AUXILIARY = ("googlenet", "inception_v3")  # their auxiliary classifiers are used in their own training only

# Names in published files that torchvision changes as it loads them: a DenseNet's and a ViT's.
RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)"), r"\1\2"),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_1\."), r"\1.0."),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_2\."), r"\1.3."),
)


class Torchvision(Backbone):
    """A classification network of torchvision's without its head.

    A ResNet's stages are its stem and its four layers. In families with a `features` container (EfficientNet,
    MobileNet, ConvNeXt, Swin) a stage starts at each drop in resolution. A ViT's stages are the patch embedding and
    four groups of encoder blocks. Other families are one stage. Pooling and a norm before the classifier belong to the
    last stage, so that all stages together give the features that torchvision's own classifier gets: for a ViT the
    class token. With fewer stages, the last one's output is averaged over its positions.

    Args:
        preprocess: prepares the images for the network.
        model: the name in torchvision, `resnet18`.
        keep: how many leading stages stay; None keeps all of them.
        pool: `avg`, `cls`, `gem` or `concat` in place of the network's own pooling; see `Pool`.
        features: numbers of kept stages, from 1, whose pooled outputs are joined; None: the last kept one's alone.

    Raises:
        GraftError: torchvision has no network of this name, or the network cannot be pooled so.
    """

    default_input_size = 224

    def __init__(
        self,
        preprocess: Preprocess,
        model: str,
        keep: int | None = None,
        pool: str | None = None,
        features: Sequence[int] | None = None,
    ):
        network = models.get_model(_known(model), weights=None, **_options(model, preprocess.output_shape[-1]))
        names = set(network.state_dict())
        _drop_head(network)
        self.head = _heads(names, set(network.state_dict()))
        channels_last = isinstance(network, SwinTransformer)
        parts = _stages(network)
        inner: nn.Module = Average(channels_last)
        whole = None
        if pool is not None:
            kind = checked_pool(pool, model, isinstance(network, VisionTransformer))
            inner, whole = _repooled(parts, kind, model, channels_last)
        super().__init__(preprocess.rgb(), parts, keep, inner, model, features)
        self.whole_pool = whole

    @classmethod
    def published(cls, weights: str, model: str | None = None) -> PretrainedWeights:
        return TorchvisionWeights(models.get_model_weights(_known(str(model))), weights)

    @classmethod
    def published_names(cls, model: str | None = None) -> list[str]:
        return [weights.name for weights in models.get_model_weights(_known(str(model)))]

    def convert_state_dict(self, weights: Mapping[str, torch.Tensor], prefix: str | None = None) -> Weights:
        return super().convert_state_dict({_renamed(name): value for name, value in weights.items()}, prefix)


def _repooled(
    parts: Sequence[nn.Module], pool: str, model: str, channels_last: bool
) -> tuple[nn.Module, nn.Module | None]:
    """Replace the pooling in the last stage; return those after fewer stages, and after all if it is another.

    Raises:
        ConfigError: the network cannot have this pooling.
    """
    embedding, last = parts[0], parts[-1]
    tokens = {"prefix": 1, "has_class_token": True} if isinstance(embedding, PatchEmbedding) else {}
    if tokens:
        last.token = Pool(pool, **tokens)
    replaced = bool(tokens) or pool_maps(last, pool, channels_last=False)  # a Swin transposes its maps before it
    size = embedding.size if isinstance(embedding, PatchEmbedding) else 224
    check_pooled(parts, pool, model, (size, size), replaced)
    return pooled(pool, channels_last=channels_last, **tokens), nn.Flatten() if replaced else None


def _known(model: str) -> str:
    names = models.list_models(module=models)
    if model not in names:
        raise unknown("backbone.model", model, names)
    return model


def _options(model: str, width: int) -> dict[str, Any]:
    """Return the arguments of a network that torchvision's loader of published weights sets, too."""
    if model in WITH_AUXILIARY:
        return {"aux_logits": False, "init_weights": True}
    if model.startswith("vit_"):  # some weights are for larger images, with a position for each of their patches
        sizes = {weights.transforms().crop_size[0] for weights in models.get_model_weights(model)}
        return {"image_size": width} if width in sizes else {}
    return {}


def _renamed(name: str) -> str:
    for pattern, new in RENAMED:
        name = pattern.sub(new, name)
    return name


def _drop_head(network: nn.Module) -> None:
    """Replace the classifier by an identity; keep the norm at the start of a ConvNeXt's classifier."""
    (name,) = (name for name in HEADS if hasattr(network, name))
    head = getattr(network, name)
    if isinstance(network, models.ConvNeXt):
        head[-1] = nn.Identity()
    else:
        setattr(network, name, nn.Identity())


def _heads(names: set[str], kept: set[str]) -> tuple[str, ...]:
    """Return the shortest prefixes of the removed weights' names that no kept name has."""
    found = set()
    for name in names - kept:
        pieces = name.split(".")
        starts = (".".join(pieces[:length]) + "." for length in range(1, len(pieces)))
        found.add(next((start for start in starts if not any(other.startswith(start) for other in kept)), name))
    return (*sorted(found), "AuxLogits.", "aux1.", "aux2.")


def _stages(network: nn.Module) -> list[nn.Module]:
    if isinstance(network, VisionTransformer):
        return _vit_stages(network)
    if isinstance(network, models.ResNet):
        return stages(dict(network.named_children()), ["layer1", "layer2", "layer3", "layer4"])
    if isinstance(getattr(network, "features", None), nn.Sequential) and not isinstance(network, models.DenseNet):
        parts = units(network)
        return stages(parts, _falls(parts))
    _say_whole(type(network).__name__)
    if isinstance(network, models.MNASNet):  # loads state dicts with torchvision's metadata only; its children load any
        return [nest(dict(network.named_children()))]
    return [network]


@functools.cache  # logged once, although each trial may build the network
def _say_whole(family: str) -> None:
    log.info("torchvision's %s is not split into stages: it is one", family)


def _falls(parts: dict[str, nn.Module]) -> list[str]:
    """Return the parts of `features` at which the resolution drops below that of the stage so far."""
    found, current = [], 0
    maps = torch.empty(1, 3, 224, 224, device="meta")
    for path, part in parts.items():
        if not path.startswith("features."):
            break
        with torch.device("meta"), torch.no_grad():
            maps = copy.deepcopy(part).to("meta").eval()(maps)
        resolution = maps.shape[2]  # the height, or a Swin's width
        if has_weights(part) and resolution < current:
            found.append(path)
        if has_weights(part) and (resolution < current or not current):
            current = resolution
    return found


class PatchEmbedding(nn.Module):
    """A ViT's first stage: images become tokens, with a class token before them and their positions added."""

    def __init__(self, network: VisionTransformer):
        super().__init__()
        self.conv_proj, self.class_token = network.conv_proj, network.class_token
        self.size = network.image_size
        self.encoder = nn.Module()  # for torchvision's names
        self.encoder.pos_embedding, self.encoder.dropout = network.encoder.pos_embedding, network.encoder.dropout

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.shape[-2:] != (self.size, self.size):
            raise RuntimeError(f"expected {self.size}x{self.size} pixels, got {tuple(images.shape[-2:])}")
        tokens = self.conv_proj(images).flatten(2).transpose(1, 2)  # (batch, patches, features)
        tokens = torch.cat([self.class_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        return self.encoder.dropout(tokens + self.encoder.pos_embedding)  # type: ignore[operator]


class ClassToken(nn.Module):
    """Takes the first token, (batch, tokens, features) to (batch, features)."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens[:, 0]


def _vit_stages(network: VisionTransformer) -> list[nn.Module]:
    blocks = {f"encoder.layers.{name}": block for name, block in network.encoder.layers.named_children()}
    parts = {**blocks, "encoder.ln": network.encoder.ln, "token": ClassToken()}
    return [PatchEmbedding(network), *stages(parts, evenly(list(blocks)))]
