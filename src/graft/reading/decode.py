"""Decoding: from an image file to bytes, so that what a person sees is what is learned.

Whatever the file's mode is, its picture is upright, on white paper where it is transparent, and gray or RGB. Values of
more than 8 bits are scaled as `depth` says. Of several frames or pages the first is read. Color profiles are ignored.
"""

import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from graft.errors import GraftError
from graft.reading.depth import SIXTEEN_BITS, Deep, White, check_values, deep_kind, measure, scale_transparent, to_bytes
from graft.reading.layout import named

# Part of the identity of image files: with another version their features, pre-trainings and jobs are made anew. Raise
# it with every change here or in depth.py that alters a decoded byte. Pillow's own version is no part of it: an upgrade
# may round a JPEG differently, which is not worth running every finished job again; result.json names the version.
DECODER_VERSION = 2

GRAY_MODES = ("1", "L", "LA", "La", "F")  # Pillow's modes without color, besides those of whole numbers: I, I;16, ...
ORIENTATION = 0x0112  # EXIF's tag; values from 5 on exchange width and height
ONE_PICTURE = ("MPO", "PSD")  # formats whose further frames are previews and layers of the same picture


@dataclass(frozen=True)
class Reading:
    """How image files are read.

    Attributes:
        fit: how a picture becomes square: `crop` its center, `squash` it, or `pad` it with black.
        bits: of files with more than 8 bits a channel, as `find_white` takes them.
        max_pixels: the most pixels of a picture; None: Pillow's limit.
        interpolation: of pictures that are resized, `bilinear` or `bicubic`.
    """

    fit: str = "crop"
    bits: int | str = "auto"
    max_pixels: int | None = None
    interpolation: str = "bilinear"


class Header(NamedTuple):
    """What a file's header says of its image, upright.

    Attributes:
        height: in pixels.
        width: in pixels.
        color: whether it has color.
        several: whether it has several frames or pages.
        deep: what it contains, if it has more than 8 bits a channel.
    """

    height: int
    width: int
    color: bool
    several: bool = False
    deep: Deep | None = None


@contextmanager
def pixel_limit(max_pixels: int | None) -> Iterator[None]:
    """Let Pillow open pictures of up to so many pixels; None: its own limit. The limit is the whole process's."""
    if max_pixels is None:
        yield
        return
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = -(-max_pixels // 2)  # Pillow warns above this, and refuses above twice as many
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    # Given a name instead of a file, Pillow maps some TIFFs into memory, and misreads those that are to be turned.
    with path.open("rb") as file, Image.open(file) as image:
        yield image


def header(path: Path, measured: bool = True) -> Header | str:
    """Return a file's header, or why it cannot be read.

    Args:
        path: the file.
        measured: whether to decode a file with more than 8 bits a channel to find its largest value; else it is NaN.
    """
    try:
        with _opened(path) as image:
            kind, color = deep_kind(image), not (image.mode in GRAY_MODES or image.mode.startswith("I"))
            several = getattr(image, "is_animated", False) and image.format not in ONE_PICTURE
            deep = None if kind is None else measure(image, kind) if measured else Deep(kind, math.nan)
            turned = image.getexif().get(ORIENTATION, 1) >= 5
            if turned and image.format == "TIFF":
                image.load()  # Pillow turns it itself
            width, height = reversed(image.size) if turned and image.format != "TIFF" else image.size
            return Header(height, width, color, several, deep)
    except Exception as error:  # Pillow's exceptions for broken files depend on the format
        return _reason(path, error)


def header_if_decodable(path: Path) -> Header | str:
    """Decode a file, and return its header as `header` does, or why it cannot be decoded."""
    return failure(path) or header(path)


def failure(path: Path) -> str | None:
    """Return why a file cannot be decoded; None: it can."""
    try:
        decode(path, (3, 8, 8))
    except Exception as error:
        return _reason(path, error)
    return None


def unreadable_error(words: str, root: Path, num_files: int, reasons: Mapping[Path, str]) -> GraftError:
    """Return the error that names unreadable files, with their reasons; `words` say where files come from."""
    skip = ", or mark them in an audit's table (dataset.exclude), or skip them with dataset.skip_unreadable=true"
    return GraftError(
        f"{len(reasons)} of the {num_files:,} files under {words} cannot be read as images: "
        f"{named(root, reasons)}; repair or remove them{skip * (len(reasons) < num_files)}"
    )


def pixels_or_reason(
    path: Path,
    shape: tuple[int, int, int],
    fit: str,
    white: White | None,
    interpolation: str = "bilinear",
    cut_off: bool = False,
) -> torch.Tensor | str:
    """Decode a file that may be anything, as `decode` does, or return why it cannot be read as training images were.

    Arguments are those of `decode`; `white` is None where training files had 8 bits a channel.
    """
    try:
        if not path.is_file():  # opening a pipe would wait forever
            return _what(path)
        return decode(path, shape, fit, white, interpolation, checked=True, cut_off=cut_off)
    except Exception as error:  # Pillow's exceptions for broken files depend on the format
        try:
            return _reason(path, error).partition("; dataset.max_pixels=")[0]
        except (OSError, ValueError) as another:  # the file is gone, or its name is none
            return str(another)


def _what(path: Path) -> str:
    if path.is_dir():
        return "it is a folder" if os.access(path, os.R_OK | os.X_OK) else "it is a folder that cannot be read"
    return "it is no regular file" if path.exists() else "there is no such file"


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        pixels, limit = map(int, re.findall(r"\d+", str(error))[:2])
        return f"{pixels:,} pixels, above the limit of {limit:,}; dataset.max_pixels={pixels} allows it"
    if isinstance(error, OSError) and error.strerror:  # the operating system's, such as a lack of permission
        return error.strerror
    if path.stat().st_size == 0:
        return "empty file"
    if isinstance(error, UnidentifiedImageError):
        return "its content is no image that Pillow reads"
    return " ".join(str(error).split()) or type(error).__name__


def decode(
    path: Path,
    shape: tuple[int, int, int],
    fit: str = "crop",
    white: White | None = SIXTEEN_BITS,
    interpolation: str = "bilinear",
    checked: bool = False,
    cut_off: bool = True,
) -> torch.Tensor:
    """Decode an image, upright, as bytes of a shape, (channels, height, width).

    Args:
        path: the file.
        shape: of the result.
        fit: how another shape becomes this one, as `Reading` has it.
        white: the values that become 255 in files with more than 8 bits a channel; None: unknown, which refuses them.
        interpolation: as `Reading` has it.
        checked: whether to refuse what a data set's files are searched for before any is decoded.
        cut_off: whether values above white become white where `checked`; else they are refused.

    Raises:
        Exception: the file cannot be decoded; Pillow's exceptions depend on the format.
    """
    channels, height, width = shape
    with _opened(path) as image:
        image.draft(None, (max(height, width), max(height, width)))  # a JPEG is decoded at the least sufficient size
        kind = deep_kind(image)
        if checked and kind is not None:
            check_values(image, kind, white, cut_off)
        if kind in ("whole", "real"):
            if white is None:
                raise ValueError(
                    "more than 8 bits a channel, unlike all training images: its white is unknown; convert it"
                )
            scaled = to_bytes(image, kind, white)
            scaled.getexif()[ORIENTATION] = image.getexif().get(ORIENTATION, 1)
            upright = ImageOps.exif_transpose(scaled)
        else:
            scale_transparent(image)
            upright = ImageOps.exif_transpose(image)
    flat = _on_white(upright).convert("RGB" if channels == 3 else "L")
    pixels = torch.from_numpy(np.array(_fitted(flat, (width, height), fit, interpolation)))
    return pixels.permute(2, 0, 1) if channels == 3 else pixels[None]


def _on_white(image: Image.Image) -> Image.Image:
    """Lay a picture on white paper, so that the hidden color of transparent pixels is not seen."""
    if image.mode == "La":  # alpha is multiplied in; Pillow converts this mode to LA only
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _fitted(image: Image.Image, size: tuple[int, int], fit: str, interpolation: str) -> Image.Image:
    """Return a picture at a size, (width, height)."""
    if image.size == size:
        return image
    method = Image.Resampling[interpolation.upper()]
    if fit == "crop":
        return ImageOps.fit(image, size, method)
    if fit == "squash":
        return image.resize(size, method)
    scale = min(size[0] / image.width, size[1] / image.height)
    inner = (max(1, round(scale * image.width)), max(1, round(scale * image.height)))  # a line stays a line
    padded = Image.new(image.mode, size)  # black
    padded.paste(image.resize(inner, method), ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return padded
