"""The check of a configuration as a whole, before anything runs: its values, their combinations, knobs without effect.

Nothing heavy is imported here, so that an impossible value answers at once.
"""

import difflib
from collections.abc import Sequence
from dataclasses import fields

from omegaconf import DictConfig, ListConfig, OmegaConf

from graft.config.knobs import Knobs
from graft.config.rules import RULES
from graft.errors import GraftError

KEYS = [knob.name for knob in fields(Knobs)]  # what +key= would add is read by nothing


def check(cfg: DictConfig) -> None:
    """Refuse impossible values and combinations, all in one message.

    Raises:
        GraftError: names every fault with its key, its value and what would be allowed.
    """
    faults = [
        f"there is no key {key}{_nearest(str(key))}; --help lists them all" for key in cfg if str(key) not in KEYS
    ]
    for key, rule in RULES.items():
        group, _, leaf = key.rpartition(".")
        node = OmegaConf.select(cfg, group) if group else cfg
        if node is None or leaf not in list(node):  # a missing value, ???, would not be `in node`
            continue  # this group's option has no such key
        if group and "${" in str(node._get_node(leaf)):
            continue  # a knob's value, which is reported under the knob's name
        missing = OmegaConf.is_missing(node, leaf)
        value = "nothing" if missing else node[leaf]
        value = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        if missing or not rule.holds(value):
            faults.append(f"{key} must be {rule.expected}, got {value}; try {key}={rule.example}")
    if not faults:
        faults = _combinations(cfg)
    if faults:
        raise GraftError("\n".join(faults))


def _nearest(key: str) -> str:
    near = difflib.get_close_matches(key, KEYS, n=1)
    return f"; try {near[0]}=" if near else ""


def _combinations(cfg: DictConfig) -> list[str]:
    """Return what is wrong with values that are each possible alone."""
    faults = []
    big, small = ({str(item) for item in _listed(classes)} for classes in (cfg.dataset.big, cfg.dataset.small))
    both = big if cfg.dataset.small == "all" else big & small
    if both:
        faults.append(
            f"dataset.big and dataset.small share the classes {', '.join(sorted(both))}; a class is in one split only"
        )
    if _is(cfg.source, "Scratch") and cfg.tune.thaw == 0 and cfg.backbone.keep != 0:
        faults.append("tune=frozen with source=scratch freezes random weights; try tune=auto, or source=big")
    for key in ("mixup", "cutmix"):
        if cfg.regularize[key] and cfg.batch_size == 1:
            faults.append(f"regularize.{key} mixes images of one batch, got batch_size=1; try batch_size=4")
    if _is(cfg.schedule, "step") and cfg.schedule.step_size >= cfg.epochs:
        faults.append(
            f"schedule.step_size={cfg.schedule.step_size} with epochs={cfg.epochs} never changes the learning rate; "
            f"try schedule.step_size={max(1, cfg.epochs // 3)}, or schedule=constant"
        )
    return faults


def _is(option: DictConfig, *names: str) -> bool:
    """Return whether an option builds one of these classes or functions; it is not imported for that."""
    return str(option._target_).rpartition(".")[2] in names


def _listed(classes: ListConfig | str) -> Sequence:
    return [] if isinstance(classes, str) else classes


SOLVED = ("epochs", "batch_size", "lr", "val_every", "optimizer", "schedule")  # without effect on heads that are solved
THAWED = ("tune.lr_decay", "tune.batch_norm")  # without effect where no stage is


def unused(cfg: DictConfig, knobs: Sequence[str]) -> list[str]:
    """Return which knobs of those that were typed have no effect on this configuration."""
    solved = _is(cfg.head, "Ridge", "Logistic")
    frozen = cfg.tune.thaw == 0 or (cfg.tune.thaw == "auto" and not _is(cfg.source, "Scratch"))
    written = OmegaConf.to_yaml(cfg)
    return [
        knob
        for knob in knobs
        if (solved and knob.split(".")[0] in SOLVED)
        or (frozen and knob in THAWED)
        or (knob in ("activation", "dropout", "width") and f"${{{knob}}}" not in written)
    ]
