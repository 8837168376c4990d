"""The help: every key of the composed configuration, with its value and the comment that conf/ has for it.

Do not import torch here: `--help` must answer in under a second.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from graft.config.identity import without_hydra
from graft.errors import as_typed

COLUMN = 44  # where comments begin
LINE = re.compile(r"(?P<indent> *)(?P<key>\w+):(?:.*?\s# (?P<comment>.*)|.*)")


def help_keys(config: DictConfig) -> str:
    """Return a line for each key of a composed configuration, as it is typed: `seed=0`, and its comment."""
    folders = [Path(source.path) for source in config.hydra.runtime.config_sources if source.schema == "file"]
    files = {"": str(config.hydra.job.config_name)}
    for group, option in config.hydra.runtime.choices.items():
        name, _, package = str(group).partition("@")
        if option and not name.startswith("hydra/"):
            files[package or name] = f"{name}/{option}"
    meanings: dict[str, str] = {}
    for package, file in files.items():
        text = next((path.read_text("utf-8") for folder in folders if (path := folder / f"{file}.yaml").exists()), "")
        meanings = comments(text, package) | meanings  # an experiment's comments do not replace a key's own
    plain = OmegaConf.to_container(without_hydra(config))
    assert isinstance(plain, dict)
    lines = list(_lines(plain, "", {name: file.rpartition("/")[2] for name, file in files.items()}, meanings))
    return "\n".join(lines).replace("$", "$$")  # Hydra substitutes $NAME in its help


def comments(text: str, package: str = "") -> dict[str, str]:
    """Return the comments of a YAML file by dotted key; the first line is that of the package it is put under."""
    found, above = {}, [(-1, "" if text.startswith("# @package _global_") else package)]
    for line in text.splitlines():
        if line.startswith("# ") and not line.startswith("# @") and package not in found:
            found[package] = line[2:]
        match = LINE.fullmatch(line)
        if match is None:
            continue
        while above[-1][0] >= len(match["indent"]):
            above.pop()
        key = f"{above[-1][1]}.{match['key']}".lstrip(".")
        above.append((len(match["indent"]), key))
        if match["comment"]:
            found[key] = match["comment"]
    return found


def _lines(
    node: Mapping[Any, Any], group: str, options: Mapping[str, str], meanings: Mapping[str, str]
) -> Iterator[str]:
    """Yield the lines of one level: groups with the chosen option, and below them their keys."""
    for name, value in node.items():
        key = f"{group}.{name}" if group else str(name)
        if isinstance(value, dict) and value:
            if key in options or key in meanings:
                yield _line(f"{key}={options[key]}" if key in options else key, meanings.get(key, ""))
            yield from _lines(value, key, options, meanings)
        elif not str(name).startswith("_"):
            yield _line(f"{key}={as_typed(value)}", meanings.get(key, ""))


def _line(typed: str, meaning: str) -> str:
    indent = "  " * typed.partition("=")[0].count(".")
    return f"{f'{indent}{typed}'.ljust(COLUMN)}  {meaning}".rstrip()
