"""The graph that is exported: from bytes of any size to probabilities, of one trial or of several together."""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from graft.export.resize import fitted
from graft.inference.calibration import scaled
from graft.inference.trained_model import TrainedModel

GRAY = (19595.0, 38470.0, 7471.0)  # Pillow's weights of red, green and blue, of 65,536


class ExportedModel(nn.Module):
    """A job's model with all that its reading and preprocessing does to decoded pixels.

    Args:
        model: the job's; it stays as it is.
        seeds: of the trials whose probabilities are averaged.
        half: whether the networks have 16-bit weights and compute with them.

    Attributes:
        temperature: at which the averaged probabilities are calibrated; None: they are not, as those of some of the
            trials, for which none was fitted.
        fit: how a picture becomes the model's shape, as `graft.reading.decode.Reading` has it.
        interpolation: of that, likewise.
    """

    def __init__(self, model: TrainedModel, seeds: Sequence[int], half: bool = False):
        super().__init__()
        self.preprocess = model.preprocess
        self.image_shape = model.image_shape
        self.fit, _, self.interpolation = model.reading
        networks = [network for seed, network in zip(model.seeds, model.networks, strict=True) if seed in seeds]
        self.temperature = model.temperature if len(networks) == len(model.networks) else None
        self.half_precision = half
        self.frozen, self.networks = copy.deepcopy((model.frozen, nn.ModuleList(networks)))
        if half:
            self.frozen.half()
            self.networks.half()
        self.requires_grad_(False).eval()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map bytes, (images, height, width, 3), red, green, blue, to probabilities, (images, classes)."""
        inputs = self.scaled(self.read(pixels))
        features = self.frozen(inputs.half() if self.half_precision else inputs)
        probabilities = [network(features).float().softmax(1) for network in self.networks]
        return scaled(torch.stack(probabilities).mean(0), self.temperature)

    def read(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return images as the job's reading makes them, (images, channels, height, width), whole numbers in float64.

        Gray comes before resizing, as in `graft.reading.decode.decode`.
        """
        channels, height, width = self.image_shape
        planes = pixels.permute(0, 3, 1, 2).double()
        if channels == 1:
            weights = torch.tensor(GRAY, dtype=torch.float64).view(1, 3, 1, 1)
            planes = torch.floor(((planes * weights).sum(1, keepdim=True) + 2**15) / 2**16)
        return fitted(planes, height, width, self.fit, self.interpolation)

    def scaled(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the first stage's inputs, as `graft.data.preprocess.Preprocess` makes them."""
        preprocess = self.preprocess
        if preprocess.pad:
            pixels = nn.functional.pad(pixels, [preprocess.pad] * 4)
        (height, width), (rows, columns) = pixels.shape[-2:], preprocess.resized
        if (height, width) != (rows, columns):  # the shorter side becomes the size, the center of the longer one stays
            shorter, size = min(height, width), min(rows, columns)
            height, width = int(size * height / shorter), int(size * width / shorter)
            pixels = fitted(pixels, height, width, "squash", preprocess.interpolation.value)
            top, left = round((height - rows) / 2), round((width - columns) / 2)
            pixels = pixels[:, :, top : top + rows, left : left + columns]
        pixels = pixels.float().expand(-1, preprocess.output_shape[0], -1, -1)
        return (pixels - preprocess.shift) / preprocess.scale
