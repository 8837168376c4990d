"""Finished jobs with outcomes of single images, made up and written by Graft's own writer."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from graft.results.outcomes import SplitOutcomes, StoredOutcomes, of_label
from graft.run.outcome_writer import within_limit, write_outcomes

NAMES = ("cat", "dog", "horse")


def store_job(
    folder: Path,
    setting: Mapping[str, str] | None = None,
    classes: Sequence[str] = NAMES,
    trials: int = 6,
    images: int = 60,
    skill: float = 2.0,
    **changes: Any,
) -> Path:
    """Write a finished job into a folder of its own, named after its setting, and return it.

    Args:
        folder: of the sweep.
        setting: the values in which jobs differ, by key.
        classes: their names.
        trials: number of trials.
        images: number of test images; their labels go round.
        skill: how far the logit of the right class is above the others.
        changes: keys of the result, and `paths`, `labels` or `hashes` of the test images.
    """
    setting = dict(setting or {"dropout": "0"})
    job = folder / ("_".join(f"{key}={value}" for key, value in setting.items()).replace("/", " ") or "job")
    job.mkdir(parents=True)
    labels = np.array(changes.pop("labels", np.arange(images) % len(classes)))
    identity = str(sorted(setting.items()))
    found = _outcomes(labels, list(classes), trials, skill + 0.3 * (len(identity) % 3), changes)
    correct = found.test.correct.sum(1).tolist()
    rows = [
        {"seed": seed, "accuracy": count / images, "loss": 1.0, "epoch": 9, "correct": count, "tested": images}
        for seed, count in enumerate(correct)
    ]
    config: dict[str, Any] = {"dataset": {"_target_": "graft.dataset.ImageFolder", "root": "no/such/folder"}}
    counts = {name: int((labels == place).sum()) for place, name in enumerate(classes)}
    result = {
        "config": config | {key: value for key, value in setting.items() if "." not in key},
        "trials": rows,
        "images": {"big": 0, "small": 60, "val": 0, "test": images, "by_class": {"test": counts}},
        "accuracy": {},
        "parameters": {"total": 1000, "trainable": 10, "frozen": 990},
        "seconds": {"total": 1.5, "train": 1.0},
        "versions": {"graft": "0.1.0"},
        "reference": None,
        "identity": identity,
        "contents": {"tested_on": "these"},
        **changes,
    }
    for key, value in setting.items():
        group, _, name = key.partition(".")
        if name:
            result["config"].setdefault(group, {})[name] = int(value) if value.isdecimal() else value
    write_outcomes(job, found, identity)
    (job / "result.json").write_text(json.dumps(result))
    return job


def _outcomes(
    labels: np.ndarray, classes: list[str], trials: int, skill: float, changes: dict[str, Any]
) -> StoredOutcomes:
    images, number = len(labels), len(classes)
    random = np.random.default_rng(len(classes) + images)
    hard = random.normal(size=(1, images, 1))
    kind = np.min_scalar_type(number - 1)
    whole = within_limit(trials, images, number)
    logits = random.standard_normal((trials, images, number), np.float32)
    np.put_along_axis(
        logits, labels[None, :, None], np.take_along_axis(logits, labels[None, :, None], 2) + skill + hard, 2
    )
    odds = np.exp(logits - logits.max(2, keepdims=True))
    probability = (odds / odds.sum(2, keepdims=True)).astype(np.float16)
    split = SplitOutcomes(
        prediction=logits.argmax(2).astype(kind),
        label=labels[None].astype(kind),
        image=np.arange(images, dtype=np.int32)[None],
        probability_of_label=of_label(probability, labels[None]),
        probability=probability if whole else None,
    )
    columns = {
        "path": changes.pop("paths", [f"{classes[label]}/{place}.png" for place, label in enumerate(labels)]),
        "hash": changes.pop("hashes", [f"{place:032x}" for place in range(images)]),
        "class": [classes[label] for label in labels],
        "group": "",
        "split": "test",
        "draws": 0,
    }
    table = pandas.DataFrame(columns, index=pandas.RangeIndex(images, name="number"))
    return StoredOutcomes(list(range(trials)), classes, 1, table, split)
