"""The images of a finished job, read again from the data set that its configuration names.

Reports without pictures need no torch: it is imported inside functions only.
"""

import io
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas
from omegaconf import OmegaConf
from PIL import Image

from graft.config.build import build
from graft.config.target import find_target
from graft.config.values import PREPROCESSING
from graft.content import digests
from graft.errors import ConfigError, GraftError
from graft.results.records import Record

if TYPE_CHECKING:
    from graft.data.images import Images
    from graft.reading.decode import Header

DATA_SET = re.compile(r"graft\.dataset(_table)?\.\w+")  # the full name of a data set's class
SIDE = 96  # most pixels of a thumbnail's side
LOSSLESS = 48  # thumbnails up to this size are PNG, where JPEG would be no smaller

log = logging.getLogger("graft")


def thumbnails(record: Record, numbers: Sequence[int]) -> dict[int, bytes]:
    """Return small pictures, JPEG or PNG, of images of a finished job that has outcomes, by number.

    Images whose content is no longer the one that the job saw, or that cannot be read, are left out.

    Raises:
        GraftError: the data set cannot be read.
    """
    assert record.outcomes is not None
    listed = record.outcomes.images.loc[list(numbers)]
    option, found = record.config.get("dataset") or {}, None
    if option.get("_target_") == "graft.dataset.ImageFolder" and option.get("root"):
        found = _of_files(listed, option)
    if found is None:
        found = _of_data_set(record, listed)
    return {number: _encoded(pixels) for number, pixels in found.items() if pixels is not None}


def images_of(
    result: Mapping[str, Any],
    size: int,
    cache: Path | None = None,
    shape: tuple[int, int, int] | None = None,
    interpolation: str = "bilinear",
) -> "Images":
    """Return the images of the data set that a result's configuration names, files read in a size.

    Args:
        result: the content of a `result.json`.
        size: height and width of files that are larger or differ in shape.
        cache: folder in which the digests of files are remembered; None: every file is read.
        shape: what images must have, (channels, height, width); None: any.
        interpolation: of files that are resized, which is not the data set's own but that of the model's weights.

    Raises:
        GraftError: it names another class than one of Graft's, which might run anything, or the files are not there or
            not of this shape.
    """
    option = (result.get("config") or {}).get("dataset")
    if not isinstance(option, dict) or not _is_data_set(option):
        named = option.get("_target_") if isinstance(option, dict) else None
        raise GraftError(f"its data set, {named}, is none of Graft's: the class is not run")
    known = {"size": size, "download": False, "interpolation": interpolation} | (
        {} if cache is None else {"cache": str(cache)}
    )
    dataset = {key: value for key, value in option.items() if key not in known}
    marks = option.get("exclude")
    gone = ("exclude",) if marks is None or not Path(marks).is_file() else ()  # readable images keep their numbers
    images = build(OmegaConf.create({"dataset": dataset}), "dataset", leave_out=(*PREPROCESSING, *gone), **known).images
    if shape is not None and images.shape != shape:
        raise GraftError(f"its images are read as {images.shape}, but the model takes {shape}")
    return images


def unchanged_images(
    result: Mapping[str, Any],
    listed: pandas.DataFrame,
    size: int,
    interpolation: str = "bilinear",
    shape: tuple[int, int, int] | None = None,
) -> tuple["Images", dict[int, int]]:
    """Return a data set as it is now, and the places in it of a finished job's images that are what the job saw.

    An image is found by its name, and has another place if others were added or removed before it.

    Args:
        result: the content of the job's `result.json`.
        listed: rows of its `images.csv`, by number.
        size: as `images_of` has it.
        interpolation: likewise.
        shape: likewise.

    Raises:
        GraftError: the data set cannot be read.
    """
    from graft.data.listing import names

    cache = Path((result.get("config") or {}).get("cache") or "outputs/cache")
    disabled, log.disabled = log.disabled, True  # a data set's remarks have been made when the job ran
    try:
        images = images_of(result, size, cache if cache.is_dir() else None, shape, interpolation)
    finally:
        log.disabled = disabled
    everything = range(len(images.labels))
    places = dict(zip(names(images, everything), everything, strict=True))
    paths = dict(zip(listed.index.tolist(), listed["path"], strict=True))
    found = {number: places[path] for number, path in paths.items() if path in places}
    return images, {number: place for number, place in found.items() if images.digests[place] == listed["hash"][number]}


def _is_data_set(option: Mapping[str, Any]) -> bool:
    """Return whether an option names one of Graft's data sets: `graft.dataset.torch.hub.load` is none."""
    from graft.data.dataset import Dataset

    named = option.get("_target_")
    if not isinstance(named, str) or not DATA_SET.fullmatch(named) or any(isinstance(v, dict) for v in option.values()):
        return False
    try:
        found = find_target("dataset._target_", named)
    except ConfigError:  # there is none of this name
        return False
    return isinstance(found, type) and issubclass(found, Dataset)


def picture(images: "Images", index: int, side: int) -> np.ndarray:
    """Return an image of a data set for a person, (height, width, 3) bytes; a file's is no larger than a side."""
    import torch

    from graft.data.images import ImageFiles
    from graft.reading.decode import decode, pixel_limit

    if not isinstance(images, ImageFiles):
        pixels = next(iter(images.batches([torch.tensor([index])])))[0]
        return pixels.expand(3, -1, -1).permute(1, 2, 0).numpy()
    file = images.folder.files[index]
    with pixel_limit(images.reading.max_pixels):
        shape = _shape(file.header.height, file.header.width, side)
        return decode(file.path, shape, "squash", images.white).permute(1, 2, 0).numpy()


def _shape(height: int, width: int, side: int) -> tuple[int, int, int]:
    scale = min(1.0, side / max(height, width))
    return 3, max(1, round(scale * height)), max(1, round(scale * width))


def _of_files(listed: pandas.DataFrame, option: Mapping[str, Any]) -> dict[int, np.ndarray | None] | None:
    """Return pictures of files in class folders, whose others are not read, by number; None where one is another.

    None if any has more than 8 bits a channel: what is white in it, all files of the data set say.
    """
    from graft.reading.decode import Header, header, pixel_limit

    root, rows = Path(option["root"]), list(zip(listed.index.tolist(), listed["path"], listed["hash"], strict=True))
    if not root.is_dir():
        raise GraftError(f"no image is shown: there is no folder {root}")
    with pixel_limit(option.get("max_pixels")):
        headers = {number: header(root / path, measured=False) for number, path, _ in rows}
        readable = {number: known for number, known in headers.items() if isinstance(known, Header)}
        if any(known.deep for known in readable.values()):
            return None
        return {each: _file(root / path, content, readable[each]) for each, path, content in rows if each in readable}


def _file(path: Path, expected: str, known: "Header") -> np.ndarray | None:
    """Return the picture in a file, (height, width, 3) bytes; None if its bytes are others, or it cannot be read."""
    from graft.reading.decode import decode

    try:
        if digests([path]) != [expected]:
            return None
        return decode(path, _shape(known.height, known.width, SIDE), "squash").permute(1, 2, 0).numpy()
    except Exception:  # Pillow's exceptions for broken files depend on the format
        return None


def _of_data_set(record: Record, listed: pandas.DataFrame) -> dict[int, np.ndarray | None]:
    """Return pictures of a data set's images by number, without those whose content is not the one the job saw."""
    try:
        images, unchanged = unchanged_images(record.result, listed, SIDE)
    except (GraftError, OSError, ValueError) as error:
        raise GraftError(f"no image is shown: {' '.join(str(error).split())}") from None
    return {number: _in_set(images, place) for number, place in unchanged.items()}


def _in_set(images: "Images", place: int) -> np.ndarray | None:
    try:
        return picture(images, place, SIDE)
    except Exception:  # Pillow's exceptions for broken files depend on the format
        return None


def _encoded(pixels: np.ndarray) -> bytes:
    """Return a picture as a file's bytes."""
    shown, content = Image.fromarray(pixels), io.BytesIO()
    shown.thumbnail((SIDE, SIDE))
    small = max(shown.size) <= LOSSLESS
    shown.save(content, **({"format": "PNG", "optimize": True} if small else {"format": "JPEG", "quality": 80}))
    return content.getvalue()
