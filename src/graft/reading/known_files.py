"""Known files: the headers and digests of a listing's files, remembered, so that only new and changed files are read.

A listing has one file in the cache, named by its root and by the keys that change how files are read; processes may
share it, and the last one's replaces the others'. Of many listings the last KEPT that were used stay.

A file is known if its path, size, times of modification and of change (which no program can set back) and inode are
the remembered ones. What is not noticed: contents changed beneath the file system, such as by a machine that mounts it
from elsewhere and whose clock is wrong, and on file systems that have neither inodes nor times of change, a file of the
same size whose time of modification was set back.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import PIL

from graft import content
from graft.bars import bar
from graft.files import fingerprint, write_text
from graft.reading.decode import DECODER_VERSION, Header, header, header_if_decodable
from graft.reading.depth import Deep

log = logging.getLogger("graft")

VERSION = 1  # of the remembered files' form
FOLDER = "listings"  # in the cache
KEPT = 100  # listings; one of 100,000 files has about 15 MB
KEEP_EVERY = 60.0  # seconds of reading after which what was read is remembered, so that a killed process goes on
AT_ONCE = 64  # files of a thread's task, which costs as much as a header

Rows = dict[str, dict[str, list]]  # a file's state, header and digest, by folder and name


class Known(NamedTuple):
    """A file that can be read: its header, with its largest value, and the digest and the number of its bytes."""

    header: Header
    digest: str
    num_bytes: int


class Memory:
    """What is remembered of one listing.

    Args:
        cache: folder; None: nothing is remembered.
        listing: all that the listing depends on besides the files: where they are, and how they are read.
    """

    def __init__(self, cache: Path | None, *listing: object):
        self._key = fingerprint(VERSION, DECODER_VERSION, PIL.__version__, *listing)
        self._path = None if cache is None else cache / FOLDER / f"{self._key[:24]}.json"

    def read(self) -> Rows:
        """Return the remembered rows; none if the file is missing, damaged or another listing's."""
        if self._path is None:
            return {}
        try:
            checksum, _, text = self._path.read_text("ascii").partition("\n")
        except (OSError, ValueError):
            return {}
        if checksum != self._checksum(text):
            return {}
        with suppress(OSError):  # a colleague's cache may not be written to
            os.utime(self._path)
        return json.loads(text)

    def write(self, rows: Rows) -> None:
        """Replace the remembered rows; a cache that is not to be written to, such as a colleague's, stays as it is."""
        if self._path is not None:
            text = json.dumps(rows, separators=(",", ":"))
            try:
                write_text(self._path, f"{self._checksum(text)}\n{text}")
            except OSError as error:
                log.info("what was read of the files is not remembered: %s", error)
            _forget(self._path.parent)

    def _checksum(self, text: str) -> str:
        return hashlib.sha256(f"{self._key}{text}".encode()).hexdigest()


def _forget(folder: Path) -> None:
    """Remove all listings but the KEPT that were used last; another process may remove the same ones now."""
    used = {}
    for path in folder.glob("[!.]*.json"):
        with suppress(FileNotFoundError):
            used[path] = path.stat().st_mtime_ns
    for path in sorted(used, key=lambda path: used[path])[:-KEPT]:
        with suppress(OSError):  # it is another user's, in a shared cache
            path.unlink()


def know(paths: Sequence[Path], checked: bool, memory: Memory) -> list[Known | str]:
    """Return what is known of each file, or why it cannot be read; what is not remembered is read, with a bar.

    Files that cannot be read are tried again each time.

    Args:
        paths: the files.
        checked: whether files are decoded, and not only their headers read.
        memory: what is remembered of them.
    """
    rows, here = memory.read(), f"{os.getcwd()}{os.sep}"
    places = [os.path.split(name if os.path.isabs(name) else here + name) for name in map(str, paths)]
    states = [_state(path) for path in paths]
    found: list[Known | str | None] = [
        _remembered(rows.get(folder, {}).get(name), now) for (folder, name), now in zip(places, states, strict=True)
    ]
    missing = [position for position, known in enumerate(found) if known is None]
    settled = time.time_ns() - content.SETTLED_NS
    read, kept_at = header_if_decodable if checked else header, time.monotonic()
    for position, known in zip(missing, _on_threads(read, [paths[each] for each in missing]), strict=True):
        found[position] = known
        if time.monotonic() - kept_at > KEEP_EVERY:
            memory.write(_rows(places, states, found, settled))
            kept_at = time.monotonic()
    if missing:
        kept = _rows(places, states, found, settled)
        if kept != rows:
            memory.write(kept)
    return [known for known in found if known is not None]


def _rows(
    places: Sequence[tuple[str, str]], states: Sequence[list[int]], found: Sequence[Known | str | None], settled: int
) -> Rows:
    """Return what is to be remembered: files that were read, and had not changed since a time."""
    kept: Rows = {}
    for (folder, name), now, known in zip(places, states, found, strict=True):
        if isinstance(known, Known) and max(now[1:3]) < settled:
            kept.setdefault(folder, {})[name] = [*now, *known.header, known.digest]
    return kept


def _on_threads(read: Callable[[Path], Header | str], paths: Sequence[Path]) -> Iterator[Known | str]:
    """Read files; threads, because for small files on two cores they were as fast as processes, which start later."""

    def know_one(path: Path) -> Known | str:
        try:
            found = read(path)
            return found if isinstance(found, str) else Known(found, content.digest(path), path.stat().st_size)
        except OSError as error:
            return error.strerror or str(error)

    parts = [paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        tasks = threads.map(lambda part: list(map(know_one, part)), parts)
        for found in bar(tasks, "reading", len(paths), "file", size=len):
            yield from found


def _state(path: Path) -> list[int]:
    try:
        return content.state(path)
    except OSError:  # reading says why
        return []


def _remembered(row: list | None, now: list[int]) -> Known | None:
    if row is None or not now or row[: len(now)] != now:
        return None
    height, width, color, several, deep, digest = row[len(now) :]
    return Known(Header(height, width, color, several, None if deep is None else Deep(*deep)), digest, now[0])
