"""Refusals: what Hydra, OmegaConf and YAML cannot compose, in Graft's words.

Do not import torch here: `--help` must answer in under a second.
"""

import re
from collections.abc import Collection
from dataclasses import fields
from traceback import walk_tb

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)
from yaml import YAMLError

from graft.config.knobs import Report, Stop
from graft.config.rules import RULES
from graft.config.training import FLAGS, REFUSED
from graft.errors import Fault, nearest

GROUPS = {"stop": Stop, "report": Report}  # groups of keys without options

HYDRA_WORDS = {  # patterns of Hydra's messages, and Graft's words with what the pattern's group found
    r"An item is already at '(.+?)'": "{0} exists, and + adds a new key; try {0}= without +",
    r"^Could not delete from config. '(.+?)' does not exist": (
        "no key {0}, which ~ would remove; --help lists the keys"
    ),
    r"^Multiple values for (\S+)\.": "{0} has an option, and + adds another one; try {0}= without +",
    r"^Ambiguous value for argument '(.+?)' 1\.": (
        "{0} lists several values, one for each job of a sweep; try -m {0}, or one value"
    ),
}


def explain(error: Exception) -> str | None:
    """Return why a configuration cannot be composed; None if another error is the reason."""
    if isinstance(error, OverrideParseException):
        return _not_parsed(error)
    if isinstance(error, MissingConfigException):
        return _no_file(error)
    if isinstance(error, YAMLError):
        return f"a YAML file cannot be read: {' '.join(str(error).split())}; indent with spaces, not with tabs"
    cause = error.__cause__ or error.__context__
    if isinstance(error, ConfigCompositionException) and isinstance(cause, OmegaConfBaseException):
        file = re.match(r"In '(.+?)': \w+ raised", str(error))
        return f"in conf/{file[1]}.yaml: {_refused(cause)}" if file else _flag(cause, str(error)) or _refused(cause)
    if isinstance(error, OmegaConfBaseException):
        return _refused(error)
    if isinstance(error, HydraException) or (isinstance(error, ValueError) and _raised_by_hydra(error)):
        return _own(error)
    return None


def _raised_by_hydra(error: Exception) -> bool:
    """Return whether Hydra itself raised an error, as it does for a misuse of its own options."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return frames[-1].f_globals["__name__"].startswith("hydra.")


def no_such_key(key: str, known: Collection[str]) -> str:
    """Return the refusal of a dotted key, beside which these are known: `no key trails; did you mean trials?`."""
    group, _, name = key.rpartition(".")
    near = nearest(name, known, similarity=0.6)
    beside = f"{group}." if group else ""
    if near:
        return f"no key {key}; did you mean {beside}{near[0]}?"
    if group.partition(".")[0] == "callbacks":
        return f"no key {key}; did you mean +{key}? + adds a callback of your own, or an argument of it"
    if not group:
        return f"no key {key}; --help lists the keys"
    return f"no key {key}; {group}, as it is chosen here, has {', '.join(sorted(known)) or 'no keys'}"


def _flag(error: OmegaConfBaseException, said: str) -> str | None:
    """Return the refusal of a flag of Lightning's trainer that was typed without a plus; None if it is none.

    Args:
        error: OmegaConf's.
        said: Hydra's words, which end in the override: "To append to your config use +trainer.max_epochs=3".
    """
    key, typed = str(error.full_key), re.search(r"use (\+.+)", said)
    flag = key.removeprefix("trainer.")
    if typed is None or key == flag:
        return None
    if flag in REFUSED:
        reason, example = REFUSED[flag]
        return str(Fault(key, typed[1].partition("=")[2], f"left out: {reason}", example))
    return f"no key {key} in conf/trainer/, and + adds Lightning's flags; try {typed[1]}" if flag in FLAGS else None


def _refused(error: OmegaConfBaseException) -> str:
    key = str(error.full_key or error.key)
    if isinstance(error, ConfigKeyError | ConfigAttributeError) and error.parent_node is not None:
        return no_such_key(key, [str(name) for name in error.parent_node if not str(name).startswith("_")])
    if isinstance(error, ValidationError) and key in RULES:
        return str(Fault(key, _value(error), RULES[key].expected, f"{key}={RULES[key].example}"))
    if isinstance(error, ValidationError) and key in GROUPS:
        names = [each.name for each in fields(GROUPS[key])]
        return f"{key} has keys of its own, {', '.join(names)}; try {key}.{names[0]}=VALUE"
    if isinstance(error, MissingMandatoryValue):
        return f"{key} has no value; try {key}=..."
    message = str(error).splitlines()[0]
    if isinstance(error, InterpolationResolutionError):
        return f"{key} refers to a key that has no value ({message})"
    return f"{key} cannot be set: {message}"


def _value(error: ValidationError) -> object:
    """Return the value that an error names: OmegaConf keeps it in the message only."""
    found = re.search(r"[Vv]alue:? '(.*?)'", str(error)) or re.search(r"value: (.*)", str(error))
    return (found[1] or "nothing") if found else error.value


def _not_parsed(error: OverrideParseException) -> str:
    word = error.override
    key, equals, value = word.partition("=")
    if not equals and not word.startswith("~"):
        return f"{word} has no value; try {word}=VALUE, and --help for the keys"
    unbalanced = [pair for pair in ("[]", "{}", "()") if value.count(pair[0]) != value.count(pair[1])]
    if unbalanced:
        return f"{word} has unbalanced {unbalanced[0]}; try quotes around all of it, because shells divide at spaces"
    if value.endswith(","):
        return f"{word} lists nothing after its last comma; try {word.rstrip(',')}, or no blank after it"
    if not key.isascii() or " " in key:
        return f"no key {key}; --help lists the keys"
    return f"{word} is no KEY=VALUE in Hydra's grammar; try \"{key}='{value}'\" for a text as it is"


def _no_file(error: MissingConfigException) -> str:
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    options = list(error.options or ())
    if not group or not options:
        return _own(error)
    near = nearest(option, options, similarity=0.6)
    mean = f"did you mean {near[0]}? " if near else ""
    return f"no option {option} for {group}; {mean}there are {', '.join(options)}"


def _own(error: Exception) -> str:
    """Return Hydra's own words, without the search path that it adds."""
    message = " ".join(re.split(r"\n+(?:Config )?[Ss]earch path:", str(error))[0].split())
    for pattern, words in HYDRA_WORDS.items():
        found = re.search(pattern, message)
        if found:
            return words.format(found[1])
    return message
