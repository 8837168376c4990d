"""Preprocessing: how a data set's images are fitted to what a backbone's weights were trained with."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn
from torchvision.transforms import v2

PIXELS = {  # mean and standard deviation that scale pixels, themselves counted from 0 to 1
    "unit": ((0.0,), (1.0,)),  # 0 to 1
    "byte": ((0.0,), (1 / 255,)),  # 0 to 255
}


@dataclass(frozen=True)
class PretrainedInput:
    """The pixels that weights were trained on.

    Attributes:
        size: height and width of the images; None: whatever the images had.
        mean: subtracted from pixels from 0 to 1, one number for each channel or one for all.
        std: what the difference was divided by.
        interpolation: how they were resized, `bilinear` or `bicubic`.
    """

    size: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"

    def __str__(self) -> str:
        size = f"{self.size}x{self.size}" if self.size else "any size"
        for name, scale in PIXELS.items():
            if _close((self.mean, self.std), scale):
                return f"{size}, {'0 to 1' if name == 'unit' else '0 to 255'}"
        mean, std = (", ".join(f"{value:.3g}" for value in values) for values in (self.mean, self.std))
        return f"{size}, less their mean ({mean}) and divided by {std}"

    def differs(self, other: "PretrainedInput") -> bool:
        """Return whether the same image would become other numbers."""
        return self.size != other.size or not _close((self.mean, self.std), (other.mean, other.std))


def _close(first: tuple[Sequence[float], ...], second: tuple[Sequence[float], ...]) -> bool:
    return all(
        abs(ours - theirs) < 1e-6
        for one, other in zip(first, second, strict=True)
        for ours, theirs in zip(_rgb(one), _rgb(other), strict=True)
    )


def _rgb(values: Sequence[float]) -> Sequence[float]:
    return values if len(values) == 3 else list(values) * 3


class Preprocess(nn.Module):
    """Bytes, 0 to 255, (batch, channels, height, width), to what the first stage takes.

    Zeros are added around the image, then it is resized (antialiased; the shorter side, then the middle), a single
    channel is repeated, and the pixels are scaled.

    Args:
        image: channels, height and width of the images as they are stored.
        pad: rows and columns of zeros on every side.
        size: height and width of the result; None leaves them.
        mean: subtracted from pixels from 0 to 1, one number for each channel or one for all.
        std: what the difference is divided by.
        channels: 3 repeats a single channel; None leaves the image's own.
        interpolation: of the resizing, `bilinear` or `bicubic`.
    """

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self,
        image: Sequence[int],
        pad: int = 0,
        size: int | None = None,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        channels: int | None = None,
        interpolation: str = "bilinear",
    ):
        super().__init__()
        self.settings: dict[str, Any] = {
            "image": list(image), "pad": pad, "size": size, "mean": list(mean), "std": list(std), "channels": channels,
            "interpolation": interpolation,
        }  # fmt: skip
        height, width = (size, size) if size else (image[1] + 2 * pad, image[2] + 2 * pad)
        self.pad, self.resized = pad, (height, width)
        self.interpolation = v2.InterpolationMode(interpolation)
        self.output_shape = (channels or image[0], height, width)
        # Not persistent: they belong to the configuration, and `repr` shows them to the feature store.
        self.register_buffer("shift", 255 * torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("scale", 255 * torch.tensor(std).view(-1, 1, 1), persistent=False)

    @property
    def pixels(self) -> PretrainedInput:
        """The pixels that come out, as those of weights that are trained on them."""
        mean, std = (tuple(self.settings[name]) for name in ("mean", "std"))
        _, height, width = self.output_shape
        return PretrainedInput(height if height == width else None, mean, std, self.settings["interpolation"])

    def rgb(self) -> "Preprocess":
        """Return the same preprocessing for a backbone that takes three channels."""
        return Preprocess(**{**self.settings, "channels": 3})

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if self.pad:
            pixels = nn.functional.pad(pixels, [self.pad] * 4)
        if pixels.shape[-2:] != self.resized:
            pixels = v2.functional.resize(pixels, [min(self.resized)], self.interpolation, antialias=True)
            pixels = v2.functional.center_crop(pixels, list(self.resized))
        return (pixels.expand(-1, self.output_shape[0], -1, -1) - self.shift) / self.scale

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.settings.items())


@dataclass(frozen=True)
class InputSpec:
    """What a configuration says about fitting images to a backbone.

    Args:
        pixels: `weights`, scaled as the weights were trained, else 0 to 1; `unit`, 0 to 1; `byte`, 0 to 255.
        pad: rows and columns of zeros on every side.
        size: height and width to resize to; None takes the weights', or else leaves the images as they are.
        trained: what the weights were trained on, where that is known.
    """

    pixels: str = "weights"
    pad: int = 0
    size: int | None = None
    trained: PretrainedInput | None = None

    @property
    def scaled(self) -> PretrainedInput:
        """The pixels that come out."""
        size = self.size or (self.trained.size if self.trained else None)
        if self.pixels == "weights" and self.trained:
            return replace(self.trained, size=size)
        how = self.trained.interpolation if self.trained else "bilinear"
        return PretrainedInput(size, *PIXELS["unit" if self.pixels == "weights" else self.pixels], how)

    def preprocess(self, image: Sequence[int]) -> Preprocess:
        """Return the preprocessing of images of this shape, (channels, height, width)."""
        return Preprocess(image, self.pad, **asdict(self.scaled))

    def warning(self) -> str | None:
        """Say so if the weights get something else than they were trained on."""
        if self.trained is None or not self.trained.differs(self.scaled):
            return None
        return (
            f"the weights were trained on pixels of {self.trained} and get {self.scaled}; "
            "without dataset.pixels= and dataset.size= they would get the former"
        )
