"""Backbones: an ordered list of stages; a transfer keeps the leading ones, and freezes or unfreezes each of them."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from graft.backbones.pooling import Joined, checked_pool, pooled
from graft.backbones.pretrained import PretrainedWeights
from graft.data.preprocess import Preprocess
from graft.errors import ConfigError, Fault, GraftError, UnavailableError
from graft.model.layers import Average
from graft.model.stages import HalfPrecision, Weights, expected_size, on_meta, output_shape
from graft.model.weight_names import Wanted, choose, unwrapped


class Backbone(nn.Module):
    """Preprocessing, stages and a pooling that ends in features.

    Images, bytes (batch, channels, height, width), become features, (batch, features).

    Args:
        preprocess: prepares the images for the first stage.
        stages: the network's parts, in order; each is kept, frozen or unfrozen as a whole.
        keep: how many leading stages stay; None: all.
        pool: maps the last kept stage's output to features: `flatten`; `average` over positions; `avg`, `gem` or
            `concat` as in `Pool`; or a module.
        model: the network's name in its library.
        features: numbers of kept stages, from 1, whose pooled outputs are joined; None: the last kept one's alone.

    Attributes:
        whole_pool: the pooling after all stages, if the last one pools by itself; None: as after fewer.
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
        features: Sequence[int] | None = None,
    ):
        super().__init__()
        self.model = model
        if keep is not None and not 0 <= keep <= len(stages):
            expected = f"from 0 to {len(stages)}, the stages of {self.label}"
            raise ConfigError([Fault("backbone.keep", keep, expected, f"backbone.keep={len(stages)}")])
        self.keep = len(stages) if keep is None else keep
        self.preprocess = preprocess
        self.stages = nn.ModuleList(stages)
        self.inner_pool = self._named_pool(pool) if isinstance(pool, str) else pool
        self.whole_pool: nn.Module | None = None
        self.features = sorted(features or ())
        if self.features and not 0 < self.features[0] <= self.features[-1] <= self.keep:
            expected = f"stages from 1 to {self.keep}, those that {self.label} keeps"
            raise ConfigError(
                [Fault("backbone.features", list(features or ()), expected, f"backbone.features=[{self.keep}]")]
            )

    @property
    def pool(self) -> nn.Module:
        """Maps the last kept stage's output to features."""
        return self._pool_after(self.keep)

    def _pool_after(self, number: int) -> nn.Module:
        return self.whole_pool if self.whole_pool is not None and number == len(self.stages) else self.inner_pool

    def _named_pool(self, pool: str) -> nn.Module:
        own = {"flatten": nn.Flatten, "average": Average}
        return own[pool]() if pool in own else pooled(checked_pool(pool, self.label, has_class_token=False))

    @property
    def label(self) -> str:
        """The network's name in messages."""
        return self.model or type(self).__name__

    @classmethod
    def published(cls, weights: str, model: str | None = None) -> PretrainedWeights:
        """Return the published weights of this name for this network.

        Raises:
            UnavailableError: there are none.
        """
        raise UnavailableError(f"{cls.__name__} has no published weights; try source=big, or backbone=vgg16")

    @classmethod
    def published_names(cls, model: str | None = None) -> list[str]:
        """Return the names of the published weights for this network."""
        return []

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return nn.Sequential(*self.split(0))(pixels)

    def split(self, num_frozen: int) -> tuple[nn.Sequential, nn.Sequential]:
        """Split the kept stages: preprocessing with the first `num_frozen` stages, and the other stages.

        Pooling ends the second part; if that has no stages, it ends the first, so that stored features are small.

        Raises:
            GraftError: features of several stages are joined, which is one part: all kept stages are frozen, or none.
        """
        if self.features and 0 < num_frozen < self.keep:
            raise GraftError("backbone.features joins stages that are all frozen; try tune=frozen")
        front = HalfPrecision if self.half_frozen and num_frozen else nn.Sequential
        if self.features:
            first, last = ("preprocess", self.preprocess), ("joined", self._joined())
            frozen, rest = ([first, last], []) if num_frozen else ([first], [last])
            return front(OrderedDict(frozen)), nn.Sequential(OrderedDict(rest))
        stages = {f"stage{number}": stage for number, stage in enumerate(self.stages[: self.keep], start=1)}
        names = list(stages)
        frozen = {"preprocess": self.preprocess} | {name: stages[name] for name in names[:num_frozen]}
        rest = {name: stages[name] for name in names[num_frozen:]}
        (rest if rest else frozen)["pool"] = self.pool
        return front(OrderedDict(frozen)), nn.Sequential(OrderedDict(rest))

    def _joined(self) -> Joined:
        needed = enumerate(self.stages[: self.features[-1]], start=1)
        pools = {f"stage{number}": self._pool_after(number) for number in self.features}
        return Joined({f"stage{number}": stage for number, stage in needed}, pools)

    def output_shape(self, num_frozen: int) -> tuple[int, ...]:
        """Return the shape of one image's output of the first `num_frozen` stages."""
        _, *stages = self.split(num_frozen)[0]
        return output_shape(on_meta(stages), self.preprocess.output_shape)

    def num_features(self) -> int:
        """Return the length of the features.

        Raises:
            GraftError: the kept stages take images of other sizes.
        """
        (_, *pool), rest = self.split(0)  # without stages the pooling is in the first part
        network = on_meta([*pool, *rest])
        try:
            return output_shape(network, self.preprocess.output_shape)[0]
        except (RuntimeError, AssertionError):  # the maps became empty, or a library checks the size
            taken = f"{self.label} with {self.keep} stages takes images"
            expected = expected_size(network, self.preprocess.output_shape, self.default_input_size)
            raise GraftError(f"{taken} {expected}") from None

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
