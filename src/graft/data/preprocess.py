"""Preprocessing: turns a data set's images into the inputs that a backbone's weights were trained on."""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.transforms import v2

from graft.data.augment import Augment

# Raise it, and RESULTS_VERSION in config/identity.py, with every change of `Preprocess.forward` that alters its output:
# it is part of the names of stored features and pre-trainings, from 2 on, so that those of version 1 keep theirs.
PREPROCESS_VERSION = 1

NORMALIZATION = {  # values of `dataset.pixels`: mean and std that normalize pixels from 0 to 1
    "unit": ((0.0,), (1.0,)),  # to 0 to 1
    "byte": ((0.0,), (1 / 255,)),  # to 0 to 255
}


@dataclass(frozen=True)
class PretrainedInput:
    """The input that weights were trained on: pixels from 0 to 1, minus `mean`, divided by `std`.

    Attributes:
        size: height and width of the images; None: any.
        mean: one number for each channel, or one for all.
        std: one number for each channel, or one for all.
        interpolation: how images were resized, `bilinear` or `bicubic`.
    """

    size: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"

    def __str__(self) -> str:
        size = f"{self.size}x{self.size}" if self.size else "any size"
        for name, (mean, std) in NORMALIZATION.items():
            if _close(self.mean, mean) and _close(self.std, std):
                return f"{size}, {'0 to 1' if name == 'unit' else '0 to 255'}"
        mean, std = (", ".join(f"{value:.3g}" for value in values) for values in (self.mean, self.std))
        return f"{size}, normalized with mean ({mean}) and std ({std})"

    def differs(self, other: "PretrainedInput") -> bool:
        """Return whether the two make different inputs of the same image."""
        return self.size != other.size or not (_close(self.mean, other.mean) and _close(self.std, other.std))


def _close(first: Sequence[float], second: Sequence[float]) -> bool:
    """Return whether numbers are equal but for rounding; one number stands for all channels."""
    return np.allclose(first, second, rtol=0, atol=1e-6)


class Preprocess(nn.Module):
    """Turns images, (batch, channels, height, width) with pixels from 0 to 255, into the first stage's inputs.

    Images are padded, resized (with antialiasing, to the shorter side, then center-cropped), a single channel is
    repeated, and the pixels are normalized.

    Args:
        image: channels, height and width of the data set's images.
        pad: rows and columns of zeros on every side.
        size: height and width of the result; None: those of the padded image.
        mean: mean of pixels from 0 to 1, one number for each channel or one for all.
        std: standard deviation of pixels from 0 to 1, likewise.
        channels: 3 repeats a single channel; None keeps the image's channels.
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
        # Not persistent, because they belong to the configuration; `repr` shows `settings` to the feature store.
        self.register_buffer("shift", 255 * torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("scale", 255 * torch.tensor(std).view(-1, 1, 1), persistent=False)

    @property
    def resizes(self) -> bool:
        """Whether images have another size than the result."""
        return self.resized != tuple(side + 2 * self.pad for side in self.settings["image"][1:])

    @property
    def pixels(self) -> PretrainedInput:
        """This module's output, as the input of weights that are trained on it."""
        mean, std = (tuple(self.settings[name]) for name in ("mean", "std"))
        _, height, width = self.output_shape
        return PretrainedInput(height if height == width else None, mean, std, self.settings["interpolation"])

    def rgb(self) -> "Preprocess":
        """Return the same preprocessing for a backbone that takes three channels."""
        return Preprocess(**{**self.settings, "channels": 3})

    @property
    def enlargement(self) -> float:
        """By how much images are enlarged; up to 1 where they are not."""
        return min(self.resized) / (min(self.settings["image"][1:]) + 2 * self.pad)

    def fitted(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return images at the result's height and width."""
        if self.pad:
            pixels = nn.functional.pad(pixels, [self.pad] * 4)
        if pixels.shape[-2:] != self.resized:
            pixels = v2.functional.resize(pixels, [min(self.resized)], self.interpolation, antialias=True)
            pixels = v2.functional.center_crop(pixels, list(self.resized))
        return pixels

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if self.enlargement <= 1 or pixels.shape[-2:] != self.resized:  # else augmentation has enlarged them
            pixels = self.fitted(pixels)
        return (pixels.expand(-1, self.output_shape[0], -1, -1) - self.shift) / self.scale

    def undone(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs of the first stage, (batch, channels, height, width), as bytes that a person can look at.

        Scaling is undone; what padding, resizing and cropping have done stays, because the network sees it so.
        """
        return (inputs * self.scale + self.shift).round().clamp(0, 255).byte()

    def extra_repr(self) -> str:
        version = {"version": PREPROCESS_VERSION} if PREPROCESS_VERSION > 1 else {}
        return ", ".join(f"{name}={value}" for name, value in {**self.settings, **version}.items())


class Enlarged(Augment):
    """An augmentation of images that are enlarged first: distorted at their own size, small ones would blur twice.

    Args:
        changes: the augmentation.
        preprocess: enlarges the images.
    """

    def __init__(self, changes: Augment, preprocess: Preprocess):
        super().__init__(changes.views, changes.test_views)
        self.changes, self.preprocess = copy.copy(changes), preprocess
        self.changes.pixel = preprocess.enlargement
        if hasattr(changes, "settings"):  # a class of the user's own needs them only for `views`
            fitting = {name: preprocess.settings[name] for name in ("pad", "size", "interpolation")}
            self.settings = {**changes.settings, "enlarged": fitting}

    def __call__(self, images: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
        return super().__call__(self.preprocess.fitted(images), generators)

    def augment(self, images: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
        return self.changes.augment(images, generators)


def enlarged_first(augment: Augment | None, preprocess: Preprocess) -> Augment | None:
    """Return an augmentation that enlarges images before it, if preprocessing would enlarge them after it."""
    return augment if augment is None or preprocess.enlargement <= 1 else Enlarged(augment, preprocess)


@dataclass(frozen=True)
class InputSpec:
    """The configuration of a backbone's input.

    Args:
        pixels: range of the pixels. `unit`: 0 to 1; `byte`: 0 to 255; `weights`: the weights' normalization, or 0 to 1
            if it is unknown.
        pad: rows and columns of zeros on every side.
        size: height and width to resize to; None: the weights' size, or the images' own if it is unknown.
        interpolation: of the resizing, `bilinear` or `bicubic`; None: the weights', or bilinear if it is unknown.
        trained: the input that the weights were trained on, if it is known.
    """

    pixels: str = "weights"
    pad: int = 0
    size: int | None = None
    interpolation: str | None = None
    trained: PretrainedInput | None = None

    @property
    def scaled(self) -> PretrainedInput:
        """The input that results, as a description to compare with `trained`."""
        size = self.size or (self.trained.size if self.trained else None)
        interpolation = self.interpolation or (self.trained.interpolation if self.trained else "bilinear")
        if self.pixels == "weights" and self.trained:
            return replace(self.trained, size=size, interpolation=interpolation)
        mean, std = NORMALIZATION["unit" if self.pixels == "weights" else self.pixels]
        return PretrainedInput(size, mean, std, interpolation)

    def preprocess(self, image: Sequence[int]) -> Preprocess:
        """Return the preprocessing of images of this shape, (channels, height, width)."""
        return Preprocess(image, self.pad, **asdict(self.scaled))

    def warning(self) -> str | None:
        """Return a warning if the weights get a different input from the one they were trained on."""
        if self.trained is None or not self.trained.differs(self.scaled):
            return None
        chosen = {"dataset.pixels=weights": self.pixels != "weights", "dataset.size=null": self.size is not None}
        return (
            f"the weights were trained on images of {self.trained}, but get images of {self.scaled}; "
            f"for the former, try {' '.join(word for word, is_chosen in chosen.items() if is_chosen)}"
        )
