"""The check of a configuration as a whole, before anything runs: its keys, its values, and their combinations.

Do not import torch here: `--help` must answer in under a second.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from graft.config.combinations import combinations
from graft.config.knobs import Knobs, Report, Stop
from graft.config.rules import RULES
from graft.config.training import SHOWN, TRAINER_RULES
from graft.config.values import LOADS, Undecided, Values
from graft.errors import ConfigError, Fault, nearest

KEYS = [knob.name for knob in fields(Knobs)]  # a key added with +key= would be ignored

# Keys without effect on heads that are solved at once, and where no stage is unfrozen.
STEPS = ("epochs", "batch_size", "lr", "val_every", "optimizer", "schedule")
UNFROZEN = ("tune.lr_factor", "tune.lr_decay", "tune.batch_norm")
ROUNDS = ("trials_min", "trials_max")  # without effect on a fixed number of trials

IN_MEMORY = [f"graft.dataset.{name}" for name in ("MNIST5k", "MNIST", "FashionMNIST", "CIFAR10", "CIFAR100")]

FOLDING = ("logistic", "svm", "solved")  # weigh the classes of folds of a draw, or choose by class weights what to fit

STRENGTHS = ("rotate", "translate", "scale", "shear", "flip", "elastic", "colour", "noise", "erase")  # of Distort
DISTORTS = ("augment", "augment.smoothness", "augment.fill", "augment.views", "augment.test_views")

UNUSED = "none of the chosen options uses it"
EQUAL_CLASSES = "each class has equally many training images"


def check(*configs: DictConfig, world_size: int | None = None) -> None:
    """Refuse unknown keys, impossible values and impossible combinations.

    Args:
        configs: one for each job; a fault that several have is listed once.
        world_size: number of processes; None: as far as the configurations show it.

    Raises:
        ConfigError: has all faults; combinations with a faulty value are not judged.
    """
    faults = {str(fault): fault for cfg in configs for fault in _find_faults(cfg, world_size)}
    if faults:
        raise ConfigError(faults.values())


def check_audit(cfg: DictConfig) -> None:
    """Refuse impossible values in the configuration of an audit, and a source that it cannot judge labels by.

    Raises:
        ConfigError: has all faults.
    """
    faults = list(_impossible_values(cfg))
    anywhere = "name=first, or output=DIR for any other folder"
    faults = [replace(fault, example=anywhere) if fault.key == "name" else fault for fault in faults]
    if cfg.source.get("_target_") == "graft.source.Big":
        expected = "imagenet, file or scratch, because big learns from the labels that an audit is to judge"
        faults.append(Fault("source", "big", expected, "source=imagenet"))
    if faults:
        raise ConfigError(faults)


def _find_faults(cfg: DictConfig, world_size: int | None) -> list[Fault]:
    removed = [key for key in KEYS if key not in cfg or OmegaConf.is_missing(cfg, key)]
    if removed:  # others may refer to these
        return [Fault(key, "nothing", "given", f"the command without ~{key}") for key in removed]
    faults = [*_unknown_keys(cfg), *_impossible_values(cfg)]
    return [*faults, *combinations(Values(cfg, {fault.key for fault in faults}, world_size))]


def _unknown_keys(cfg: DictConfig) -> Iterator[Fault]:
    for prefix, node, knobs in (("", cfg, Knobs), ("stop.", cfg.stop, Stop), ("report.", cfg.report, Report)):
        known = [knob.name for knob in fields(knobs)]
        for key in map(str, node):
            if key not in known:
                near = nearest(key, known, similarity=0.6)
                example = f"{prefix}{near[0]}=" if near else "--help"
                yield Fault(f"{prefix}{key}", node[key], "left out, because there is no such key", example)


def _impossible_values(cfg: DictConfig) -> Iterator[Fault]:
    values = dict(_values(cfg))
    for key, rule in RULES.items():
        if key in values and not rule.allows(values[key]):
            got = "nothing" if values[key] is MISSING else values[key]
            plus = "+" if key in TRAINER_RULES and key.removeprefix("trainer.") not in SHOWN else ""
            yield Fault(key, got, rule.expected, f"{plus}{key}={rule.example}")


MISSING = object()  # the value of a key that has to be typed: dataset.root=???


def _values(node: DictConfig, group: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each key that has a rule and its plain value.

    A group's copy of a knob (`dropout: ${dropout}`) is left out: its faults are reported under the knob's name.
    """
    for name in map(str, node):
        key = f"{group}.{name}" if group else name
        if OmegaConf.is_missing(node, name):
            yield key, MISSING
        elif group and _is_copy(node, name):
            continue
        elif key in RULES:
            value = node[name]
            yield key, OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        elif isinstance(node[name], DictConfig):
            yield from _values(node[name], key)


def _is_copy(node: DictConfig, name: str) -> bool:
    if OmegaConf.is_interpolation(node, name):
        return True
    value = node[name]
    return isinstance(value, ListConfig) and any(OmegaConf.is_interpolation(value, i) for i in range(len(value)))


def unused(cfg: DictConfig, knobs: Sequence[str]) -> dict[str, str]:
    """Return which of the typed knobs have no effect on a configuration that `check` accepts, and why."""
    values = Values(cfg)
    head, frozen = values.solved_head(), _all_frozen(values)
    written = OmegaConf.to_yaml(cfg)
    without_effect = {
        "val_every": cfg.stop.patience is not None or cfg.weights == "best",  # each epoch is validated
        "stop.min_delta": cfg.stop.patience is None,
        "stop.patience": cfg.stop.patience is not None and cfg.stop.patience >= cfg.epochs,
        "dataset.small_per_class": cfg.dataset.get("small_total") is not None,  # which is what is drawn
        "sweep.pruner": cfg.trials == "auto",
        "trials_vary": cfg.trials == 1,
        **dict.fromkeys(ROUNDS, cfg.trials != "auto"),
        **{knob: f"${{{knob}}}" not in written for knob in ("activation", "dropout", "lr", "width")},
        **dict.fromkeys(UNFROZEN, frozen),
    }
    idle = [knob for knob in knobs if without_effect.get(knob) or (head and knob.split(".")[0] in STEPS)]
    others = {knob: why for knob, why in _neutral(values, knobs).items() if knob in knobs}
    if "resume" in knobs and cfg.sweep is not None and cfg.resume is False:
        others["resume"] = "a search goes on with the jobs that it has finished; another name= begins one anew"
    return dict.fromkeys(idle, UNUSED) | others


def _neutral(values: Values, knobs: Sequence[str]) -> dict[str, str]:
    """Return keys that other keys leave nothing to change, and which ones do."""
    found = {}
    if weighs_classes(values) and draws_equally(values):
        found["class_weights"] = EQUAL_CLASSES
    strong = any(values.get(f"augment.{strength}") for strength in STRENGTHS)
    if values.get("augment._target_") == "graft.augment.Distort" and not strong:
        found |= dict.fromkeys(DISTORTS, "all strengths of the augmentation are 0")
    for group in ("schedule", "tune.schedule"):
        if values.get(f"{group}._target_") == "graft.schedule.step" and values.get(f"{group}.gamma") == 1:
            keys = (group, f"+schedule@{group}", f"{group}.step_size")
            found |= dict.fromkeys(keys, f"{group}.gamma=1 leaves the learning rate as it is")
    # A class is in one split only: another small split may need another big one, and files of both are compared.
    chosen = {"dataset.small", "dataset.small_domain"} & {*knobs}
    source, in_memory = values.target("source"), values.get("dataset._target_") in IN_MEMORY
    if source in LOADS and in_memory and not chosen and values.get("dataset.big") != []:
        found["dataset.big"] = f"source={LOADS[source]} pre-trains on nothing"
    return found


def weighs_classes(values: Values) -> bool:
    """Return whether class weights are asked for that are 1 wherever a draw has equally many images of each class."""
    return values.get("class_weights") is not None and values.solved_head() not in FOLDING


def draws_equally(values: Values) -> bool:
    """Return whether each class gives equally many training images to a draw, whatever the data."""
    of_each, total, short = (values.get(f"dataset.{key}") for key in ("small_per_class", "small_total", "short"))
    return isinstance(of_each, int) and total is None and short != "use" and values.get("refit") is None


def _all_frozen(values: Values) -> bool:
    try:
        return values.num_unfrozen()[-1] == 0
    except Undecided:
        return False
