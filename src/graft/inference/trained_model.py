"""A finished job's model: one network for each kept trial behind the frozen part that they share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from graft.data.preprocess import Preprocess
from graft.inference.calibration import Calibration, scaled
from graft.reading.decode import pixels_or_reason
from graft.reading.depth import White


class HowRead(NamedTuple):
    """How a model's files are read: arguments of `decode`.

    Attributes:
        fit: `dataset.fit`.
        white: the values that are white; None where training images had 8 bits.
        interpolation: of files that are resized, `bilinear` or `bicubic`.
    """

    fit: str
    white: White | None
    interpolation: str


class TrainedModel(nn.Module):
    """The networks of a job's kept trials. It is in evaluation mode and needs no gradients.

    Args:
        front: preprocessing and frozen stages; the first module is a `Preprocess`.
        networks: for each kept trial its other stages, and its head.
        config: the content of `model.yaml`.
        folder: the job's.
        calibration: from what its trials said of images that they did not train on; None: there is none.
        named: what was typed for the folder, such as a zip file of it; None: the folder.

    Attributes:
        preprocess: scales bytes, (images, channels, height, width), as the backbone expects them.
        frozen: the stages that all trials share, after the preprocessing.
        classes: names of the classes, in the order of the logits.
        seeds: of the kept trials.
        image_shape: channels, height and width of the images that it takes.
        temperature: at which the trials' averaged probabilities are calibrated; None: they are not.
    """

    def __init__(
        self,
        front: nn.Sequential,
        networks: Sequence[nn.Module],
        config: dict[str, Any],
        folder: Path,
        calibration: Calibration | None = None,
        named: Path | None = None,
    ):
        super().__init__()
        preprocess, *stages = front
        assert isinstance(preprocess, Preprocess)
        self.preprocess, self.frozen = preprocess, nn.Sequential(*stages)
        self.networks = nn.ModuleList(networks)
        self.config, self.folder, self.named = config, folder, named or folder
        self.classes: list[str] = list(config["classes"])
        self.seeds: list[int] = list(config["seeds"])
        self.image_shape: tuple[int, int, int] = tuple(config["image"])
        reason = "the model was not loaded from a job's folder"
        self.calibration = calibration or Calibration(None, reason, reason)
        self.temperature: float | None = self.calibration.temperature
        self.requires_grad_(False).eval()

    @property
    def device(self) -> torch.device:
        """The device on which it computes."""
        return self.preprocess.shift.device

    @property
    def reading(self) -> HowRead:
        """How files are read."""
        reading = self.config.get("reading") or {}
        white = White(**reading["white"]) if reading.get("white") else None
        return HowRead(reading.get("fit") or "crop", white, reading.get("interpolation") or "bilinear")

    def read(self, path: Path) -> torch.Tensor | str:
        """Return a file's pixels, as the job's images were read, or why they cannot be."""
        cut_off = (self.config.get("reading") or {}).get("bits", "auto") != "auto"
        return pixels_or_reason(path, self.image_shape, *self.reading, cut_off)

    def train(self, mode: bool = True) -> "TrainedModel":
        return super().train(False)  # whatever holds it: dropout and batch statistics would change what it says

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map bytes, (images, channels, height, width), to logits, (trials, images, classes)."""
        features = self.features(pixels)
        return torch.stack([network(features) for network in self.networks])

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map bytes, (images, channels, height, width), to the frozen part's output, (images, ...)."""
        return self.frozen(self.preprocess(pixels))

    @torch.inference_mode()
    def logits(self, pixels: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
        """Return each trial's logits, (trials, images, classes), as float32 on the CPU.

        Args:
            pixels: bytes of the model's image shape, (images, channels, height, width), or a list of such images.
        """
        batch = pixels if isinstance(pixels, torch.Tensor) else torch.stack(list(pixels))
        return self(batch.to(self.device)).float().cpu()

    def probabilities(self, pixels: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
        """Return each trial's probabilities, (trials, images, classes), which sum to 1; arguments as for `logits`."""
        return self.logits(pixels).softmax(-1)

    def calibrated(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Return the mean over the trials, (images, classes), at the temperature; its most probable class is the same.

        Args:
            probabilities: of each trial, (trials, images, classes).
        """
        return scaled(probabilities.mean(0), self.temperature)
