"""Picture files: which files of a folder are pictures, by their names, and how such names are printed."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image

from graft.errors import GraftError

SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}  # left by Windows and macOS
SYSTEM_FOLDERS = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "lost+found"}  # thumbnails and deleted files

with suppress(ImportError):  # unlike the other packages, this one does not register itself
    import pillow_heif  # pyright: ignore[reportMissingImports]

    pillow_heif.register_heif_opener()


def is_picture(path: Path) -> bool:
    """Return whether a file's suffix is of a format that Pillow reads."""
    return Image.registered_extensions().get(path.suffix.lower()) in Image.OPEN


def shown(path: Path | str) -> str:
    """Return a name that can be printed, even if it is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def relative(root: Path, paths: Sequence[Path]) -> list[str]:
    """Return the names of files below a root, with slashes; for 100,000 `relative_to` takes a second."""
    start = "" if str(root) == "." else root.as_posix().rstrip("/") + "/"
    return [path.as_posix().removeprefix(start) for path in paths]


def contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders and the files directly in a folder; a broken link is a file, a device or a pipe is none.

    Raises:
        GraftError: the folder cannot be read.
    """
    folders, files = _names(folder)
    return [folder / name for name in folders], [folder / name for name in files]


def subfolders(folder: Path) -> list[Path]:
    """Return the folders directly in a folder, as `contents` does."""
    return [folder / name for name in _names(folder)[0]]


def _names(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files directly in a folder, sorted."""
    folders, files = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name.lower()
                if name.startswith("."):
                    continue
                if entry.is_dir():
                    folders += [entry.name] * (name not in SYSTEM_FOLDERS)
                elif entry.is_file() or not os.path.exists(entry.path):
                    files += [entry.name] * (name not in SYSTEM_FILES)
    except OSError as error:
        reason = error.strerror
        raise GraftError(f"the folder {shown(folder)} cannot be read: {reason}; change that, or move it") from None
    return sorted(folders), sorted(files)


def files_below(folder: Path, unreadable: list[Path] | None = None) -> list[Path]:
    """Return the files below a folder at any depth, sorted; a link back to a folder above it is not followed.

    Args:
        folder: the folder.
        unreadable: gets the folders below it that cannot be read; None: they are an error.

    Raises:
        GraftError: the folder, or one below it, cannot be read.
    """
    seen = {path.resolve() for path in folder.absolute().parents} | set(folder.resolve().parents)
    found: list[Path] = []
    waiting = [folder]
    while waiting:
        where = waiting.pop()
        if where.resolve() in seen:
            continue
        seen.add(where.resolve())
        try:
            folders, files = contents(where)
        except GraftError:
            if unreadable is None or where == folder:
                raise
            unreadable.append(where)
            continue
        found += files
        waiting += folders[::-1]
    return sorted(found, key=_order)


def pictures_below(folder: Path) -> tuple[list[Path], int]:
    """Return the pictures below a folder at any depth, sorted, and the number of other files.

    A folder that cannot be read stands among the pictures.

    Raises:
        GraftError: the folder itself cannot be read.
    """
    unreadable: list[Path] = []
    files = files_below(folder, unreadable)
    pictures = [path for path in files if is_picture(path)]
    return sorted(pictures + unreadable, key=_order), len(files) - len(pictures)


def _order(path: Path) -> tuple[str, ...]:
    """Return what files are sorted by: Windows compares paths without regard to case, and would draw other images."""
    return path.parts
