"""Arrays of images, in the layouts and value ranges that people have them in, as bytes."""

import io
import warnings
from collections.abc import Iterator, Sequence, Set
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from graft.errors import GraftError
from graft.nouns import counted
from graft.reading.decode import ORIENTATION

# Floats up to 1 are 0 to 1, and floats whose largest is at least this are 0 to 255: between them nobody can tell.
LEAST_BRIGHT = 128
ROUNDING = 0.001  # of white, by which floats may be out of their range: that is less than half a byte, and lost
BLACK = 32  # a few images to predict may be dark, but bytes below this look black: 0 and 1, or 0 to 16
CHANNELS = (1, 3)
PLAIN_MODES = ("1", "L", "RGB")  # of Pillow's pictures, whose pixels are bytes without transparency
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")  # that a PNG file keeps as they are


def as_bytes(images: Any, unit: bool | None = None) -> torch.Tensor:
    """Return images as bytes, (images, channels, height, width).

    Args:
        images: an array or a tensor, (images, height, width), (images, height, width, channels) or (images, channels,
            height, width), with 1 or 3 channels; bytes, whole numbers from 0 to 255, or floats from 0 to 1 or to 255.
            Or a list of Pillow's pictures, or of arrays, of one size.
        unit: whether floats are from 0 to 1; None: as their largest value says.

    Raises:
        GraftError: they are something else, or their values have no clear meaning.
    """
    values = as_array(images)
    _warn_of_two_scales(values)
    found = _channels_first(to_bytes(values, unit))
    # A read-only array is copied: PyTorch warns of it.
    return torch.from_numpy(np.require(found, requirements=["C", "W"]))


def as_array(images: Any) -> np.ndarray:
    """Return images as one array of numbers.

    Raises:
        GraftError: they have several shapes, or are no numbers.
    """
    if isinstance(images, Sequence) and not isinstance(images, str):
        _refuse_several_kinds(images)
        values = _stacked([_one(image) for image in images])
    elif hasattr(images, "__array__"):
        values = _one(images)
    else:  # NumPy would ask a data set of PyTorch for one item after another, without an end
        raise GraftError(
            "images must be arrays of numbers, or a list of Pillow's pictures, got "
            f"{type(images).__name__}{_try(images)}"
        )
    if values.dtype.kind not in "buif":
        column = '["COLUMN"]' if hasattr(images, "columns") else ""  # a table's own items are names of columns
        advice = "" if isinstance(images, Sequence) else f"; try list(images{column})"
        raise GraftError(f"images must be arrays of numbers, or Pillow's pictures, got {values.dtype}{advice}")
    if not values.size:
        raise GraftError(f"there are no images: the array has the shape {values.shape}")
    return values


def _try(images: Any) -> str:
    """Return what to try in place of images of another kind."""
    if isinstance(images, Image.Image):
        return "; try [image] for one image"
    if isinstance(images, Iterator | Set):
        return "; try list(images)"
    if hasattr(images, "__getitem__") and hasattr(images, "__len__") and not isinstance(images, str | dict):
        # A loop over the data set itself may have no end: few of those that people write raise IndexError.
        return "; try [images[i][0] for i in range(len(images))] if it is a data set of PyTorch"
    return ""


def _one(image: Any) -> np.ndarray:
    if isinstance(image, Image.Image):
        if image.mode not in PLAIN_MODES:
            raise GraftError(f"pictures must have the mode L or RGB, got {image.mode}; try image.convert('RGB')")
        return np.asarray(image.convert("L") if image.mode == "1" else image)
    if isinstance(image, torch.Tensor):
        dense = image.detach().cpu().to_dense()
        return (dense.float() if dense.dtype == torch.bfloat16 else dense).numpy()
    try:
        return np.asarray(image)
    except ValueError:  # of lists in lists
        raise GraftError("images must be arrays of numbers, but the rows of one have several lengths") from None


def _refuse_several_kinds(images: Sequence[Any]) -> None:
    """Refuse bytes and floats in one list: as one array, floats from 0 to 1 would be black beside bytes.

    Raises:
        GraftError: there are both.
    """
    kinds = {"uint8" if isinstance(each, Image.Image) else str(getattr(each, "dtype", "")) for each in images} - {""}
    kinds = {kind.removeprefix("torch.") for kind in kinds}
    floats = {kind for kind in kinds if "float" in kind}
    if len(kinds) > 1 and ("bool" in kinds or (floats and kinds - floats)):
        raise GraftError(
            f"images of one list must be of one kind, got {' and '.join(sorted(kinds))}: their white may differ; try "
            "bytes for all of them, or floats from 0 to 1"
        )


def upright(images: Any) -> Any:
    """Return images with Pillow's pictures turned as their EXIF says, as files are: `Image.open` does not turn them."""
    if not isinstance(images, Sequence) or isinstance(images, str):
        return images
    return [_upright(each) if isinstance(each, Image.Image) else each for each in images]


def _upright(picture: Image.Image) -> Image.Image:
    return picture if picture.getexif().get(ORIENTATION, 1) == 1 else ImageOps.exif_transpose(picture)


def png(picture: Image.Image) -> bytes:
    """Return a PNG file of a picture that a person sees as the picture; more than 8 bits of a gray one are kept.

    Raises:
        GraftError: no PNG file has its values.
    """
    if picture.mode == "F":
        raise GraftError("what is white in a picture of mode F is unclear; try arrays of floats from 0 to 1, or bytes")
    if picture.mode.startswith("I") and picture.mode != "I;16":
        values = np.asarray(picture)
        if values.min() < 0 or values.max() >= 2**16:
            raise GraftError(f"pictures must have values from 0 to 65535, got {values.min()} to {values.max()}")
        picture = Image.fromarray(values.astype(np.uint16))
    if picture.mode == "La":  # Pillow converts it to LA only
        picture = picture.convert("LA")
    if picture.mode not in PNG_MODES:
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    output = io.BytesIO()
    picture.save(output, "PNG")
    return output.getvalue()


def warn_if_dark(brightest: int, least: int = LEAST_BRIGHT) -> None:
    """Warn if bytes, given the brightest of all, are so dark that white may be another value than 255.

    Args:
        brightest: the largest byte of all images.
        least: the largest byte from which there is no doubt.
    """
    if not 0 < brightest < least:
        return
    warnings.warn(
        f"the brightest of all pixels is {brightest} of 255; if that stands for white, the images are too dark: give "
        "floats of which 1 is white, or bytes of which 255 is",
        stacklevel=4,  # the line that calls graft.arrays or Model.predict
    )


def _warn_of_two_scales(values: np.ndarray) -> None:
    """Warn if some images look as if they were from 0 to 1 beside others up to 255: they would be black."""
    if values.dtype.kind != "f" or values.max() < LEAST_BRIGHT:
        return
    brightest = values.reshape(len(values), -1).max(1)
    dark = int(((brightest > 0) & (brightest <= 1 + ROUNDING)).sum())
    if dark:
        warnings.warn(
            f"{counted(dark, 'image')} of {len(values)} have no pixel above 1, where others reach {values.max():g}: if "
            "1 stands for white in them, they are black here; give all images on one scale",
            stacklevel=3,
        )


def _stacked(images: list[np.ndarray]) -> np.ndarray:
    shapes = sorted({image.shape for image in images})
    if len(shapes) > 1:
        raise GraftError(
            f"the images have {len(shapes)} shapes, such as {shapes[0]} and {shapes[-1]}; try a list of Pillow's "
            "pictures, whose sizes may differ"
        )
    return np.stack(images) if images else np.zeros(0)


def _channels_first(values: np.ndarray) -> np.ndarray:
    if values.ndim == 3 and values.shape[-1] not in CHANNELS:
        return values[:, None]
    first, last = values.ndim == 4 and values.shape[1] in CHANNELS, values.ndim == 4 and values.shape[-1] in CHANNELS
    if first != last:
        return values if first else values.transpose(0, 3, 1, 2)
    expected = "(images, height, width), (images, height, width, channels) or (images, channels, height, width)"
    advice = "with 1 or 3 channels; try images[..., :3] to leave out transparency, or [image] for one image"
    raise GraftError(f"images must be {expected}, {advice}; got {values.shape}")


def to_bytes(values: np.ndarray, unit: bool | None = None) -> np.ndarray:
    """Return pixel values as bytes; floats are rounded.

    Args:
        values: bytes, whole numbers from 0 to 255, or floats from 0 to 1 or to 255.
        unit: whether they are from 0 to 1; None: as `is_unit` says.

    Raises:
        GraftError: they have no clear meaning.
    """
    if values.dtype == np.uint8:
        return values
    unit = is_unit(values) if unit is None else unit
    most = 1 if unit else 255
    low, high = float(values.min()), float(values.max())
    if not _within(low, high, most):  # NaN, too
        raise GraftError(
            f"pixels must be from 0 to {most}, got {low:g} to {high:g}; try images before they are normalized"
        )
    return np.rint(values * (255.0 if unit else 1.0)).astype(np.uint8)


def _within(low: float, high: float, white: float) -> bool:
    """Return whether pixel values are from 0 to white, but for rounding."""
    return low >= -ROUNDING * white and high <= (1 + ROUNDING) * white


def is_unit(values: np.ndarray) -> bool:
    """Return whether pixel values are from 0 to 1, rather than to 255.

    Raises:
        GraftError: they have no clear meaning.
    """
    if values.dtype == np.uint8:
        return False
    if values.dtype == bool:
        return True
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise GraftError("pixels must be numbers from 0 to 1 or from 0 to 255, and some are NaN or infinite")
    if values.dtype.kind == "f" and _within(low, high, 1) and len(np.unique(values)) > 2:
        return True
    if _within(low, high, 255) and high >= LEAST_BRIGHT:
        return False
    raise GraftError(
        f"what is white is unclear: pixels must be bytes, or floats from 0 to 1 or from 0 to 255, got {values.dtype} "
        f"from {low:g} to {high:g}; try (255 * images / WHITE).astype('uint8') with the value of WHITE"
    )
