"""The files that jobs have left, read and checked: every field that a report uses, before anything is computed from it.

Each check raises a ValueError that says which field is wrong; the report leaves the file out and repeats the reason.
"""

import json
from collections.abc import Mapping
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pandas

import graft
from graft.statistics.accuracies import is_finite

MAX_BYTES = 2**26  # 64 MiB; a result of a thousand trials has less than one
MOST = 10**15  # of images or parameters; more cannot be computed with
HISTORY_COLUMNS = ["trial", "epoch", "split", "metric", "value"]
FRACTION = "a fraction from 0 to 1"


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds a mapping.

    Raises:
        ValueError: it is a folder, a broken link, too large, damaged, or no mapping.
        OSError: it cannot be read.
    """
    check_readable(path)
    try:
        content = json.loads(path.read_text("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:  # the parser's, or that of UTF-8
        raise ValueError(f"it is no JSON (damaged?): {error}") from None
    if not isinstance(content, dict):
        raise ValueError("it is no mapping")
    return content


def read_history(path: Path) -> pandas.DataFrame:
    """Read a `history.csv`: a row for each trial, epoch, split and metric; infinite values are missing ones.

    Raises:
        ValueError: it is damaged.
        OSError: it cannot be read.
    """
    check_readable(path)
    table = pandas.read_csv(path)
    missing = [column for column in HISTORY_COLUMNS if column not in table]
    if missing:
        raise ValueError(f"it has no column {missing[0]}")
    for column in ("trial", "epoch", "value"):
        if not pandas.api.types.is_numeric_dtype(table[column]) or table[column].dtype == bool:
            raise ValueError(f"its column {column} has something else than numbers")
    if table[["trial", "epoch", "split", "metric"]].isna().to_numpy().any():
        raise ValueError("a row of it is incomplete")
    table["value"] = table["value"].astype(float).replace([np.inf, -np.inf], np.nan)
    accuracies = table.loc[table["metric"] == "accuracy", "value"].to_numpy(float)
    beyond = accuracies[(accuracies < 0) | (accuracies > 1)]
    if len(beyond):
        raise ValueError(f"an accuracy in it is {beyond[0]:g}, expected {FRACTION}")
    return table


def check_result(result: Mapping[str, Any]) -> None:
    """Refuse anything but a job's result.

    Raises:
        ValueError: names the field.
    """
    trials = result.get("trials")
    if not isinstance(trials, list) or not trials:
        raise ValueError("it has no list of trials")
    for index, trial in enumerate(trials):
        _check_trial(f"trials[{index}]", trial)
    seeds = [trial["seed"] for trial in trials]
    twice = [seed for seed in seeds if seeds.count(seed) > 1]
    if twice:
        raise ValueError(f"it has seed {twice[0]} twice")
    _check_config(result)
    _check_numbers(result)


def check_pruning(content: Mapping[str, Any]) -> None:
    """Refuse anything but what a pruned job has left.

    Raises:
        KeyError: a field is missing.
        ValueError: names the field.
    """
    _check_number("val_accuracy", content["val_accuracy"], 1, FRACTION, optional=False)
    _check_number("epoch", content["epoch"], None, "a number of 0 or more", optional=False)


def check_trial_run(content: Mapping[str, Any]) -> None:
    """Refuse anything but what a trial run has left.

    Raises:
        KeyError: a field is missing.
        ValueError: names the field.
    """
    reasons = content["trial_run"]
    if not isinstance(reasons, list) or not all(isinstance(reason, str) for reason in reasons):
        raise _unexpected("trial_run", reasons, "a list of reasons")


def check_readable(path: Path, most: int = MAX_BYTES) -> None:
    """Refuse anything but a regular file, or a link to one, of at most some bytes.

    Raises:
        ValueError: says what it is.
    """
    if path.is_dir():
        raise ValueError("it is a folder")
    if not path.exists():
        raise ValueError("it is a link to a file that does not exist")
    if not path.is_file():
        raise ValueError("it is no regular file")
    if path.stat().st_size > most:
        raise ValueError(f"it has more than {most // 2**20} MiB")


def _check_trial(where: str, trial: object) -> None:
    if not isinstance(trial, dict) or not {"seed", "accuracy"} <= trial.keys():
        raise ValueError("a trial in it has no seed or no accuracy")
    if not isinstance(trial["seed"], int) or isinstance(trial["seed"], bool):
        raise _unexpected(f"{where}.seed", trial["seed"], "a whole number")
    for prefix in ("", "val_"):
        accuracy = trial.get(f"{prefix}accuracy")
        if isinstance(accuracy, float) and not is_finite(accuracy):
            continue  # of a trial that failed
        _check_number(f"{where}.{prefix}accuracy", accuracy, 1, FRACTION)
        _check_counts(where, prefix, trial)


def _check_counts(where: str, prefix: str, trial: Mapping[str, Any]) -> None:
    """Refuse counts of images that are no counts, or not those of the accuracy."""
    accuracy, correct, tested = (trial.get(f"{prefix}{name}") for name in ("accuracy", "correct", "tested"))
    for name, count in (("correct", correct), ("tested", tested)):
        _check_count(f"{where}.{prefix}{name}", count)
    if (correct is None) != (tested is None) or (tested is not None and correct > tested):
        raise _unexpected(f"{where}.{prefix}correct", correct, f"a part of the {tested} tested images")
    if tested and accuracy is not None and abs(correct / tested - accuracy) > 1e-4:
        raise _unexpected(f"{where}.{prefix}accuracy", accuracy, f"{correct} of {tested} images")


def _check_config(result: Mapping[str, Any]) -> None:
    config = _mapping(result, "config")
    _mapping(config, "dataset", "config.")
    for key in ("trials_min", "trials_max") if config.get("trials") == "auto" else ():
        _check_number(f"config.{key}", config.get(key), MOST, "a whole number of 2 or more", optional=False)
        if not isinstance(config[key], int) or config[key] < 2:
            raise _unexpected(f"config.{key}", config[key], "a whole number of 2 or more")
    baseline = _mapping(config, "report", "config.").get("baseline")
    if not isinstance(baseline, str | None):
        raise _unexpected("config.report.baseline", baseline, "a text such as source:scratch, or null")
    version = str(_mapping(result, "versions").get("graft", "0"))
    major = version.partition(".")[0]
    if major.isdecimal() and int(major) > int(graft.__version__.partition(".")[0]):
        raise ValueError(f"Graft {version} has written it, this is {graft.__version__}; update Graft")


def _check_numbers(result: Mapping[str, Any]) -> None:
    """Refuse references, counts and costs that are no numbers."""
    reference = _mapping(result, "reference")
    if reference:
        low, high = reference.get("low"), reference.get("high")
        if low is None or high is None:
            raise ValueError(f"its reference has no {'low' if low is None else 'high'}")
        _check_number("reference.low", low, 1, FRACTION)
        _check_number("reference.high", high, 1, FRACTION)
        if low > high:
            raise _unexpected("reference.low", low, f"at most reference.high, {high}")
    images, parameters, seconds = (_mapping(result, key) for key in ("images", "parameters", "seconds"))
    for split in ("test", "val"):
        _check_count(f"images.{split}", images.get(split))
    for kind in ("total", "trainable"):
        _check_count(f"parameters.{kind}", parameters.get(kind))
    cost = _mapping(result, "backbone")
    for key in ("gflops", "images_per_second"):
        _check_number(f"backbone.{key}", cost.get(key), None, "a number of 0 or more")
    _check_number("seconds.total", seconds.get("total"), None, "a number of seconds")


def _mapping(parent: Mapping[str, Any], key: str, prefix: str = "") -> Mapping[str, Any]:
    """Return a field that is a mapping, or an empty one if it is missing."""
    value = parent.get(key)
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f"its {prefix}{key} is not a mapping")
    return value or {}


def _check_count(where: str, value: Any) -> None:
    _check_number(where, value, MOST, "a whole number of 0 or more")
    if isinstance(value, float) and not value.is_integer():
        raise _unexpected(where, value, "a whole number of 0 or more")


def _check_number(where: str, value: Any, most: float | None, expected: str, optional: bool = True) -> None:
    """Refuse anything but a number from 0 to the most, and None where a number is optional."""
    if value is None and optional:
        return
    if value is None or not is_finite(value) or value < 0 or (most is not None and value > most):
        raise _unexpected(where, value, expected)


def _unexpected(where: str, value: Any, expected: str) -> ValueError:
    got = "NaN" if isinstance(value, float) and isnan(value) else json.dumps(value)
    got = got if len(got) <= 40 else f"{got[:40]}..."
    return ValueError(f"its {where} is {got}, expected {expected}")


def same_jobs(results: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return which jobs are another one's copy, or its configuration typed otherwise, and in words which one's.

    Args:
        results: the contents of `result.json` by the jobs' names; those of older versions have no identity.
    """
    first: dict[str, str] = {}
    again: dict[str, str] = {}
    for name in sorted(results, key=lambda name: (-len(results[name]["trials"]), name)):  # of rounds the longest
        identity = results[name].get("identity")
        if identity and first.setdefault(str(identity), name) != name:
            again[name] = f"it is the same job as {first[str(identity)]}"
    return again
