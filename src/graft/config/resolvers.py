"""Resolvers: functions that conf/train.yaml calls to name folders after what was typed, and to list the keys.

Do not import torch here: `--help` must answer in under a second.
"""

import functools
import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, RangeSweep
from omegaconf import OmegaConf

from graft.config.help import help_keys
from graft.process import environment_rank

MAX_BYTES = 255  # of a file's name; letters outside ASCII have two to four

# What a Python program gives instead of a command line; None: this process has one.
_given: ContextVar[Sequence[str] | None] = ContextVar("given", default=None)


def register() -> None:
    """Register the resolvers with OmegaConf."""
    OmegaConf.register_new_resolver(
        "on_rank_0", lambda value, elsewhere: elsewhere if environment_rank() else value, replace=True
    )
    # Cached: Hydra copies a sweep's resolver cache to its jobs, which are composed from overrides of their own.
    OmegaConf.register_new_resolver("typed", _typed, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
    OmegaConf.register_new_resolver("job_folder", job_folder_name, replace=True)
    OmegaConf.register_new_resolver("help_keys", lambda *, _root_: help_keys(_root_), replace=True)


def _run_folder(typed: Sequence[str]) -> str:
    """Return the name of what was typed; a job has one folder, whatever logs it."""
    return folder_name(*(word for word in typed if not re.match(r"[+~]*logger\b", word)))


def folder_name(*words: str, length: int = 100) -> str:
    """Return words as the name of one folder: without separators, and short enough for every file system.

    Of words that are too long together, the longest lose the middle of their values, and a hash tells them apart.
    """
    text = "_".join(words)
    name = _without_separators(text) or "default"
    if len(name) <= length and len(name.encode()) <= MAX_BYTES:
        return name
    parts = [part for part in map(_without_separators, words) if part]
    room = length - 10 - len(parts)  # for the parts themselves, in bytes
    widths = (width for width in range(room) if sum(min(_size(part), width) for part in parts) <= room)
    widest = max(widths, default=0)
    short = "_".join(_shortened(part, widest) for part in parts)
    return f"{_first(short, length - 10)}-{_hash(text)}"


def job_folder_name(overrides: Sequence[str], typed: Sequence[str]) -> str:
    """Return the name of a sweep's job: its overrides that were not typed for all jobs, `head=plain_dropout=0.5`.

    A job without overrides of its own is named after its experiment.
    """
    shared = {_plainly(word) for word in typed}
    per_job = [override for override in overrides if _plainly(override) not in shared]
    named = [_told_apart(override, typed) for override in per_job]
    return folder_name(*(named or [override for override in overrides if override.startswith("experiment=")]))


def _plainly(override: str) -> str:
    """Return an override without what Hydra changes in it: test_curve=False, ~reference=null."""
    plain = override.replace("\\", "").lower()
    return plain.removesuffix("=null") if plain.startswith("~") else plain


def _told_apart(override: str, typed: Sequence[str]) -> str:
    """Return a job's override, with a hash if another job's would have the same name but for upper and lower case."""
    key, name = override.partition("=")[0], folder_name(override).casefold()
    same = {each for each in _listed(key, tuple(typed)) if folder_name(each).casefold() == name}
    return f"{override}-{_hash(override)}" if len(same | {override}) > 1 else override


@functools.cache
def _listed(key: str, typed: tuple[str, ...]) -> list[str]:
    """Return the overrides of all jobs that a list typed for a key makes."""
    parsed = [OverridesParser.create().parse_override(word) for word in typed if word.partition("=")[0] == key]
    lists = [each for each in parsed if isinstance(each.value(), ChoiceSweep | RangeSweep)]
    return [f"{key}={value}" for each in lists for value in each.sweep_string_iterator()]


def _without_separators(text: str) -> str:
    return re.sub(r"[^\w.,=+\-\[\]]+", "_", text).strip("._")


def _shortened(word: str, width: int) -> str:
    """Return a word within a number of bytes: its key, and the end of its value, where paths differ."""
    if _size(word) <= width:
        return word
    start = _first(word, max(width // 3, min(len(word.partition("=")[0]) + 1, width - 12)))
    end = word.encode()[-(width - _size(start) - 2) :].decode(errors="ignore") if width - _size(start) > 2 else ""
    return f"{start}..{end}" if end else _first(word, width)


def _first(text: str, size: int) -> str:
    """Return the first characters of a text that fit into a number of bytes."""
    return text.encode()[:size].decode(errors="ignore")


def _size(text: str) -> int:
    return len(text.encode())


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@contextmanager
def typed_as(words: Sequence[str]) -> Iterator[None]:
    """Name folders after these words, as if they had been typed, instead of after this process's command line."""
    token = _given.set(words)
    try:
        yield
    finally:
        _given.reset(token)


def _typed() -> list[str]:
    given = _given.get()
    words = sys.argv[1:] if given is None else given
    return [word for word in words if word.startswith("~") or ("=" in word and not word.startswith(("-", "hydra")))]
