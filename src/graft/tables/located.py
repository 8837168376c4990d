"""Where the files are that a table names: by relative or absolute paths, of Windows, too, or without a suffix."""

import logging
import os
from collections import Counter, defaultdict
from pathlib import Path

from graft.errors import GraftError
from graft.reading.pictures import contents, is_picture

log = logging.getLogger("graft")


class Located:
    """Finds files by the texts that name them.

    Args:
        suffix: of files that are named without one; None: the only one that there is.

    Attributes:
        suffixes: how many files were found by adding which suffix.
    """

    def __init__(self, suffix: str | None = None):
        self._suffix, self._pictures = suffix, dict[Path, dict[str, list[str]]]()
        self.suffixes: Counter[str] = Counter()

    def __call__(self, folder: Path, text: str) -> Path | None:
        """Return the file that a text names, seen from a folder; None if there is none."""
        for name in dict.fromkeys((text, text.strip(), text.strip().replace("\\", "/"))):
            if name and "\0" not in name and (path := self._file(folder, name)) is not None:
                return path
        return None

    def _file(self, folder: Path, name: str) -> Path | None:
        path = Path(os.path.normpath(folder / name))
        try:
            if path.is_file():
                return path
            if is_picture(path):
                return None
            suffixes = [self._suffix] if self._suffix else self._found(path.parent).get(path.name, [])
            with_suffix = path.with_name(path.name + suffixes[0]) if path.name and len(suffixes) == 1 else None
            if with_suffix is not None and with_suffix.is_file():
                self.suffixes[suffixes[0]] += 1
                return with_suffix
        except OSError:  # a name that is too long is none
            pass
        return None

    def _found(self, folder: Path) -> dict[str, list[str]]:
        """Return the suffixes of a folder's pictures by their names without it; a folder is read once."""
        if folder not in self._pictures:
            self._pictures[folder] = defaultdict(list)
            try:
                for path in contents(folder)[1] if folder.is_dir() else []:
                    if is_picture(path):
                        self._pictures[folder][path.stem].append(path.suffix)
            except GraftError:
                pass  # a folder that cannot be read has none of its files
        return self._pictures[folder]

    def say(self) -> None:
        """Say which suffixes were added."""
        for suffix, count in self.suffixes.items():
            log.info("%s files are named without their suffix %s", f"{count:,}", suffix)
