"""Rules: the values that each key of a configuration may have. check.py applies them.

Do not import torch here: `--help` must answer in under a second.
"""

from collections.abc import Mapping
from math import inf
from typing import Any

from graft.config.constraints import FLAG, OPTIONAL_FLAG, Rule, list_of, number, one_of, text, whole
from graft.config.training import TRAINER_RULES
from graft.config.values import BASELINE, CONTROL, FORMATS, METRICS


def _is_inside(value: Any) -> bool:
    """Return whether a text names a folder, or a folder in a folder, without a way out."""
    if not isinstance(value, str) or not value.isprintable() or value.startswith("~"):
        return False
    return all(part.strip() not in ("", ".", "..") for part in value.split("/"))


def _is_reference(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() - {"classes"} != {"low", "high", "source"}:
        return False
    if not isinstance(value.get("classes", []), list):
        return False
    return UNIT.allows(value["low"]) and UNIT.allows(value["high"]) and value["low"] <= value["high"]


def _is_refit(value: Any) -> bool:
    """Return whether a value is what `refit=all` becomes once its job is known."""
    return isinstance(value, dict) and {"job", "contents", "lr", "estimate"} <= value.keys()


def _are_options(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, dict) and "_target_" in each for each in value.values())


def _under(group: str, rules: Mapping[str, Rule]) -> dict[str, Rule]:
    return {f"{group}.{key}": rule for key, rule in rules.items()}


DOMAIN = Rule(
    "a value of the column dataset.domain (a text, a number, true or false)",
    lambda value: isinstance(value, str | int | float) and str(value).strip() != "" and value == value,
    "A",
)
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
    **dict.fromkeys(("amsgrad", "centered", "differentiable", "maximize", "nesterov"), FLAG),  # "no" is true in Python
    **dict.fromkeys(("fused", "foreach"), OPTIONAL_FLAG),
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
    "name": Rule(
        "the name of a folder inside outputs/", _is_inside, "first, or hydra.run.dir=DIR for any other folder"
    ),
    "run": one_of(None, text("the folder of a finished job or sweep", "outputs/NAME")),
    "refit": Rule("all, or null", lambda value: value in (None, "all") or _is_refit(value), "all"),
    "baseline": one_of("solved", "none", BASELINE, CONTROL, expected="solved or none"),
    "seed": whole(0, 0),
    "trials": one_of("auto", whole(1, 15)),
    **dict.fromkeys(("trials_min", "trials_max"), whole(2, 6)),
    "trials_vary": one_of("all", "data", "init"),
    "trials_at_once": one_of("auto", whole(1, 5)),
    "frozen_precision": one_of("32-true", "bf16-mixed"),
    "epochs": whole(1, 100),
    "batch_size": whole(1, 4),
    "dropout": FRACTION,
    "width": whole(1, 512),
    "activation": one_of("relu", "tanh", "sigmoid", "gelu"),
    "lr": LEARNING_RATE,
    "val_every": whole(1, 10),
    "stop.patience": one_of(None, whole(1, 10)),
    "stop.min_delta": NOT_NEGATIVE,
    "weights": one_of("last", "best"),
    "logger": Rule("options with a _target_ each", _are_options, "{csv: {_target_: graft.logger.csv}}"),
    "callbacks": Rule("options with a _target_ each", _are_options, "{stats: {_target_: mypkg.MyCallback}}"),
    "resume": OPTIONAL_FLAG,
    "keep_weights": one_of("best", "whole", "all", "none"),
    "cache": text("the path of a folder (~ works on the command line only)", "outputs/cache", r"[^~\s].*"),
    "class_weights": one_of(None, "balanced", "effective"),
    "reference": Rule(
        "null or low and high (fractions of 1), their source and, if they are of certain classes, a list of these",
        lambda value: value is None or _is_reference(value),
        "{low: 0.84, high: 0.873, source: paper}",
    ),
    "report.baseline": one_of(
        None, text("the key and value of one of the jobs", "source:scratch", r"[\w.]+:[^+]+(\+[\w.]+:[^+]+)*")
    ),
    "report.margin": number(0, 100, 1, closed="left"),
    "report.figures": one_of(
        *FORMATS, list_of("a list of different formats", "[svg,pdf]", one_of(*FORMATS), distinct=True)
    ),
    "report.metric": one_of(*METRICS),
    **dict.fromkeys(("report.thumbnails", "report.explain"), FLAG),
    "dataset.root": one_of(None, text("the path of a folder", "DIR"), expected="the path of a folder"),
    "dataset.download": FLAG,
    "dataset.big": one_of("rest", list_of("a list of different classes", "[0,2,4,6,8]", least=0, distinct=True)),
    "dataset.small": one_of("all", list_of("a list of two or more different classes", "[1,3]", least=2, distinct=True)),
    "dataset.draw": one_of("stratified", "first"),
    "dataset.small_per_class": one_of(
        None,
        "all",
        whole(1, 20),
        number(0, 1, 0.5, closed="neither"),
        expected="a whole number of at least 1, a fraction below 1, or all",
    ),
    "dataset.small_total": one_of(None, whole(1, 100)),
    "dataset.val_per_class": whole(0, 10),
    "dataset.test_per_class": one_of(None, whole(1, 250)),
    "dataset.folds": one_of(None, whole(2, 5)),
    "dataset.pixels": one_of("weights", "unit", "byte"),
    "dataset.pad": whole(0, 2),
    "dataset.size": one_of(None, whole(1, 32)),
    "dataset.interpolation": one_of(None, "bilinear", "bicubic"),
    "dataset.skip_unreadable": FLAG,
    "dataset.fit": one_of("crop", "squash", "pad"),
    "dataset.bits": one_of(
        "auto", Rule("a whole number from 1 to 32", lambda bits: type(bits) is int and 0 < bits <= 32, "12")
    ),
    "dataset.max_pixels": one_of(None, whole(1, 400_000_000)),
    "dataset.file": one_of(
        text("the path of a table", "labels.csv"),
        list_of("a list of different ones", "[train.csv,test.csv]", text("a path", "train.csv"), distinct=True),
    ),
    **dict.fromkeys(("dataset.image", "dataset.label"), text("a column's name, or auto", "COLUMN")),
    **dict.fromkeys(("dataset.split", "dataset.group"), one_of(None, text("a column's name, or auto", "COLUMN"))),
    "dataset.domain": one_of(None, text("a column's name", "COLUMN", r"(?!auto$).+")),
    "dataset.big_domain": one_of("rest", DOMAIN, list_of("a list of different ones", "[A,B]", DOMAIN, distinct=True)),
    "dataset.small_domain": one_of(None, DOMAIN, list_of("a list of different ones", "[A,B]", DOMAIN, distinct=True)),
    "dataset.path": text("a name on the hub, or the path of a folder or a Parquet file", "beans"),
    "dataset.config": one_of(None, text("the name of a configuration", "default")),
    "dataset.suffix": one_of(None, text("a suffix with its dot", ".jpg", r"\.\w+")),
    "dataset.group_pattern": one_of(None, text("a regular expression", "'(patient[0-9]+)'")),
    "dataset.duplicates": one_of("drop", "keep"),
    "dataset.short": one_of("refuse", "use"),
    "dataset.exclude": one_of(None, text("the path of a file", "audit.csv"), expected="the path of a file"),
    "backbone.keep": one_of(None, whole(0, 2)),
    "backbone.model": text("a network's name in its library", "resnet18"),
    "backbone.pool": one_of(None, "avg", "cls", "gem", "concat", "average", "flatten"),
    "backbone.features": one_of(
        None, list_of("a list of different numbers of stages", "[1,2]", whole(1, 1), distinct=True)
    ),
    "source.epochs": whole(1, 15),
    "source.batch_size": whole(1, 128),
    "source.seed": whole(0, 0),
    **_under("source.head", HEAD),
    **_under("source.optimizer", {**OPTIMIZER, "lr": POSITIVE}),
    "source.path": text("the path of a file", "FILE"),
    "source.weights": one_of(None, text("a name", "IMAGENET1K_V1")),
    "source.prefix": one_of(None, text("the start of names", "teacher", pattern=".*")),
    **_under("head", HEAD),
    "tune.thaw": one_of("auto", "all", whole(0, 1), list_of("with tune=thaw a list of them", "[1,2]", whole(0, 1))),
    "tune.epochs": whole(1, 20),
    "tune.lr": LEARNING_RATE,
    "tune.lr_factor": number(0, inf, 0.1, closed="neither"),
    "tune.lr_decay": number(0, 1, 0.5, closed="right"),
    "tune.batch_norm": one_of("train", "frozen"),
    "tune.rank": whole(1, 8),
    "tune.alpha": number(0, inf, 16, closed="neither"),
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
    **TRAINER_RULES,
    "output": text("the path of a folder", "DIR"),
    "num_folds": whole(2, 5),
    "num_shown": whole(1, 40),
    "sweep.sampler": one_of("tpe", "random"),
    "sweep.pruner": one_of("median", "halving", "hyperband", "none"),
    "sweep.jobs": whole(1, 20),
    "sweep.at_once": whole(1, 1),
    "sweep.seed": whole(0, 0),
    "sweep.storage": one_of(None, text("an SQLAlchemy URL", "sqlite:///FILE")),
}
