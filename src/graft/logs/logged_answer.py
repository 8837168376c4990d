"""The answer of a finished job as loggers take it: numbers, settings and texts."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from graft.config.identity import result_config
from graft.config.one_form import leaves
from graft.page.show_job import summary_rows
from graft.report.table import markdown
from graft.report.unit import unit_of
from graft.results.baseline import common_metric
from graft.results.measured import distinct_images, measured
from graft.results.metric import name_of, split_of
from graft.results.outcomes import StoredOutcomes
from graft.results.refits import in_words, is_refit
from graft.statistics.comparison import spread
from graft.training.logger import LINES

ENDS = ("mean_ci95_low", "mean_ci95_high")
KNOBS = ("activation", "dropout", "lr")  # of which groups have copies, such as head.dropout


def answer_numbers(content: Mapping[str, Any], outcomes: StoredOutcomes | None) -> dict[str, float]:
    """Return the mean, the ends of its interval, and the range of the trials, of each metric that a report may rank by.

    That is the accuracy, and the one that `report.metric` names, of test images and of validation images.
    """
    metric, numbers = common_metric([content["config"]]), {}
    splits = ("", "val_") if outcomes is not None and outcomes.val is not None else ("",)
    for key in (f"{split}{name}" for split in splits for name in dict.fromkeys(["accuracy", metric])):
        sign = -1 if unit_of(key).factor < 0 else 1  # a loss has a minus where it is compared
        with suppress(ValueError):  # a metric that cannot be computed: the job's text says why
            found = spread(measured(content, outcomes, key), distinct_images(content, outcomes, key))
            low, high = sorted((sign * found.low, sign * found.high))
            ends = sorted(sign * end for end in found.interval or ())  # none of a single trial
            values = dict(zip((*LINES, *ENDS), (sign * found.mean, high, low, *ends), strict=False))
            numbers |= {f"{split_of(key)}_{name_of(key)}/{line}": value for line, value in values.items()}
    return numbers


def settings(content: Mapping[str, Any]) -> dict[str, str | int | float]:
    """Return a job's choices and keys, nested ones too, by their names on the command line, as loggers show them.

    Left out are classes, whose option's name is shown, and a group's copies of knobs, such as `head.dropout`; but
    nothing that was typed.
    """
    config, shown = result_config(content["config"]), {}
    words = {word.lstrip("+~").partition("=")[0] for word in _typed()}
    typed = words - content["choices"].keys()  # of a group the option is shown
    for key, value in leaves(config).items():
        group, _, name = key.rpartition(".")
        copied = group in ("backbone", "head", "optimizer") and name in KNOBS and config.get(name) == value
        unseen = copied or name in ("_target_", "_partial_")
        if not unseen or any(f"{key}.".startswith(f"{word}.") for word in typed):
            shown[key] = value if isinstance(value, str | int | float) else json.dumps(value)
    return {**shown, **content["choices"]}


def _typed() -> list[str]:
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def texts(content: dict[str, Any], folder: Path) -> dict[str, str]:
    """Return a job's answer and its configuration, in Markdown."""
    words = in_words(content) if is_refit(content) else []
    rows = [[name, text] for name, text in summary_rows(content, folder)]
    answer = "\n\n".join([*words, markdown([folder.resolve().name, ""], rows)])
    return {
        "job/answer": answer,
        "job/configuration": f"```yaml\n{OmegaConf.to_yaml(OmegaConf.create(content['config']))}```",
    }
