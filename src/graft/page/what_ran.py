"""What a page says of how its jobs were run: command, configuration, data, versions, hardware, seconds."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from graft.nouns import few
from graft.page.pictures import PagePictures
from graft.report.compare import Report
from graft.report.unit import PERCENT
from graft.results.records import Record
from graft.results.settings import flatten, of_the_least, unused_split

MAX_LISTED = 60  # classes, or values of a key, that are listed
SPLITS = {
    "big": "images to pre-train on",
    "pool": "images to draw from",
    "small": "training images of each trial",
    "val": "validation images",
    "test": "test images",
}


class Fact(NamedTuple):
    """A name and what is said of it."""

    name: str
    text: str


class WhatRan(NamedTuple):
    """How jobs were run.

    Attributes:
        commands: that ran them; none where it is not stored.
        differing: keys in which the jobs differ, with their values.
        same: all other keys of the best job's configuration, with their values.
        published: the range with which a job's configuration compares it, and its source.
        data: the account of the best job's images.
        unlike: whether other jobs have other numbers of images.
        versions: of libraries.
        seconds: of all jobs together, by part.
        again: commands that go on from here, each with what it does.
    """

    commands: list[str]
    differing: list[Fact]
    same: list[Fact]
    published: list[Fact]
    data: list[Fact]
    unlike: bool
    versions: list[Fact]
    seconds: list[Fact]
    again: list[Fact]


def what_ran(report: Report, output: Path, pictures: PagePictures) -> WhatRan:
    """Return how jobs were run, the best one first.

    Args:
        report: of one job at least.
        output: its folder.
        pictures: of single images, which the page shows.
    """
    records = report.board.records
    best = records[0]
    swept = list(dict.fromkeys(key for record in records for key in record.setting))
    same = [
        Fact(key, value)
        for key, value in flatten(best.config).items()
        if key not in swept and key.partition(".")[0] not in {name for name in swept if "." not in name}
    ]
    accounts = [_data(record.result.get("images") or {}, record.config) for record in records]
    return WhatRan(
        _commands(records),
        _differing(records, swept),
        same,
        _published(records),
        accounts[0],
        any(account != accounts[0] for account in accounts),
        _versions(records),
        _seconds(records),
        _again(report, output, pictures),
    )


def _differing(records: Sequence[Record], swept: Sequence[str]) -> list[Fact]:
    """Return the values of the swept keys; of jobs that a sweep has added, those of the keys that concern them."""
    names = dict.fromkeys("head" if key == "baseline" else key for key in swept)
    facts = []
    for key in names:
        found = [
            f"{record.choices.get(key, 'solved')} (baseline)"
            if record.baseline and key == "head"
            else record.setting.get(key, record.choices.get(key, "not set"))
            for record in records
            if key in record.setting or key == "head" or not record.baseline
        ]
        facts.append(Fact(key, few(list(dict.fromkeys(found)), MAX_LISTED)))
    return facts


def _commands(records: Sequence[Record]) -> list[str]:
    """Return the commands that ran the jobs, as they were typed: of sweeps, else of jobs."""
    sweeps = {folder: _typed(folder) for folder in dict.fromkeys(record.folder.parent for record in records)}
    found = {}
    for record in records:
        typed = sweeps[record.folder.parent]
        words = ["-m", *typed] if typed else _read(record.folder / ".hydra" / "overrides.yaml")
        if isinstance(words, list) and words:
            found[shlex.join(["python", "src/train.py", *map(str, words)])] = None
    return list(found)[:MAX_LISTED]


def _typed(sweep: Path) -> list[str] | None:
    """Return what was typed for a sweep; None of a folder that is none."""
    whole = _read(sweep / "multirun.yaml")
    return ((whole.get("hydra") or {}).get("overrides") or {}).get("task") if isinstance(whole, Mapping) else None


def _read(path: Path) -> Any:
    """Return the content of a file of Hydra's, with its references as they were typed; empty if it cannot be read."""
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OSError, ValueError, YAMLError, OmegaConfBaseException):
        return {}


def marked_words(images: Mapping[str, Any]) -> list[str]:
    """Return in words how many files `dataset.exclude` marks, if some of them count as unreadable or missing."""
    marked, ignored = images.get("excluded") or 0, images.get("ignored") or {}
    other = marked - ignored.get("left out by dataset.exclude", 0)
    why = "unreadable or missing" if "missing" in ignored else "unreadable"
    return [f"{marked:,}, {other:,} of them {why}"] if ignored and other else []


def _data(images: Mapping[str, Any], config: Mapping[str, Any]) -> list[Fact]:
    """Return the account of a job's images, without an unused split."""
    unused = unused_split(config)
    facts = [
        Fact(f"{words}{of_the_least(config, name)}", f"{images[name]:,}")
        for name, words in SPLITS.items()
        if images.get(name) and name != unused
    ]
    facts += [Fact(f"files {name}", f"{images[name]:,}") for name in ("found", "used") if images.get(name) is not None]
    for reason, count in (images.get("ignored") or {}).items():
        facts.append(Fact(f"left out: {reason.removeprefix('left out ')}", f"{count:,}"))
    facts += [Fact("marked in dataset.exclude", words) for words in marked_words(images)]
    for split, groups in (images.get("groups") or {}).items():
        facts.append(Fact(f"groups, {split}", f"{groups:,}"))
    for split, counts in (images.get("by_class") or {}).items():
        listed = few([f"{name}: {count:,}" for name, count in counts.items()], MAX_LISTED)
        facts.append(Fact(f"{SPLITS.get(split, split)}, by class", listed))
    return facts


def _published(records: Sequence[Record]) -> list[Fact]:
    """Return the published ranges of accuracies, with their sources, by the jobs that are compared with them."""
    found: dict[str, list[str]] = {}
    for record in records:
        it = record.result.get("reference") or {}
        if {"low", "high", "source"} <= it.keys():
            found.setdefault(f"{PERCENT.span(it['low'], it['high'])} %, {it['source']}", []).append(record.label)
    return [
        Fact("all jobs" if 1 < len(records) == len(jobs) else few(jobs, MAX_LISTED), text)
        for text, jobs in found.items()
    ]


def _versions(records: Sequence[Record]) -> list[Fact]:
    """Return the versions and the hardware of all jobs; several where they differ."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        parts = {**(record.result.get("versions") or {}), **(record.result.get("hardware") or {})}
        for name, value in parts.items():
            found.setdefault(str(name), {})[str(value)] = None
    return [Fact(name, few(list(values), MAX_LISTED)) for name, values in found.items()]


def _seconds(records: Sequence[Record]) -> list[Fact]:
    """Return the seconds of each part, of all jobs together."""
    total: dict[str, float] = {}
    for record in records:
        for part, seconds in (record.result.get("seconds") or {}).items():
            if isinstance(seconds, int | float):
                total[part] = total.get(part, 0.0) + seconds
    return [Fact(part, f"{seconds:,.1f}") for part, seconds in total.items()]


def _again(report: Report, output: Path, pictures: PagePictures) -> list[Fact]:
    """Return the commands that make the report again, and that predict with the winner."""
    best, several = report.board.records[0], len(report.board.records) > 1
    here, job = _short(output), _short(best.folder)
    named = here if several and best.folder.is_relative_to(output.resolve()) else job
    elsewhere = [folder.resolve() for folder in report.folders] != [output.resolve()]
    words = [
        *map(_short, report.folders),
        *map(shlex.quote, report.options),
        *(["--output", here] if elsewhere else []),
    ]
    if pictures.thumbnails is None:
        words.append("--no-thumbnails")
    elif pictures.explain is not None:
        words.append("--explain")
    facts = [Fact("make this page again", f"python src/report.py {' '.join(words)}")]
    if several and report.board.comparison is None:
        return facts
    if (best.folder / "model.yaml").is_file():
        words = "predict with the winner" if several else "predict with this model"
        facts.append(Fact(words, f"python src/predict.py run={named} images=PHOTOS output=answers.csv"))
        facts.append(Fact("make a file that needs no Graft", f"python src/export.py run={named}"))
    facts.append(
        Fact("train it once more on all labeled images, for use", f"python src/train.py run={named} refit=all")
    )
    return facts


def _short(folder: Path) -> str:
    """Return a folder as one types it in the working directory."""
    whole, here = folder.resolve(), Path.cwd()
    return shlex.quote(os.path.relpath(whole, here) if whole.is_relative_to(here) else str(whole))
