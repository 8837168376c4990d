"""The two files of a job's outcomes, each read and checked in itself; `graft.run.outcome_writer` describes them."""

import functools
import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from safetensors import SafetensorError, safe_open

from graft.job_folder import IMAGES
from graft.results.job_files import check_readable

FORMAT = 1
MAX_BYTES = 2**30
COLUMNS = ["number", "path", "hash", "class", "group", "split", "draws"]
DOMAIN = "domain"  # a further column, of data with domains


def checksum(tensors: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of arrays' names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(tensors[name]).data)
    return digest.hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the tensors of `outcomes.safetensors` and the description of them, of this format and undamaged.

    Raises:
        ValueError: the file is missing or damaged, or a newer version has written it.
        OSError: it cannot be read.
    """
    if not os.path.lexists(path):
        raise ValueError(f"there is none beside {IMAGES}")
    check_readable(path, MAX_BYTES)
    try:
        with safe_open(path, "np") as file:
            text = (file.metadata() or {}).get("graft", "")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"it is damaged ({error})") from None
    try:
        about = json.loads(text)
    except ValueError:
        raise ValueError("its metadata have no description") from None
    _check_about(about)
    if checksum(tensors) != about["sha256"]:
        raise ValueError("it is damaged: its tensors have another checksum")
    return tensors, about


def _check_about(about: object) -> None:
    """Refuse anything but a description of this format.

    Raises:
        ValueError: names the field.
    """
    if not isinstance(about, dict) or not isinstance(about.get("format"), int):
        raise ValueError("its metadata have no format")
    if about["format"] > FORMAT:
        raise ValueError(f"its format is {about['format']}, the newest known is {FORMAT}; update Graft")
    for name, kind in (("seeds", int), ("classes", str)):
        values = about.get(name)
        if not isinstance(values, list) or not values or len(set(map(str, values))) < len(values):
            raise ValueError(f"its metadata have no list of different {name}")
        if not all(isinstance(value, kind) for value in values):
            raise ValueError(f"its metadata have something else than {name}")
    for name, kind in (("views", int), ("identity", str), ("images", str), ("sha256", str)):
        if not isinstance(about.get(name), kind):
            raise ValueError(f"its metadata have no {name}")


def read_images(path: Path, checksum: str | None = None) -> pandas.DataFrame:
    """Return the table of images by number.

    Args:
        path: of `images.csv`.
        checksum: the SHA-256 of its bytes; None: of a refit, which has no outcomes, it is not stored.

    Raises:
        ValueError: it is damaged, or not the one that the outcomes were written with.
    """
    if not os.path.lexists(path):
        raise ValueError(f"there is no {path.name} beside it")
    try:
        check_readable(path, MAX_BYTES)
        content = path.read_bytes()
        table = _images(content)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"its {path.name} is damaged: {error}") from None
    if checksum is not None and hashlib.sha256(content).hexdigest() != checksum:
        raise ValueError(f"its {path.name} is that of another run, or was changed")
    return table


@functools.lru_cache(maxsize=2)  # the jobs of a sweep mostly have the same images and draws
def _images(content: bytes) -> pandas.DataFrame:
    """Return the table of images in a file's content, which nobody may change.

    Raises:
        ValueError: it is damaged.
    """
    table = pandas.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    absent = [column for column in COLUMNS if column not in table]
    if absent:
        raise ValueError(f"it has no column {absent[0]}")
    numbers, draws = (table[name].astype(np.int64).to_numpy() for name in ("number", "draws"))
    if (np.diff(numbers, prepend=-1) <= 0).any() or (draws < 0).any():
        raise ValueError("its numbers or draws are not those of sorted images")
    if (table["hash"] == "").to_numpy().any():
        raise ValueError("it has an image without a hash")
    return (
        table[[*COLUMNS[1:], *([DOMAIN] if DOMAIN in table else [])]]
        .assign(draws=draws)
        .set_index(pandas.Index(numbers, name="number"))
    )
