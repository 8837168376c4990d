"""Rules: the values that each key of a configuration may have. check.py applies them.

Do not import torch here: `--help` must answer in under a second.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from graft.errors import as_typed


@dataclass(frozen=True)
class Rule:
    """The values that a key may have.

    Attributes:
        expected: these values in words, as they follow "must be".
        allows: whether a value is one of them.
        example: one of them, as it is typed.
    """

    expected: str
    allows: Callable[[Any], bool]
    example: str


def whole(low: int, example: int) -> Rule:
    """Return the rule of a whole number of at least `low`; True, which equals 1, is none."""
    return Rule(f"a whole number of at least {low}", lambda value: type(value) is int and value >= low, str(example))


def number(low: float, high: float, example: float, closed: str = "both") -> Rule:
    """Return the rule of a number in an interval; NaN and booleans are in none.

    Args:
        low: its lower end.
        high: its upper end.
        example: one of its numbers.
        closed: which ends belong to it: `both`, `left`, `right` or `neither`.
    """
    left, right = closed in ("both", "left"), closed in ("both", "right")

    def allows(value: Any) -> bool:
        if type(value) not in (int, float):
            return False
        return (value >= low if left else value > low) and (value <= high if right else value < high)

    if high == inf:
        expected = f"a {'' if right else 'finite '}number {'of at least' if left else 'above'} {low}"
    elif left and right:
        expected = f"from {low} to {high}"
    else:
        expected = f"in {'[' if left else '('}{low}, {high}{']' if right else ')'}"
    return Rule(expected, allows, str(example))


def text(expected: str, example: str, pattern: str = ".+") -> Rule:
    """Return the rule of a text that a regular expression matches as a whole."""
    return Rule(expected, lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None, example)


def list_of(
    expected: str, example: str, item: Rule | None = None, least: int = 1, most: float = inf, distinct: bool = False
) -> Rule:
    """Return the rule of a list of `least` to `most` items, each of which `item` allows; None allows any."""

    def allows(value: Any) -> bool:
        if not isinstance(value, list) or not least <= len(value) <= most:
            return False
        if distinct and len({str(each) for each in value}) < len(value):
            return False
        return item is None or all(map(item.allows, value))

    return Rule(expected, allows, example)


def one_of(*alternatives: str | bool | Rule | None, expected: str = "") -> Rule:
    """Return the rule of one of several values, or of what one of several rules allows.

    Args:
        alternatives: values and rules; the example is the first rule's, or else the first value that is not null.
        expected: as `Rule` has it; by default the words of all alternatives.
    """
    rules = [each if isinstance(each, Rule) else _exactly(each) for each in alternatives]
    words = [rule.expected for rule in rules]
    given = [each.example for each in alternatives if isinstance(each, Rule)]
    examples = given or [rule.example for rule in rules if rule.example != "null"]
    return Rule(
        expected or f"{', '.join(words[:-1])}{',' if len(words) > 2 and given else ''} or {words[-1]}",
        lambda value: any(rule.allows(value) for rule in rules),
        next(iter(examples), "null"),
    )


def _exactly(allowed: str | bool | None) -> Rule:
    word = as_typed(allowed)
    return Rule(word, lambda value: type(value) is type(allowed) and value == allowed, word)


def _is_reference(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"low", "high", "source"}:
        return False
    return UNIT.allows(value["low"]) and UNIT.allows(value["high"]) and value["low"] <= value["high"]


def _under(group: str, rules: Mapping[str, Rule]) -> dict[str, Rule]:
    return {f"{group}.{key}": rule for key, rule in rules.items()}


FLAG = one_of(True, False)
UNIT = number(0, 1, 0.1)
FRACTION = number(0, 1, 0.5, closed="left")
POSITIVE = number(0, inf, 0.001, closed="neither")
NOT_NEGATIVE = number(0, inf, 0.01, closed="left")
LEARNING_RATE = one_of("auto", POSITIVE)

HEAD = {
    "dropout": FRACTION,
    "input_dropout": FRACTION,
    "widths": list_of("a list of positive whole numbers", "[512]", whole(1, 512)),
}
OPTIMIZER = {
    "lr": LEARNING_RATE,
    "betas": list_of("a list of two numbers in [0, 1)", "[0.9,0.999]", FRACTION, least=2, most=2),
    "eps": NOT_NEGATIVE,
    "weight_decay": NOT_NEGATIVE,
    "momentum": UNIT,
    "alpha": UNIT,
}
SCHEDULE = {
    "warmup": FRACTION,
    "eta_min": UNIT,
    "step_size": whole(1, 30),
    "gamma": UNIT,
    "pct_start": number(0, 1, 0.3, closed="neither"),
    "div_factor": number(1, 1_000_000, 25),
    "final_div_factor": number(1, 1_000_000_000_000, 10000),
    "anneal_strategy": one_of("cos", "linear"),
}

RULES: dict[str, Rule] = {
    "seed": whole(0, 0),
    "trials": whole(1, 15),
    "trials_at_once": one_of("auto", whole(1, 5)),
    "epochs": whole(1, 100),
    "batch_size": whole(1, 4),
    "dropout": FRACTION,
    "width": whole(1, 512),
    "activation": one_of("relu", "tanh", "sigmoid", "gelu"),
    "lr": LEARNING_RATE,
    "val_every": whole(1, 10),
    "resume": one_of(None, True, False),
    "keep_weights": one_of("best", "all", "none"),
    "cache": text("the path of a folder (~ works on the command line only)", "outputs/cache", r"[^~].*"),
    "class_weights": one_of(None, "balanced"),
    "reference": Rule(
        "null or low and high (fractions of 1) and their source",
        lambda value: value is None or _is_reference(value),
        "{low: 0.84, high: 0.873, source: paper}",
    ),
    "report.baseline": one_of(
        None, text("the key and value of one of the jobs", "source:scratch", r"[\w.]+:[^+]+(\+[\w.]+:[^+]+)*")
    ),
    "dataset.root": one_of(None, text("the path of a folder", "DIR"), expected="the path of a folder"),
    "dataset.download": FLAG,
    "dataset.big": one_of("rest", list_of("a list of different classes", "[0,2,4,6,8]", least=0, distinct=True)),
    "dataset.small": one_of("all", list_of("a list of two or more different classes", "[1,3]", least=2, distinct=True)),
    "dataset.draw": one_of("stratified", "first"),
    "dataset.small_per_class": whole(1, 20),
    "dataset.small_total": one_of(None, whole(1, 100)),
    "dataset.val_per_class": whole(0, 10),
    "dataset.test_per_class": one_of(None, whole(1, 250)),
    "dataset.pixels": one_of("weights", "unit", "byte"),
    "dataset.pad": whole(0, 2),
    "dataset.size": one_of(None, whole(1, 32)),
    "dataset.skip_unreadable": FLAG,
    "backbone.keep": one_of(None, whole(0, 2)),
    "backbone.model": text("a network's name in its library", "resnet18"),
    "backbone.pool": one_of("average", "flatten"),
    "source.epochs": whole(1, 15),
    "source.batch_size": whole(1, 128),
    "source.seed": whole(0, 0),
    **_under("source.head", HEAD),
    **_under("source.optimizer", {**OPTIMIZER, "lr": POSITIVE}),
    "source.path": text("the path of a file", "FILE"),
    "source.weights": one_of(None, text("a name", "IMAGENET1K_V1")),
    **_under("head", HEAD),
    "tune.thaw": one_of("auto", "all", whole(0, 1), list_of("with tune=thaw a list of them", "[1,2]", whole(0, 1))),
    "tune.epochs": whole(1, 20),
    "tune.lr": LEARNING_RATE,
    "tune.lr_decay": number(0, 1, 0.5, closed="right"),
    "tune.batch_norm": one_of("train", "frozen"),
    **_under("tune.optimizer", OPTIMIZER),
    **_under("tune.schedule", SCHEDULE),
    **_under("optimizer", OPTIMIZER),
    **_under("schedule", SCHEDULE),
    "augment.rotate": number(0, 180, 15),
    "augment.translate": UNIT,
    "augment.scale": number(0, 0.9, 0.15),
    "augment.shear": number(0, 80, 10),
    "augment.flip": number(0, 1, 0.5),
    "augment.elastic": number(0, 100, 0.7),
    "augment.smoothness": whole(1, 7),
    "augment.colour": number(0, 1, 0.3),
    "augment.noise": number(0, 1, 0.05),
    "augment.erase": number(0, 1, 0.25),
    "augment.fill": one_of("zeros", "border", "reflection"),
    "augment.num_ops": whole(1, 2),
    "augment.magnitude": number(0, 30, 9),
    "augment.views": one_of(None, whole(2, 8)),
    "augment.test_views": one_of(None, whole(2, 4)),
    "regularize.label_smoothing": number(0, 1, 0.1, closed="left"),
    "regularize.clip": one_of(None, number(0, inf, 1.0, closed="right")),
    "regularize.mixup": number(0, 100, 0.2),
    "regularize.cutmix": number(0, 100, 1.0),
    "regularize.ema": number(0, 1, 0.99, closed="left"),
    "regularize.l2_sp": number(0, 1000, 0.01),
    "trainer.devices": one_of("auto", whole(1, 2), list_of("a list of GPUs' numbers", "[0,1]", whole(0, 0))),
    "trainer.num_nodes": whole(1, 1),
    "trainer.strategy": one_of("auto", "ddp", expected="auto or ddp: each job starts its own processes"),
    "trainer.accumulate_grad_batches": whole(1, 1),
    "trainer.num_sanity_val_steps": whole(-1, 0),
    "trainer.gradient_clip_val": one_of(
        None, expected="null: it would clip all trials by their common norm, regularize.clip clips each by its own"
    ),
    "sweep.sampler": one_of("tpe", "random"),
    "sweep.pruner": one_of("median", "halving", "hyperband", "none"),
    "sweep.jobs": whole(1, 20),
    "sweep.at_once": whole(1, 1),
    "sweep.seed": whole(0, 0),
    "sweep.storage": one_of(None, text("an SQLAlchemy URL", "sqlite:///FILE")),
}
