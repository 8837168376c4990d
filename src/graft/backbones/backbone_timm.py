"""Any network of timm's, split into stages at timm's layer groups."""

import functools
import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from graft.backbones.pooling import check_pooled, checked_pool, pool_maps, pooled
from graft.backbones.pretrained import PretrainedWeights
from graft.backbones.pretrained_timm import PackageWeights, TimmWeights, known, tags, timm
from graft.backbones.staged import Backbone
from graft.backbones.timm_vit import divided, has_rotations, is_vit, takes_any_size, vit_parts, with_rotations
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
        pool: `avg`, `cls`, `gem` or `concat` in place of the network's own pooling; see `Pool`.
        features: numbers of kept stages, from 1, whose pooled outputs are joined; None: the last kept one's alone.

    Raises:
        GraftError: timm is not installed, or has no network of this name, or the network cannot be pooled so.
    """

    def __init__(
        self,
        preprocess: Preprocess,
        model: str,
        keep: int | None = None,
        pool: str | None = None,
        features: Sequence[int] | None = None,
    ):
        network = _create(model)
        config = network.pretrained_cfg
        heads = config.get("classifier") or ()
        self.head = tuple(f"{name}." for name in ([heads] if isinstance(heads, str) else heads))
        size: int = config["input_size"][-1]
        self.default_input_size = size
        parts = _stages(network, stage_starts(model), preprocess.output_shape[1:], pool)
        inner, whole = _average(network), None
        if pool is not None:
            self.head += ("attn_pool.",)  # the network's own pooling, which is replaced
            image = divided(network, preprocess.output_shape[1:]) if has_rotations(network) else (size, size)
            inner, whole = _repooled(network, parts, pool, image)
        super().__init__(preprocess.rgb(), parts, keep, inner, model, features)
        self.whole_pool = whole

    @classmethod
    def published(cls, weights: str, model: str | None = None) -> PretrainedWeights:
        return TimmWeights(str(model), weights)

    @classmethod
    def published_names(cls, model: str | None = None) -> list[str]:
        return tags(known(str(model)))


class EfficientNetLite0(Timm):
    """EfficientNet-Lite0, whose ImageNet weights are in a Python package and need no download."""

    name = "tf_efficientnet_lite0"

    def __init__(
        self,
        preprocess: Preprocess,
        keep: int | None = None,
        pool: str | None = None,
        features: Sequence[int] | None = None,
    ):
        super().__init__(preprocess, self.name, keep, pool, features)

    @classmethod
    def published(cls, weights: str, model: str | None = None) -> PretrainedWeights:
        return PackageWeights(cls.name, weights)

    @classmethod
    def published_names(cls, model: str | None = None) -> list[str]:
        return ["DEFAULT"]


class EfficientNetLite2(EfficientNetLite0):
    """EfficientNet-Lite2, deeper than Lite0 and for images of 260x260 pixels; its weights, too, are in a package."""

    name = "tf_efficientnet_lite2"


def _create(model: str) -> Any:
    flags = {"dynamic_img_size": True} if takes_any_size(known(model)) else {}
    return timm().create_model(model, pretrained=False, num_classes=0, **flags)


def _repooled(
    network: Any, parts: Sequence[nn.Module], pool: str, image: Sequence[int]
) -> tuple[nn.Module, nn.Module | None]:
    """Replace the pooling in a network's last stage; return those after fewer stages, and after all if it is another.

    Args:
        network: the network.
        parts: its stages.
        pool: the name of the pooling.
        image: height and width of images that it takes.

    Raises:
        ConfigError: the network cannot have this pooling.
    """
    label, prefix = network.pretrained_cfg.get("architecture"), getattr(network, "num_prefix_tokens", 0)
    has_class_token = isinstance(getattr(network, "cls_token", None), nn.Parameter)
    pool, last = checked_pool(pool, label, has_class_token), _channels_last(network)
    replaced = (is_vit(network) and len(parts) > 1) or pool_maps(parts[-1], pool, last)
    check_pooled(parts, pool, label, image, replaced)
    return pooled(pool, prefix, has_class_token, last), nn.Flatten() if replaced else None


def _average(network: Any) -> nn.Module:
    return Average(_channels_last(network))


def _channels_last(network: Any) -> bool:
    return getattr(network, "output_fmt", "NCHW") == "NHWC"


@functools.cache
def stage_starts(model: str) -> tuple[str, ...]:
    """Return the paths of the modules that start a stage; none if the network stays one stage."""
    # A trial's weights must not depend on whether this is cached; and it takes values, whatever device is the default.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        network = _create(model)
        starts = _layer_groups(network)
        size = network.pretrained_cfg["input_size"][-1]
        if starts and computes_the_same(network, _stages(network, starts, (size, size)), _average(network), size):
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


def _stages(network: Any, starts: tuple[str, ...], image: Sequence[int], pool: str | None = None) -> list[nn.Module]:
    """Split a network into stages that start at these modules, for images of a height and width."""
    if not starts:
        return [network]
    if not is_vit(network):
        return stages(units(network), starts)
    embedding, rest = vit_parts(network, units(network), pool)
    parts = stages(rest, starts[1:])
    return [embedding, *(with_rotations(network, parts, image) if has_rotations(network) else parts)]
