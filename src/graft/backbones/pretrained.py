"""Published weights: a library's weights for a network, and the pixels that they were trained on."""

from collections.abc import Callable, Sequence
from enum import Enum, EnumType
from typing import Any, Protocol

import torch
from torchvision import models

from graft.data.preprocess import PretrainedInput
from graft.ending import known_reason
from graft.errors import ConfigError, Fault, UnavailableError, nearest


class PretrainedWeights(Protocol):
    """A library's weights for one network."""

    def trained_on(self) -> PretrainedInput:
        """Return the pixels that they were trained on."""
        ...

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the weights under the library's names; download them if the library's cache lacks them.

        Raises:
            UnavailableError: they cannot be downloaded.
        """
        ...


class NoWeights:
    """What is published for a network that has no weights: none are needed, and images of any size are taken."""

    def trained_on(self) -> PretrainedInput:
        return PretrainedInput(None, (0.0,), (1.0,))

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {}


# torchvision's loader makes these networks rescale their pixels to -1 to 1 (`transform_input`): here they come scaled.
RESCALED = (models.GoogLeNet_Weights, models.Inception_V3_Weights)

WeightsLookup = Callable[[str], PretrainedWeights]
"""Returns the published weights of a name, or of `DEFAULT`; raises a GraftError for an unknown name."""


class TorchvisionWeights:
    """A member of one of torchvision's enumerations, through torch hub's cache."""

    def __init__(self, enum: EnumType, weights: str):
        names = list(enum.__members__)
        if weights not in names:
            raise unknown("source.weights", weights, names)
        self.weights: Any = enum[weights]
        assert isinstance(self.weights, Enum)

    def trained_on(self) -> PretrainedInput:
        transforms = self.weights.transforms()
        mean, std = (transforms.mean, transforms.std) if not isinstance(self.weights, RESCALED) else ([0.5] * 3,) * 2
        return PretrainedInput(transforms.crop_size[0], tuple(mean), tuple(std), transforms.interpolation.value)

    def state_dict(self) -> dict[str, torch.Tensor]:
        try:
            return dict(self.weights.get_state_dict(progress=False, check_hash=True))
        except OSError as error:  # urllib's errors are subclasses
            if known_reason(error):  # a full disk is no lack of a network
                raise
            raise UnavailableError(
                f"{self.weights.url} cannot be downloaded ({error}); put the file into "
                f"{torch.hub.get_dir()}/checkpoints, or try source=file source.path=FILE "
                f"source.weights={self.weights.name}"
            ) from None


def unknown(key: str, value: str, known: Sequence[str]) -> ConfigError:
    """Return the error that a key names something unknown, with the nearest known names."""
    near = nearest(value, known, 3)
    listed = ", ".join(known if len(known) <= 12 else near)
    expected = f"one of {listed}" if len(known) <= 12 else f"one of {len(known):,} names, such as {listed}"
    return ConfigError([Fault(key, value, expected, f"{key}={near[0]}")])
