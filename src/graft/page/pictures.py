"""Pictures in a page: of a job's images, which callers read, and of figures; all are inside the page as data."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from graft.errors import GraftError
from graft.results.records import Record

# Small encoded pictures by the number of the image, of a finished job; images whose content is no longer the one that
# the job saw are left out. Raises GraftError where none can be read. The page itself never reads data: it needs no
# torch.
Pictures = Callable[[Record, Sequence[int]], Mapping[int, bytes]]


class Explained(NamedTuple):
    """What a model looked at in an image, as an encoded picture, and for which class."""

    picture: bytes
    name: str


Explanations = Callable[[Record, Sequence[int]], Mapping[int, Explained]]
Found = TypeVar("Found")

KINDS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}  # by their first bytes
CHANGED = "not shown: the image has changed since, or cannot be read"


@dataclass(frozen=True)
class PagePictures:
    """What a page shows of single images.

    Attributes:
        thumbnails: reads them; None: none are shown.
        explain: draws what a model looked at in them, shown beside them; None: nothing does.
        always: whether to show that of jobs whose configuration does not ask for it, too.
    """

    thumbnails: Pictures | None = None
    explain: Explanations | None = None
    always: bool = False


NO_PICTURES = PagePictures()


def data_uri(content: bytes) -> str:
    """Return a picture as a `data:` address, which no browser requests from anywhere."""
    kind = next((kind for start, kind in KINDS.items() if content.startswith(start)), "application/octet-stream")
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def figure(folder: Path, name: str) -> str:
    """Return a figure of a report that has been drawn into a folder; empty if there is none."""
    path = folder / name
    return data_uri(path.read_bytes()) if path.is_file() else ""


def read(
    pictures: Callable[[Record, Sequence[int]], Mapping[int, Found]] | None, record: Record, numbers: Sequence[int]
) -> tuple[Mapping[int, Found], str]:
    """Return pictures of a job's images, and why there are none, if it is for a reason."""
    if pictures is None or not numbers:
        return {}, ""
    try:
        return pictures(record, sorted(set(numbers))), ""
    except (GraftError, OSError) as error:
        return {}, str(error)


def wanted(records: Sequence[Record], pictures: PagePictures) -> tuple[PagePictures, str]:
    """Return the pictures that the jobs' configurations want, and why there are none, if they forbid them."""
    reports = [record.config.get("report") or {} for record in records]
    asked = pictures.always or any(report.get("explain") is True for report in reports)
    if any(report.get("thumbnails") is False for report in reports):
        return NO_PICTURES, f"report.thumbnails=false: no image is shown{', or explained' if asked else ''}."
    return pictures if asked else replace(pictures, explain=None), ""
