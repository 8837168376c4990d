"""`model.yaml`: the description of a job's model, as plain YAML. Nothing in it is code, and reading it runs none."""

from pathlib import Path
from typing import Any

import yaml

from graft.data.images import ImageFiles, Images
from graft.errors import GraftError
from graft.job_folder import read_result

MODEL, WEIGHTS = "model.yaml", "weights.safetensors"
MAX_BYTES = 2**20
FITS = ("crop", "squash", "pad")
INTERPOLATIONS = ("bilinear", "bicubic")
NEEDED = {"backbone": dict, "head": dict, "frozen_stages": int, "classes": list, "image": list, "seeds": list}


class _PlainLoader(yaml.SafeLoader):
    """Reads plain values only: no objects of Python, and no aliases, which a few bytes multiply without end."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias (*)")
        return super().compose_node(parent, index)


def read_model_file(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's `model.yaml`.

    Raises:
        GraftError: the folder has no model, or its description is none of Graft's.
    """
    path = folder / MODEL
    if not path.is_file() or not (folder / WEIGHTS).is_file():
        raise GraftError(_no_model(folder))
    try:
        if path.stat().st_size > MAX_BYTES:
            raise GraftError(f"{path} has more than {MAX_BYTES // 2**20} MiB, which no model.yaml of Graft's has")
        model = yaml.load(path.read_text("utf-8"), _PlainLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        first = " ".join(str(error).split())
        raise GraftError(f"{path} cannot be read as plain YAML ({first}); try a fresh copy of the folder") from None
    _check(path, model)
    model.setdefault("reading", _older_reading(folder))
    _check_reading(path, model)
    if "bits" not in model["reading"]:  # of an older version
        model["reading"]["bits"] = _data_set(folder).get("bits", "auto")
    return model


def _check(path: Path, model: Any) -> None:
    """Refuse anything but a description of a model."""
    if not isinstance(model, dict):
        raise GraftError(f"{path} is no mapping; try a fresh copy of the folder")
    for key, kind in NEEDED.items():
        if not isinstance(model.get(key), kind) or (not model[key] and kind is list):
            raise GraftError(f"{path} has no {key}, or something else than a {kind.__name__}; try a fresh copy")
    _check_lists(path, model)


def _check_lists(path: Path, model: dict[str, Any]) -> None:
    """Refuse other things in a description's lists than Graft writes."""
    image, classes, seeds = model["image"], model["classes"], model["seeds"]
    sizes = all(type(size) is int and 0 < size < 2**15 for size in image)
    if len(image) != 3 or not sizes or image[0] not in (1, 3):
        raise GraftError(f"{path}: image must be channels (1 or 3), height and width, got {image}")
    if not all(isinstance(name, str) for name in classes) or model["head"].get("num_classes") != len(classes):
        raise GraftError(f"{path}: classes must be texts, head.num_classes of them, got {classes}")
    if not all(type(seed) is int for seed in seeds) or model["frozen_stages"] < 0:
        raise GraftError(f"{path}: seeds must be whole numbers, and frozen_stages at least 0, got {seeds}")


def _check_reading(path: Path, model: dict[str, Any]) -> None:
    """Refuse other ways to read images than there are."""
    reading = model["reading"]
    if not isinstance(reading, dict) or reading.get("fit") not in FITS:
        raise GraftError(f"{path}: reading.fit must be one of {', '.join(FITS)}, got {reading}")
    if reading.setdefault("interpolation", "bilinear") not in INTERPOLATIONS:  # older versions have none
        listed = " or ".join(INTERPOLATIONS)
        raise GraftError(f"{path}: reading.interpolation must be {listed}, got {reading['interpolation']}")
    white, limit = reading.get("white"), reading.get("max_pixels")
    if white is not None:
        positive = isinstance(white, dict) and white.keys() == {"whole", "real"} and all(map(_positive, white.values()))
        if not positive:
            raise GraftError(f"{path}: reading.white must have positive numbers, whole and real, got {white}")
    if limit is not None and not _positive(limit):
        raise GraftError(f"{path}: reading.max_pixels must be a number of pixels, got {limit}")
    if not isinstance(model.setdefault("test_views", 1), int):
        raise GraftError(f"{path}: test_views must be a whole number, got {model['test_views']}")


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _older_reading(folder: Path) -> dict[str, Any]:
    """Return how the images were read by a job of version 0.1.0, which `model.yaml` did not say, from its result."""
    dataset = _data_set(folder)
    return {"fit": dataset.get("fit", "crop"), "white": None, "max_pixels": dataset.get("max_pixels")}


def _data_set(folder: Path) -> dict[str, Any]:
    """Return the option of a job's data set; empty without a result."""
    return ((read_result(folder) or {}).get("config") or {}).get("dataset") or {}


def _no_model(folder: Path) -> str:
    if not folder.exists():
        return f"there is no {folder}; try the folder of a finished job, outputs/NAME"
    if (folder / "result.json").is_file():
        return (
            f"{folder} has a result but no weights: keep_weights=none has left them out, or they were removed; run the "
            "job again with keep_weights=best"
        )
    return f"{folder} is no folder of a finished job: it has no {MODEL} with {WEIGHTS}; try outputs/NAME"


def reading_of(images: Images) -> dict[str, Any]:
    """Return how image files have to be read to look like a data set's: the arguments of `decode`, and the limit.

    `bits` is `auto`, or a number where larger values become white. `white` is null where the data set had no file of
    more than 8 bits a channel, and so nothing says what is white.
    """
    if not isinstance(images, ImageFiles):
        return {"fit": "crop", "interpolation": "bilinear", "bits": "auto", "white": None, "max_pixels": None}
    deep = any(file.header.deep for file in images.folder.files) or isinstance(images.reading.bits, int)
    white = {"whole": images.white.whole, "real": images.white.real} if deep else None
    reading = images.reading
    how = {"fit": reading.fit, "interpolation": reading.interpolation, "bits": reading.bits}
    return {**how, "white": white, "max_pixels": reading.max_pixels}
