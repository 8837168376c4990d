"""Counts of a listing in words: its classes' images, and its ignored files by reason."""

from collections import Counter
from collections.abc import Iterable, Sequence

from graft.nouns import counted

PACKAGES = {  # that add formats to Pillow
    **dict.fromkeys((".heic", ".heif", ".hif"), "pillow-heif"),
    **dict.fromkeys((".avif", ".avifs"), "pillow-avif-plugin"),
    ".jxl": "pillow-jxl-plugin",
}
MAX_COUNTS = 10  # classes whose images a message counts one by one


def reasons(ignored: Iterable[str]) -> str:
    """Return counted reasons in words: 12 .heic (pip install pillow-heif), 3 in masks/."""
    return ", ".join(
        f"{count:,} {reason}" + (f" (pip install {PACKAGES[reason]})" if reason in PACKAGES else "")
        for reason, count in sorted(Counter(ignored).items())
    )


def ignored_words(ignored: Sequence[str]) -> str:
    """Return in words how many files are ignored, and why; empty if none are."""
    files = counted(len(ignored), "file")
    return f"; {files} ignored: {reasons(ignored)}" if ignored else ""


def classes_words(counts: Counter[str]) -> str:
    """Return in words how many images the classes have: 3 classes (150, 140, 122)."""
    each = [f"{count:,}" for _, count in sorted(counts.items())]
    least, most = min(counts.values()), max(counts.values())
    classes = counted(len(counts), "class")
    if len(each) <= MAX_COUNTS:
        return f"{classes} ({', '.join(each)})"
    return f"{classes} ({f'{least:,} to ' if least < most else ''}{most:,} each)"
