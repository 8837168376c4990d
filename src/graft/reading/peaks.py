"""Peaks: the largest values of files with more than 8 bits a channel, remembered by the files' contents.

A file is decoded to find its peak, which every start of a job, and each of its ranks, needs before the first image.
"""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from graft.content import digests, read_memo
from graft.files import write_text
from graft.reading.decode import DECODER_VERSION, Header, header
from graft.reading.depth import Deep

PEAKS = "peaks.json"  # beside the memo of digests


def with_peaks(paths: Sequence[Path], headers: Sequence[Header | str], memo: Path | None) -> list[Header | str]:
    """Return files' headers with the largest values of those that have more than 8 bits a channel.

    Args:
        paths: the files.
        headers: their headers, whose peaks are unknown, or the reasons why they have none.
        memo: file of known digests, as `content.digests` has it; known peaks are beside it. None: each is decoded.

    Returns:
        For each file its header, or the reason why it cannot be read.
    """
    complete = list(headers)
    deep = {
        position: found.deep.kind
        for position, found in enumerate(headers)
        if isinstance(found, Header) and found.deep is not None
    }
    if not deep:
        return complete
    contents = dict(zip(deep, digests([paths[position] for position in deep], memo), strict=True))
    place = None if memo is None else memo.with_name(PEAKS)
    known = read_memo(place)
    missing = []
    for position, kind in deep.items():
        peak, found = _remembered(known.get(contents[position]), kind), complete[position]
        if peak is None or isinstance(found, str):
            missing.append(position)
        else:
            complete[position] = found._replace(deep=Deep(kind, peak))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        measured = list(threads.map(header, [paths[position] for position in missing]))
    for position, found in zip(missing, measured, strict=True):
        complete[position] = found
        if isinstance(found, Header) and found.deep is not None:
            known[contents[position]] = [DECODER_VERSION, *found.deep]
    if missing and place is not None:
        write_text(place, json.dumps(known))
    return complete


def _remembered(entry: object, kind: str) -> float | None:
    """Return a remembered peak; None if it is of another version of the decoder, or damaged."""
    if isinstance(entry, list) and entry[:-1] == [DECODER_VERSION, kind] and type(entry[-1]) is float:
        return entry[-1]
    return None
