"""What finished and failed jobs left in their folders, read back; it needs neither the data nor torch."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from graft.errors import GraftError
from graft.job_folder import FAILURE, PRUNED, RESULT
from graft.report.settings import Setting, known_choices, label, settings, with_choices
from graft.report.statistics import Accuracies


@dataclass
class Record:
    """One finished job."""

    name: str  # its folder, from where all jobs of the report have in common
    result: dict
    folder: Path
    choices: dict[str, str] = field(default_factory=dict)
    setting: Setting = field(default_factory=dict)
    label: str = ""

    @property
    def config(self) -> dict:
        return self.result.get("config") or {}

    def accuracies(self, metric: str = "accuracy") -> Accuracies:
        """Return the finished trials' accuracies by seed; one that became NaN is not finished."""
        values = {trial["seed"]: trial.get(metric) for trial in self.result["trials"]}
        return {seed: value for seed, value in values.items() if _number(value)}


@dataclass
class Records:
    """All jobs under some folders."""

    finished: list[Record]
    failed: dict[str, str]  # reasons by name, of jobs and of trials of finished jobs
    damaged: dict[str, str]
    pruned: dict[str, str]  # where, by name


def read_records(folders: Sequence[Path]) -> Records:
    """Read every job's result under the folders.

    Raises:
        GraftError: a folder does not exist.
    """
    for folder in folders:
        if not folder.is_dir():
            raise GraftError(f"there is no folder {folder}; try outputs, or the folder of one sweep")
    found = {
        file.resolve(): None  # a folder that is named twice, or inside another, counts once
        for folder in folders
        for name in (RESULT, FAILURE, PRUNED)
        for file in sorted(folder.rglob(name))
    }
    root = os.path.commonpath([folder.resolve() for folder in folders])
    records, failed, damaged, pruned = [], {}, {}, {}
    for path in found:
        name = str(path.parent.relative_to(root))
        name = path.parent.name if name == "." else name
        try:
            content = json.loads(path.read_text())
            if path.name == FAILURE:
                failed[name] = str(content["error"])
                continue
            if path.name == PRUNED:
                pruned[name] = f"at epoch {content['epoch']}, validation accuracy {100 * content['val_accuracy']:.1f} %"
                continue
            _check_result(content)
        except (ValueError, KeyError, TypeError, OSError) as error:
            damaged[f"{name}/{path.name}"] = str(error) or type(error).__name__
            continue
        records.append(Record(name, content, path.parent))
    records = [record for record in records if record.name not in failed]
    for record in [record for record in records if not record.accuracies()]:
        records.remove(record)
        failed[record.name] = "none of its trials finished"
    for record in records:
        pruned.pop(record.name, None)
        for trial in record.result["trials"]:
            if "error" in trial:
                failed[f"{record.name}, trial of seed {trial['seed']}"] = str(trial["error"])
    _name(records)
    return Records(records, failed, damaged, pruned)


def _check_result(result: dict) -> None:
    """Refuse what is no result.

    Raises:
        ValueError: says what is missing.
    """
    if not isinstance(result, dict) or not isinstance(result.get("trials"), list) or not result["trials"]:
        raise ValueError("it has no list of trials")
    if not all(isinstance(trial, dict) and {"seed", "accuracy"} <= trial.keys() for trial in result["trials"]):
        raise ValueError("a trial in it has no seed or no accuracy")
    if not isinstance(result.get("config") or {}, dict):
        raise ValueError("its config is no mapping")


def _name(records: Sequence[Record]) -> None:
    """Give each job its choices, its values of the swept keys, and a label that no other has."""
    known = [known_choices(record.result, Path(record.name).name) for record in records]
    choices = with_choices([(record.config, own) for record, own in zip(records, known, strict=True)])
    for record, own in zip(records, choices, strict=True):
        record.choices = own
    for record, setting in zip(records, settings([(record.config, record.choices) for record in records]), strict=True):
        record.setting, record.label = setting, label(setting)
    labels = [record.label for record in records]
    for record in records:
        if not record.label:
            record.label = record.name
        elif labels.count(record.label) > 1:
            record.label += f" ({record.name})"


def _number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
