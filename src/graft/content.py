"""Contents of files: digests, remembered by path, size, times and inode, so that unchanged files are read only once."""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from graft.files import write_text

SETTLED_NS = 2 * 10**9  # file systems' clocks tick: a file changed less than this before it was read may change unseen


def digests(paths: Sequence[Path], memo: Path | None = None) -> list[str]:
    """Return the digests of files' bytes: equal digests mean equal contents, wherever the files are.

    Args:
        paths: the files.
        memo: JSON file of known digests, read and extended; processes may share it. None: every file is read.

    Raises:
        OSError: a file cannot be read.
    """
    remembered = _read_memo(memo)
    states = [state(path) for path in paths]
    names = [str(path.absolute()) for path in paths]
    found = [_remembered(remembered.get(name), now) for name, now in zip(names, states, strict=True)]
    missing = [position for position, known in enumerate(found) if known is None]
    if missing:
        read = {}
        started = time.time_ns()
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for position, new in zip(missing, threads.map(digest, [paths[each] for each in missing]), strict=True):
                found[position] = new
                _, mtime, ctime, _ = states[position]
                if max(mtime, ctime) < started - SETTLED_NS:
                    read[names[position]] = [*states[position], new]
        if memo is not None:
            write_text(memo, json.dumps(_read_memo(memo) | read))  # another process may have written meanwhile
    return [each for each in found if each is not None]


def digest(path: Path) -> str:
    """Return the digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def state(path: Path) -> list[int]:
    """Return what changes with a file's contents: its size, times of modification and of change, and inode."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def is_changed(path: Path, known: str, since: int) -> bool:
    """Return whether a file's bytes are others than they were; it is read only if its times say that it may be.

    Args:
        path: the file.
        known: the digest that it had.
        since: when that was read, or earlier, in nanoseconds.

    Raises:
        OSError: it cannot be read.
    """
    _, mtime, ctime, _ = state(path)
    return max(mtime, ctime) > since - SETTLED_NS and digest(path) != known


def _remembered(entry: object, now: list[int]) -> str | None:
    if isinstance(entry, list) and len(entry) == len(now) + 1 and entry[:-1] == now:
        return str(entry[-1])
    return None


def _read_memo(memo: Path | None) -> dict[str, list]:
    """Return the content of a memo, lists by names; empty if it is missing or damaged."""
    try:
        known = json.loads(memo.read_text("utf-8")) if memo else {}
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
