"""Remarks on a folder's files: what reading them assumes, loses, or cannot do."""

import logging
import re
import shlex
import unicodedata
from collections.abc import Iterable, Sequence

from graft.errors import GraftError
from graft.nouns import counted, few
from graft.reading.class_folders import Folder
from graft.reading.decode import Reading
from graft.reading.depth import SIXTEEN_BITS, Deep, White
from graft.reading.layout import named
from graft.reading.pictures import shown
from graft.reading.shortcuts import warn_of_shortcuts

log = logging.getLogger("graft")

MAX_NAMED = 3  # groups of similar names that a warning gives
OPTIONS = {"dataset.file": "table", "dataset.path": "huggingface"}  # of data sets that are no class folders
DARK = 1 / 8  # of what is white: pictures without a value above it look black


def remark(folder: Folder, size: int | None, reading: Reading, white: White, groups: Sequence[str] = ()) -> None:
    """Log what is white in files with more than 8 bits a channel, and warn of pictures that are read in part.

    Args:
        folder: the files.
        size: height and width to which other shapes are brought; None: all files have one shape, which they keep.
        reading: how they are read.
        white: the values that are white in files with more than 8 bits a channel.
        groups: of the files; empty without groups.

    Raises:
        GraftError: some files cannot be scaled as the others are.
    """
    deep = [file.header.deep for file in folder.files if file.header.deep]
    _refuse_coarse(folder, deep, white)
    warn_of_class_names(file.class_name for file in folder.files)
    warn_of_shortcuts(folder.files, _audit(folder), groups)
    whole, real = ([found.peak for found in deep if (found.kind == "real") is is_real] for is_real in (False, True))
    if whole:
        bits = max(1, int(max(whole)).bit_length())
        _remark_on_white("more than 8 bits a channel", whole, white.whole, f"try dataset.bits={bits}")
    if real:
        _remark_on_white("floating-point pixels", real, white.real, "scale them from 0 to 1")
    several = [file.path for file in folder.files if file.header.several]
    if several:
        log.warning(
            "only the first of several frames or pages is read in %d files: %s",
            len(several),
            named(folder.root, several),
        )
    sides = {file.path: sorted((file.header.height, file.header.width)) for file in folder.files}
    narrow = [path for path, (short, long) in sides.items() if 2 * short < long]
    if narrow and size and reading.fit == "crop":
        log.warning(
            "dataset.fit=crop cuts off more than half of %s of %s pictures: %s; try dataset.fit=pad, or squash",
            f"{len(narrow):,}", f"{len(sides):,}", named(folder.root, narrow),
        )  # fmt: skip


def _audit(folder: Folder) -> str:
    """Return the command that audits a data set."""
    key = folder.words.partition("=")[0]
    if key not in OPTIONS:
        return f"python src/audit.py dataset=image_folder {shlex.quote(f'dataset.root={shown(folder.root)}')}"
    return f"python src/audit.py dataset={OPTIONS[key]} {shlex.quote(folder.words)}, with its other keys,"


def warn_of_class_names(classes: Iterable[str]) -> None:
    """Warn of classes that may be one class, spelled in two ways, or that may stand for several.

    Letters of one class may differ by case alone, as a and A. A class cat|dog beside cat and dog is one of its own.
    """
    names = sorted({*classes})
    _warn_of_similar_names(names)
    several = [repr(name) for name in names if len(parts := _parts(name)) > 1 and {*names}.issuperset(parts)]
    if several:
        log.warning(
            "each image has one class, and %s, whose parts are classes, too, %s of its own: an image that shows "
            "several is an image of that class alone",
            few(several, MAX_NAMED),
            "is one" if len(several) == 1 else "are each one",
        )


def _warn_of_similar_names(names: Sequence[str]) -> None:
    spellings: dict[str, list[str]] = {}
    for name in names:
        written = unicodedata.normalize("NFKC", name).casefold()
        spellings.setdefault("".join(each for each in written if each.isalnum()) or written, []).append(name)
    similar = [" and ".join(map(repr, names)) for names in spellings.values() if len(names) > 1]
    if similar:
        more = [f"{len(similar) - MAX_NAMED} more"] if len(similar) > MAX_NAMED else []
        log.warning(
            "classes whose names differ only in case, spaces or signs are different classes: %s; if they are one, give "
            "them one name",
            "; ".join(similar[:MAX_NAMED] + more),
        )


def _parts(name: str) -> list[str]:
    """Return what a list of several labels names, as tables write them: cat|dog, cat;dog, or cat, dog."""
    return [part for each in re.split(r"[|;,+&]", name) if (part := each.strip())]


def _refuse_coarse(folder: Folder, deep: list[Deep], white: White) -> None:
    coarse = [file.path for file in folder.files if file.header.deep and file.header.deep.kind == "coarse"]
    if coarse and white.whole < SIXTEEN_BITS.whole:
        files = counted(len(coarse), "file")
        raise GraftError(
            f"{files} under {folder.words} with 16 bits in each of several channels, of which only the "
            f"upper 8 can be read, but {_number(white.whole)} is white: {named(folder.root, coarse)}; convert them to "
            "8 bits, or try dataset.bits=16"
        )


def _remark_on_white(contents: str, peaks: list[float], white: float, cure: str) -> None:
    peak = _number(max(peaks))
    of_white = f"their largest value is {peak}, and {_number(white)} is white"
    log.info("files with %s (%s): %s", contents, f"{len(peaks):,}", of_white)
    above = sum(each > white for each in peaks)
    if above:
        log.warning("values above white are cut off in %d of %d such files; try dataset.bits=auto", above, len(peaks))
    elif max(peaks) < DARK * white:
        log.warning("such files look black, because %s; %s", of_white, cure)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"
