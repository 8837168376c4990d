"""Resizing as Pillow does it, in operations that ONNX has, for images of any size.

Pillow resamples the rows of an image, then its columns, each with whole weights of 22 bits, and rounds to bytes after
each. Here both are products with a matrix that is computed from the image's size, so that one graph takes any size, and
in float64, which holds these whole numbers exactly: the result is Pillow's, byte for byte, where Pillow begins with the
rows (docs/export.md).
"""

from typing import NamedTuple

import torch

UNIT = 2.0**22  # Pillow's weights are multiples of 1 / UNIT


class Window(NamedTuple):
    """What is resampled along one axis, float64 scalars in pixels.

    Attributes:
        start: of the input's part.
        length: of the input's part.
        first: the first output pixel; those before are black.
        pixels: of the output; those after are black.
    """

    start: torch.Tensor
    length: torch.Tensor
    first: torch.Tensor
    pixels: torch.Tensor


def fitted(pixels: torch.Tensor, height: int, width: int, fit: str, filter: str = "bilinear") -> torch.Tensor:
    """Resize images, (images, channels, any height, any width), with whole numbers from 0 to 255 in float64.

    Args:
        pixels: the images.
        height: of the result.
        width: of the result.
        fit: how another shape becomes this one, as `graft.reading.decode.Reading` has it.
        filter: `bilinear` or `bicubic`.
    """
    rows, columns = _windows(pixels, height, width, fit)
    across = _weights(pixels.shape[3], width, columns, filter)
    down = _weights(pixels.shape[2], height, rows, filter)
    return _to_bytes(down @ _to_bytes(pixels @ across.T))


def _windows(pixels: torch.Tensor, height: int, width: int, fit: str) -> tuple[Window, Window]:
    """Return the windows of rows and of columns."""
    sizes = [torch.scalar_tensor(size, dtype=torch.float64) for size in pixels.shape[2:]]
    zero = torch.zeros_like(sizes[0])
    wanted = [zero + height, zero + width]
    if fit == "crop":
        ratio = width / height
        wide = sizes[1] / sizes[0] >= ratio
        lengths = torch.where(wide, sizes[0], sizes[1] / ratio), torch.where(wide, ratio * sizes[0], sizes[1])
        row, column = (
            Window(0.5 * (size - length), length, zero, count)
            for size, length, count in zip(sizes, lengths, wanted, strict=True)
        )
    elif fit == "squash":
        row, column = (Window(zero, size, zero, count) for size, count in zip(sizes, wanted, strict=True))
    else:
        scale = torch.minimum(wanted[0] / sizes[0], wanted[1] / sizes[1])
        inner = [torch.round(scale * size).clamp(min=1) for size in sizes]
        row, column = (
            Window(zero, size, torch.floor((count - part) / 2), part)
            for size, count, part in zip(sizes, wanted, inner, strict=True)
        )
    return row, column


def _weights(size: int, count: int, window: Window, filter: str) -> torch.Tensor:
    """Return the weight of each input pixel in each output pixel, (count, size), times `UNIT`."""
    start, end = window.start.float(), (window.start + window.length).float()  # Pillow's box is of 32 bits
    step = (end - start).double() / window.pixels
    place = torch.arange(count, dtype=torch.float64) - window.first
    center = start.double() + (place + 0.5) * step
    inverse = 1 / step.clamp(min=1)  # antialiasing: the filter is as wide as the step
    distance = (torch.arange(size, dtype=torch.float64) - center[:, None] + 0.5) * inverse
    shares = _bicubic(distance.abs()) if filter == "bicubic" else (1 - distance.abs()).clamp(min=0)
    shares = shares / shares.sum(1, keepdim=True).clamp(min=1e-9)  # black pixels beyond the picture have none
    inside = (place >= 0) & (place < window.pixels)
    whole = torch.sign(shares) * torch.floor(shares.abs() * UNIT + 0.5)
    return whole * inside[:, None].double()


def _bicubic(distance: torch.Tensor) -> torch.Tensor:
    """Return Keys's cubic (1981) with a = -0.5, of distances of 0 or more."""
    a = -0.5
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * a
    return torch.where(distance < 1, near, torch.where(distance < 2, far, torch.zeros_like(far)))


def _to_bytes(sums: torch.Tensor) -> torch.Tensor:
    return torch.floor(sums / UNIT + 0.5).clamp(0, 255)
