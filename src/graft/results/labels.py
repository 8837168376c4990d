"""Labels of jobs: their values of the swept keys, in words."""

from collections.abc import Mapping

from graft.config.values import OF_TRAINED_HEADS
from graft.results.settings import Setting, is_solved

BEST_SOLVED = "graft.best_solved_head.BestSolved"
BUDGETS = {"dataset.small_per_class": "images per class", "dataset.small_total": "images"}  # what a number counts
# For these keys the value alone is a clear label, unless it is none: "dense512", not "head dense512".
CLEAR_VALUES = (
    "baseline",
    "control",
    "experiment",
    "dataset",
    "backbone",
    "source",
    "head",
    "tune",
    "optimizer",
    "activation",
    "augment",
    "schedule",
)


def job_label(setting: Setting, config: Mapping) -> str:
    """Return a job's setting in words, without keys of training that a head which is solved at once does not use."""
    if not is_solved(config):
        return label(setting)
    idle = {*OF_TRAINED_HEADS} - {"head"}
    return label({key: value for key, value in setting.items() if key.partition(".")[0] not in idle})


def label(setting: Setting) -> str:
    """Return a setting in words: dense512 with dropout 0.5."""
    names = [describe(key, value) for key, value in setting.items() if key in CLEAR_VALUES]
    details = [describe(key, value) for key, value in setting.items() if key not in (*CLEAR_VALUES, "dropout")]
    without_dropout = setting.get("dropout") in ("0", "0.0")
    if "dropout" in setting and not without_dropout:
        details.insert(0, describe("dropout", setting["dropout"]))
    words = ", ".join(names) + (" with " if names and details else "") + ", ".join(details)
    if not without_dropout:
        return words
    # "plain without dropout", but "plain with lr 0.01, without dropout".
    return f"{words}{',' if details else ''} without dropout" if words else "dropout 0"


def describe(key: str, value: str) -> str:
    """Return one swept key's value in words: lr 0.01, 5 images per class."""
    if key in ("baseline", "control"):
        return f"{value} ({key})"
    if key in CLEAR_VALUES and value != "none":  # "none and photos are undecided" would not say of what
        return value.replace("_", " ")
    if key in BUDGETS:
        unit = BUDGETS[key]
        return f"{value} {unit.replace('images', 'image', 1) if value == '1' else unit}"
    return f"{key.rpartition('.')[-1].replace('_', ' ')} {value}"


def title(config: Mapping) -> str:
    """Return a job's configuration in words, VGG16 (ImageNet) with a Dense head on MNIST; "" if it lacks a part."""
    names = []
    for group in ("backbone", "source", "head", "dataset"):
        option = config.get(group)
        if not isinstance(option, Mapping) or "_target_" not in option:
            return ""
        names.append(str(option.get("model") or _of_target(str(option["_target_"]))))  # a library's network by its name
    return "{} ({}) with a {} head on {}".format(*names)


def _of_target(target: str) -> str:
    """Return a class's name; that of the best of several solved heads says no more than solved."""
    return "solved" if target == BEST_SOLVED else target.rpartition(".")[2]
