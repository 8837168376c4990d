"""Depth: the values of image files with more than 8 bits a channel, and which of them is white in a whole data set.

What is white is a unit, not a statistic: it is found once from all files, training and test images alike.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

DEPTHS = (8, 10, 12, 14, 16)  # bits of cameras, microscopes and X-ray detectors
SHADES = {"L;2": 85, "L;4": 17}  # PNG's grays of few bits: the distance of two shades
BITS_PER_SAMPLE, PHOTOMETRIC, PLANES, SAMPLE_FORMAT = 258, 262, 284, 339  # TIFF's tags
UNSIGNED, SIGNED = 1, 2  # of SAMPLE_FORMAT
SEPARATE = 2  # of PLANES


class Deep(NamedTuple):
    """What a file with more than 8 bits a channel contains.

    Attributes:
        kind: `whole` or `real` numbers; `coarse`: whole ones of 16 bits, of which Pillow reads the upper 8 only.
        peak: the largest value.
    """

    kind: str
    peak: float


@dataclass(frozen=True)
class White:
    """The values that are white.

    Attributes:
        whole: of whole numbers, such as 4,095 for 12 bits.
        real: of floating-point numbers.
    """

    whole: float
    real: float


SIXTEEN_BITS = White(2**16 - 1, 1)


def deep_kind(image: Image.Image) -> str | None:
    """Return the kind of an opened image that is not loaded yet, as `Deep` has it; None: 8 bits a channel or less."""
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F":
        return "real"
    if image.mode.startswith("I") or SIGNED in tags.get(SAMPLE_FORMAT, ()):
        return "whole"
    codec, layout = _codec(image)
    deep_ppm = image.format == "PPM" and isinstance(layout[-1], int) and layout[-1] > 255  # the end of its range
    deep_layout = codec == "SGI16" or re.search(";16[BLN]", str(layout[0]))  # while ;16 alone is 5, 6 and 5 bits
    if deep_ppm or deep_layout or max(tags.get(BITS_PER_SAMPLE, (8,))) > 8:
        return "coarse"
    return None


def scale_transparent(image: Image.Image) -> None:
    """Scale the one color that is transparent in a PNG to bytes, as Pillow scales its pixels."""
    color, layout = image.info.get("transparency"), raw_mode(image)
    if layout in SHADES and isinstance(color, int):
        image.info["transparency"] = color * SHADES[layout]
    elif layout == "RGB;16B" and isinstance(color, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in color)


def raw_mode(image: Image.Image) -> str:
    """Return how the pixels of an opened image are laid out in its file, `RGB;16B`; unknown once they are loaded."""
    return str(_codec(image)[1][0])


def _codec(image: Image.Image) -> tuple[str, tuple]:
    """Return the name of an opened image's decoder, and its arguments, of which the first is the layout."""
    for name, _, _, arguments in getattr(image, "tile", ()):
        return name, arguments if isinstance(arguments, tuple) and arguments else (arguments,)
    return "", ("",)


def measure(image: Image.Image, kind: str) -> Deep:
    """Find the largest value of an image.

    Raises:
        ValueError: it has values that are negative, no finite numbers, or misread by Pillow.
    """
    if kind == "coarse":
        check_coarse(image, kind, SIXTEEN_BITS)
        colors = np.asarray(image)[..., : 3 if image.mode == "RGBA" else None]
        return Deep(kind, 256 * float(colors.max()) + 255)
    values = _values(image)
    if not np.isfinite(values).all():
        raise ValueError("it has values that are no finite numbers")
    if values.min() < 0:
        raise ValueError(f"it has negative values, down to {values.min():g}, which no shade of gray stands for")
    return Deep(kind, float(values.max()))


def check_coarse(image: Image.Image, kind: str, white: White) -> None:
    """Refuse an image of 16 bits in several channels where Pillow misreads it, or the lower 8 bits would be needed.

    Raises:
        ValueError: says why.
    """
    if kind != "coarse":
        return
    if getattr(image, "tag_v2", {}).get(PLANES) == SEPARATE:
        raise ValueError("it has 16 bits in separate planes, which Pillow misreads; convert it to 8 bits")
    if white.whole < SIXTEEN_BITS.whole:
        raise ValueError(f"only the upper 8 of its 16 bits can be read, but {white.whole:,.0f} is white; convert it")


def check_values(image: Image.Image, kind: str, white: White | None, cut_off: bool) -> None:
    """Refuse an image that a data set's other images are unlike, as a file of the data set would have been noticed.

    Args:
        image: opened.
        kind: its own, as `deep_kind` has it.
        white: the data set's; None: its files had 8 bits a channel.
        cut_off: whether larger values are white, too. Else whole numbers are refused, as `dataset.bits=auto` holds all,
            and real ones above twice the data set's largest, which others of its kind may exceed.

    Raises:
        ValueError: says why.
    """
    check_coarse(image, kind, white or SIXTEEN_BITS)
    if kind == "coarse" or white is None:
        return
    peak, own = measure(image, kind).peak, white.whole if kind == "whole" else white.real
    if not cut_off and peak > (own if kind == "whole" else 2 * own):
        raise ValueError(f"its values reach {peak:,.10g}, but {own:,.10g} is white in the job's images; convert it")


def find_white(found: Sequence[Deep], bits: int | str) -> White:
    """Return the values that are white in a data set.

    Args:
        found: its files with more than 8 bits a channel.
        bits: the bits of these files' values; `auto`: the fewest of 8, 10, 12, 14, 16 and up that hold all whole
            numbers. Real numbers up to 1 have white at 1, larger ones at their own maximum unless `bits` is a number.
    """
    whole = max((deep.peak for deep in found if deep.kind != "real"), default=0)
    real = max((deep.peak for deep in found if deep.kind == "real"), default=0)
    if isinstance(bits, int):
        return White(2**bits - 1, 1 if real <= 1 else 2**bits - 1)
    enough = next((depth for depth in DEPTHS if whole < 2**depth), int(whole).bit_length())
    return White(2**enough - 1, max(1, real))


def to_bytes(image: Image.Image, kind: str, white: White) -> Image.Image:
    """Scale an image of whole or real numbers to bytes, white to 255 with all above it."""
    values = _values(image).astype(np.float64)
    scaled = np.rint(np.clip(values / (white.real if kind == "real" else white.whole), 0, 1) * 255)
    if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0:  # white is zero, which Pillow respects for 8 bits only
        scaled = 255 - scaled
    if "transparency" in image.info:  # the one value that is transparent, seen on white paper
        scaled[values == image.info["transparency"]] = 255
    return Image.fromarray(scaled.astype(np.uint8))


def _values(image: Image.Image) -> np.ndarray:
    """Return an image's values, (height, width), in the file's type, which Pillow may have taken for another one."""
    values, tags = np.asarray(image), getattr(image, "tag_v2", {})
    unsigned = tags.get(BITS_PER_SAMPLE) == (32,) and UNSIGNED in tags.get(SAMPLE_FORMAT, (UNSIGNED,))
    if values.dtype == np.uint8:
        values = values.view(np.int8)
    elif values.dtype == np.uint16 and image.format == "FITS":
        values = values.view(np.int16)
    elif values.dtype == np.int32 and unsigned:
        values = values.view(np.uint32)
    return values
