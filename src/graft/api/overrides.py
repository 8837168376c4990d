"""What a program asks for, as the words of a command line: `head=dense512`."""

import numbers
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString

from graft.api.conf_folder import CONF
from graft.api.given_labels import plain
from graft.command_line import check_words, readable
from graft.errors import GraftError

Overrides = Mapping[str, object] | Sequence[str]  # {"head": "dense512"}, or ["head=dense512"]


def as_words(overrides: Overrides) -> list[str]:
    """Return overrides as a command line has them, in Hydra's grammar.

    Args:
        overrides: words, or values by key. A list is a sweep of its values, a tuple is one value: a list. Texts are
            read as on a command line: `"plain,dense512"` is a sweep, too. Paths are one value, whatever they contain.

    Raises:
        GraftError: something is no override.
    """
    if isinstance(overrides, Mapping):
        words = [f"{key}={_listed(value)}" for key, value in overrides.items()]
    else:
        words = [overrides] if isinstance(overrides, str) or not isinstance(overrides, Iterable) else list(overrides)
    for word in words:
        if not isinstance(word, str) or word.startswith("-"):
            raise GraftError(f'{plain(word)!r} is no override; try "head=dense512", or {{"head": "dense512"}}')
    return readable(checked(words))


def checked(words: list[str]) -> list[str]:
    """Return words as they are; those of several arguments together, too, as a later one would win without a word.

    Raises:
        GraftError: a key is there twice, or a word is what Hydra would misunderstand.
    """
    try:
        check_words(words, [folder.name for folder in CONF.iterdir() if folder.is_dir()])
    except GraftError as error:
        raise GraftError(str(error).replace("try -m ", "try ")) from None  # here, a list of values is a sweep by itself
    return words


def named(name: Any) -> list[str]:
    """Return the word of a job's or sweep's name, if it has one.

    Raises:
        GraftError: it is no text.
    """
    if not isinstance(name, str | Path | None):
        raise GraftError(f'name must be the name of a folder inside outputs/, got {plain(name)!r}; try name="first"')
    return [] if name is None else as_words({"name": Path(name)})


def _listed(value: object) -> str:
    """Return a key's value, or the values of its sweep."""
    return ",".join(map(_typed, value)) if isinstance(value, list) else _typed(value)


def _typed(value: object) -> str:
    value = plain(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return value
    if isinstance(value, Path):
        return _quoted(str(value)) if re.search(r"[,\[\]{}()'\"=$\\:]", str(value)) else str(value)
    if isinstance(value, numbers.Number):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_typed(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(map(_typed, value)) + "]"
    raise GraftError(f"{value!r} is no value of a configuration; try a text, a number, a list of them, True or None")


def _quoted(text: str) -> str:
    return QuotedString(text, Quote.single).with_quotes()


def is_sweep(words: Sequence[str]) -> bool:
    """Return whether words ask for several jobs: by a list of values, or by a search."""
    parsed = OverridesParser.create().parse_overrides(list(words))
    searches = any(each.key_or_group == "sweep" and each.value() not in ("grid", None) for each in parsed)
    return searches or any(each.is_sweep_override() for each in parsed)
