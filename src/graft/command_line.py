"""The command line: what was typed, as Hydra's grammar can read it, and what Hydra would misunderstand.

Do not import torch here: `--help` must answer in under a second.
"""

import argparse
import os
import re
from collections.abc import Collection, Sequence

from hydra.core.override_parser.types import Quote, QuotedString

from graft.errors import GraftError, no_option

# One element of a value: a quoted text, a path (which may contain quotes, brackets and equals signs), an interpolation,
# a bracket or comma, or any other text.
ELEMENT = re.compile(
    r"""(?P<path>(?:~|\.{0,2}/)(?:\\.|[^,\[\]{}\\])*)
    | '(?:\\.|[^'\\])*' | "(?:\\.|[^"\\])*" | \$\{[^}]*\} | [,\[\]{}()]
    | (?P<text>(?:\\.|[^,\[\]{}()'"\\$]|\$(?!\{))+)""",
    re.VERBOSE,
)
ESCAPED = re.compile(r"\\([\\()\[\]{}:=, \t])")
NAME = re.compile(r"[^'\"\[{~./,$][^,$]*['\"()][^,$]*")  # a name with quotes or brackets: Anna's photos (1)
FIGURES = "report.figures"  # a list that no sweep tries one by one: one report compares all jobs
PATTERN = "dataset.group_pattern"  # a regular expression, whose signs mean nothing to Hydra
# Hydra's own options, besides those of one dash and a letter or two.
OPTIONS = (
    "help", "hydra-help", "version", "cfg", "resolve", "package", "run", "multirun", "shell-completion", "config-path",
    "config-name", "config-dir", "experimental-rerun", "info",
)  # fmt: skip
# What Hydra's grammar has in a text without quotes.
READABLE = re.compile(rf"(?:{ESCAPED.pattern}|[\w\s/\-\\+.$%*@?|:])*", re.ASCII)


def let_hydra_parse() -> None:
    """Let Hydra parse a command line on Python 3.14, whose argparse refuses the lazy help text of one of its flags.

    Hydra 1.3.8 ends there with a ValueError (https://github.com/facebookresearch/hydra/issues/3121).
    """
    if hasattr(argparse.ArgumentParser, "_check_help"):
        argparse.ArgumentParser._check_help = lambda self, action: None  # type: ignore[attr-defined]


def readable(words: Sequence[str]) -> list[str]:
    """Return a command line as Hydra can read it: other values quoted, ~ as the home directory, -m before all keys.

    Hydra's grammar lacks `~`, umlauts and most signs, and reads `a=b=c` and `~key` in other ways than a shell's user
    means them: `source.path=outputs/dropout=0/weights.safetensors`.
    """
    words = [
        f"{FIGURES}=[{word[len(FIGURES) + 1 :]}]" if re.match(rf"{FIGURES}=\w+,", word) else word for word in words
    ]
    quoted = [_quoted_pattern(word) if word.startswith(f"{PATTERN}=") else _readable(word) for word in words]
    return sorted(quoted, key=lambda word: word not in ("-m", "--multirun"))


def _quoted_pattern(word: str) -> str:
    """Return a pattern between quotes, in which a backslash stays one."""
    key, _, value = word.partition("=")
    if value == "null" or re.fullmatch(r"(['\"]).*\1", value):
        return word
    return f"{key}={QuotedString(value, Quote.single).with_quotes()}"


def _readable(word: str) -> str:
    key, equals, value = word.partition("=")
    if not equals or key.startswith("-"):
        return word
    calls_function = re.match(r"\w+\s?\(", value) is not None  # range(1,5,step=2)
    if not calls_function and NAME.fullmatch(value):
        return f"{key}={_quoted(value)}"

    def as_element(match: re.Match[str]) -> str:
        element = match["path"] or match["text"]
        if element is None or (calls_function and not match["path"]):
            return match[0]
        text = element.strip()
        if text.startswith("~"):
            text = os.path.expanduser(text)  # leaves an unknown user's as it is
        return element.replace(element.strip(), text) if READABLE.fullmatch(text) else _quoted(text)

    return f"{key}={ELEMENT.sub(as_element, value)}"


def _quoted(text: str) -> str:
    return QuotedString(ESCAPED.sub(r"\1", text), Quote.single).with_quotes()


def _check_option(word: str) -> None:
    """Refuse a key that was typed as an option, --epochs=5 or -epochs, in place of argparse's page of usage."""
    name = word.partition("=")[0].lstrip("-")
    known = any(option.startswith(name) for option in OPTIONS)  # argparse's rule
    if word.startswith("-") and len(name) > 2 and not known:
        raise GraftError(no_option(word))


def check_words(words: Sequence[str], groups: Collection[str]) -> None:
    """Refuse what Hydra would take for something else than it looks like.

    Args:
        words: as they were typed.
        groups: the names of the groups in conf/.

    Raises:
        GraftError: a word has no key, or one with dashes, two values for one key, or several options of a group for
            one job.
    """
    seen: dict[str, str] = {}
    for word in words:
        if any("\ud800" <= character <= "\udfff" for character in word):  # Python's stand-ins for other bytes
            raise GraftError(f"{word!a} cannot be read in this locale; try LC_ALL=C.UTF-8, or another name")
        key, equals, value = word.lstrip("+").partition("=")
        if not equals or word.startswith("-"):
            _check_option(word)
            continue
        if not key:
            raise GraftError(f"{word} has no key; try KEY=VALUE without blanks around =, and --help for the keys")
        if key in groups and key != "logger" and value.startswith("["):
            raise GraftError(
                f"{key} must be one option, got {value}; try -m {key}={value.strip('[]')} for a sweep of them"
            )
        if key in groups and re.fullmatch(r"(null|true|false|[\d.]+)?", value, re.IGNORECASE):
            raise GraftError(f"{key} must be the name of an option, got {value or 'nothing'}; --help lists them")
        if seen.setdefault(key, value) != value:
            raise GraftError(f"{key} is typed twice, as {seen[key]} and {value}; try one of them")
