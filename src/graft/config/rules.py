"""Rules: what each of a configuration's values must be; check.py holds a configuration against them.

Nothing heavy is imported here, so that an impossible value answers at once.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """What a key's value must be, in words and as a test."""

    expected: str
    holds: Callable[[Any], bool]
    example: str


def whole(low: int, example: int, *others: str | None) -> Rule:
    """Return the rule of a whole number of at least `low`, or one of some other values."""
    words = ["null" if other is None else other for other in others]
    expected = " or ".join([*words, f"a whole number of at least {low}"])
    return Rule(expected, lambda value: value in others or (type(value) is int and value >= low), str(example))


def _fraction(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1


def within(low: float, high: float, example: float) -> Rule:
    """Return the rule of a number between two, or at one of them."""
    return Rule(
        f"from {low} to {high}",
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high,
        str(example),
    )


def _one_of(*values: str) -> Rule:
    return Rule(f"{', '.join(values[:-1])} or {values[-1]}", lambda value: value in values, values[0])


RATE = Rule(
    "auto or a number above 0",
    lambda value: value == "auto" or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0),
    "0.001",
)
FRACTION = Rule("in [0, 1)", lambda value: isinstance(value, int | float) and 0 <= value < 1, "0.5")


def _path(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _classes(value: Any) -> bool:
    return isinstance(value, list) and len({str(item) for item in value}) == len(value)


def _devices(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) > 0 and all(type(number) is int and number >= 0 for number in value)
    return value == "auto" or (type(value) is int and value >= 1)


def _stages(value: Any) -> bool:
    return type(value) is int and value >= 0


def _all_stages(values: list) -> bool:
    return len(values) > 0 and all(map(_stages, values))


def _reference(value: Any) -> bool:
    if not isinstance(value, dict):
        return value is None
    if value.keys() != {"low", "high", "source"} or not all(_fraction(value[end]) for end in ("low", "high")):
        return False
    return value["low"] <= value["high"]


RULES = {
    "seed": whole(0, 0),
    "trials": whole(1, 15),
    "trials_at_once": whole(1, 5, "auto"),
    "epochs": whole(1, 100),
    "batch_size": whole(1, 4),
    "dropout": FRACTION,
    "width": whole(1, 512),
    "lr": RATE,
    "optimizer.lr": RATE,
    "val_every": whole(1, 10),
    "resume": Rule("null, true or false", lambda value: value is None or isinstance(value, bool), "true"),
    "class_weights": Rule("null or balanced", lambda value: value in (None, "balanced"), "balanced"),
    "dataset.root": Rule("the path of a folder", lambda value: value is None or _path(value), "DIR"),
    "dataset.big": Rule(
        "rest or a list of different classes", lambda value: value == "rest" or _classes(value), "[0,2,4,6,8]"
    ),
    "dataset.small": Rule(
        "all or a list of two or more different classes",
        lambda value: value == "all" or (_classes(value) and len(value) > 1),
        "[1,3,5,7,9]",
    ),
    "dataset.draw": _one_of("stratified", "first"),
    "dataset.small_per_class": whole(1, 20),
    "dataset.small_total": whole(1, 100, None),
    "dataset.val_per_class": whole(0, 10),
    "dataset.test_per_class": whole(1, 250, None),
    "dataset.pixels": _one_of("weights", "unit", "byte"),
    "dataset.pad": whole(0, 2),
    "dataset.size": whole(1, 32, None),
    "dataset.skip_unreadable": Rule("true or false", lambda value: isinstance(value, bool), "true"),
    "backbone.keep": whole(0, 2, None),
    "backbone.model": Rule("a network's name in its library", _path, "resnet18"),
    "backbone.pool": _one_of("average", "flatten"),
    "source.epochs": whole(1, 15),
    "source.batch_size": whole(1, 128),
    "source.seed": whole(0, 0),
    "source.head.dropout": FRACTION,
    "source.path": Rule("the path of a file", lambda value: _path(value), "FILE"),
    "source.weights": Rule("null or a name", lambda value: value is None or isinstance(value, str), "IMAGENET1K_V1"),
    "head.dropout": FRACTION,
    "head.input_dropout": FRACTION,
    "head.widths": Rule(
        "a list of positive whole numbers",
        lambda value: isinstance(value, list) and len(value) > 0 and all(type(w) is int and w > 0 for w in value),
        "[512]",
    ),
    "schedule.warmup": FRACTION,
    "schedule.eta_min": within(0, 1, 0.0),
    "schedule.step_size": whole(1, 30),
    "schedule.gamma": within(0, 1, 0.1),
    "schedule.pct_start": Rule("in (0, 1)", lambda value: isinstance(value, float) and 0 < value < 1, "0.3"),
    "schedule.div_factor": within(1, 1e6, 25),
    "schedule.final_div_factor": within(1, 1e12, 10000),
    "schedule.anneal_strategy": _one_of("cos", "linear"),
    "augment.rotate": within(0, 180, 15),
    "augment.translate": within(0, 1, 0.1),
    "augment.scale": within(0, 0.9, 0.15),
    "augment.shear": within(0, 80, 10),
    "augment.flip": within(0, 1, 0.5),
    "augment.elastic": within(0, 100, 0.7),
    "augment.smoothness": whole(1, 7),
    "augment.colour": within(0, 1, 0.3),
    "augment.noise": within(0, 1, 0.05),
    "augment.erase": within(0, 1, 0.25),
    "augment.fill": _one_of("zeros", "border", "reflection"),
    "augment.num_ops": whole(1, 2),
    "augment.magnitude": within(0, 30, 9),
    "augment.views": whole(2, 8, None),
    "augment.test_views": whole(2, 4, None),
    "regularize.label_smoothing": FRACTION,
    "regularize.clip": Rule(
        "null or above 0", lambda value: value is None or (isinstance(value, int | float) and value > 0), "1.0"
    ),
    "regularize.mixup": within(0, 100, 0.2),
    "regularize.cutmix": within(0, 100, 1.0),
    "regularize.ema": FRACTION,
    "regularize.l2_sp": within(0, 1000, 0.01),
    "tune.thaw": Rule(
        "auto, all, a whole number of at least 0 or with tune=thaw a list of them",
        lambda value: value in ("auto", "all") or _stages(value) or (isinstance(value, list) and _all_stages(value)),
        "1",
    ),
    "tune.epochs": whole(1, 20),
    "tune.lr": RATE,
    "tune.batch_norm": _one_of("train", "frozen"),
    "tune.lr_decay": Rule("in (0, 1]", lambda value: isinstance(value, int | float) and 0 < value <= 1, "0.5"),
    "trainer.gradient_clip_val": Rule(
        "absent: Lightning would clip all trials by their common norm, regularize.clip each by its own",
        lambda value: value is None,
        "null",
    ),
    "report.baseline": Rule(
        "null, or the key and value of one of the jobs",
        lambda value: value is None or all(re.fullmatch(r"[\w.]+:.+", part) for part in value.split("+")),
        "source:scratch",
    ),
    "reference": Rule(
        "null, or low and high (fractions of 1) and their source",
        _reference,
        "{low: 0.84, high: 0.873, source: paper}",
    ),
    "sweep.sampler": _one_of("tpe", "random"),
    "sweep.pruner": _one_of("median", "halving", "hyperband", "none"),
    "sweep.jobs": whole(1, 20),
    "sweep.at_once": whole(1, 1),
    "sweep.seed": whole(0, 0),
    "sweep.storage": Rule("null or an SQLAlchemy URL", lambda value: value is None or _path(value), "sqlite:///FILE"),
    "trainer.devices": Rule("auto, a whole number of at least 1, or a list of GPUs' numbers", _devices, "2"),
    "trainer.num_nodes": whole(1, 1),
    "trainer.strategy": Rule(
        "auto or ddp: each job starts its own processes, and joins them in Lightning's ddp",
        lambda value: value in ("auto", "ddp"),
        "ddp",
    ),
    "trainer.accumulate_grad_batches": whole(1, 1),
}
