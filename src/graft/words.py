"""Words of a command line, `key=value` each, for the programs that need no Hydra.

Do not import torch here: `--help` and a mistyped key must be answered in under a second.
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from graft.ending import default_signals, prepare, stop_on_error
from graft.errors import ConfigError, Fault, GraftError, nearest, no_option


@dataclass(frozen=True)
class Key:
    """A key of a program.

    Attributes:
        meaning: in words, for `--help`.
        expected: its values, in words that follow "must be".
        example: a value.
        read: returns the value of a text; raises a ValueError for one that it cannot have.
        default: its value where it is not typed.
        required: whether it must be typed.
    """

    meaning: str
    expected: str
    example: str
    read: Callable[[str], Any]
    default: Any = None
    required: bool = False


def text(meaning: str, example: str, default: Any = None, required: bool = False) -> Key:
    """Return a key whose value is any text."""
    return Key(meaning, "a text", example, _text, default, required)


def one_of(meaning: str, values: Sequence[str], default: str | None = None) -> Key:
    """Return a key whose value is one of some texts."""

    def read(typed: str) -> str:
        if typed not in values:
            raise ValueError
        return typed

    *others, last = values
    return Key(meaning, f"{', '.join(others)} or {last}", values[0], read, default)


def whole(meaning: str, least: int, example: int) -> Key:
    """Return a key whose value is a whole number of at least `least`."""

    def read(typed: str) -> int:
        if int(typed) < least:
            raise ValueError
        return int(typed)

    return Key(meaning, f"a whole number of at least {least}", str(example), read)


def share(meaning: str, example: str) -> Key:
    """Return a key whose value is a number above 0 and below 1."""

    def read(typed: str) -> float:
        if not 0 < float(typed) < 1:
            raise ValueError
        return float(typed)

    return Key(meaning, "a number above 0 and below 1", example, read)


def flag(meaning: str, default: bool) -> Key:
    """Return a key whose value is true or false."""

    def read(typed: str) -> bool:
        return {"true": True, "false": False}[typed.lower()]

    return Key(meaning, "true or false", str(not default).lower(), read, default)


def names(meaning: str, example: str) -> Key:
    """Return a key whose value is a list of texts, with commas between them."""
    return Key(
        meaning, "names with commas between them", example, lambda typed: [_text(each) for each in typed.split(",")], ()
    )


def read_words(words: Sequence[str], keys: Mapping[str, Key], program: str) -> dict[str, Any]:
    """Return the value of each key, typed or not.

    Args:
        words: as they were typed, without the program's name.
        keys: the program's.
        program: how it is called, for messages: `python src/predict.py`.

    Raises:
        GraftError: a word has no key or an unknown one, or a key is typed twice, or missing.
        ConfigError: names the values that keys cannot have.
    """
    found = _typed(words, keys, program)
    missing = [name for name, key in keys.items() if key.required and name not in found]
    if missing:
        example = " ".join(f"{name}={key.example}" for name, key in keys.items() if key.required)
        raise GraftError(f"{' and '.join(missing)} must be given; try {program} {example}")
    values, faults = {name: key.default for name, key in keys.items()}, []
    for name, value in found.items():
        try:
            values[name] = keys[name].read(value)
        except (ValueError, KeyError):
            faults.append(Fault(name, value, keys[name].expected, f"{name}={keys[name].example}"))
    if faults:
        raise ConfigError(faults)
    return values


def _typed(words: Sequence[str], keys: Mapping[str, Key], program: str) -> dict[str, str]:
    """Return the texts that were typed, by key."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key.startswith("-"):
            raise GraftError(f"{no_option(word)}, or --help")
        if not equals:
            needed = [name for name, each in keys.items() if each.required and name not in found]
            example = f"{needed[0]}={word}" if needed else "KEY=VALUE"
            raise GraftError(f"{word!a} has no key; try {example}, or --help for the keys")
        if key not in keys:
            similar = nearest(key, keys, similarity=0.6)
            hint = f"did you mean {similar[0]}?" if similar else f"{program} has {', '.join(keys)}"
            raise GraftError(f"no key {key}; {hint}")
        if key in found:
            raise GraftError(f"{key} is typed twice, as {found[key]} and {value}; try one of them")
        found[key] = value
    return found


def run_program(purpose: str | None, keys: Mapping[str, Key], program: str, command: str) -> NoReturn:
    """Read the command line, run what it asks for, and end this process with its exit status.

    Args:
        purpose: the program's, for `--help`.
        keys: its keys.
        program: how it is called.
        command: the module whose `main` takes their values; it is imported after they are checked, as PyTorch takes
            seconds.
    """
    prepare()
    default_signals()
    with stop_on_error():
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(help_text(str(purpose), keys, program))
            sys.exit(0)
        words = read_words(sys.argv[1:], keys, program)
        status = importlib.import_module(command).main(words)
    sys.exit(status)


def help_text(purpose: str, keys: Mapping[str, Key], program: str) -> str:
    """Return what `--help` prints."""
    typed = [f"{name}={key.example}" for name, key in keys.items() if key.required]
    width = max(len(f"{name}={key.example}") for name, key in keys.items()) + 4
    lines = [f"  {f'{name}={key.example}'.ljust(width)}{key.meaning}" for name, key in keys.items()]
    return "\n".join([purpose, "", f"  {program} {' '.join(typed)}", "", *lines])


def _text(typed: str) -> str:
    if not typed.strip():
        raise ValueError
    return typed
