"""The files of a finished job: weights, outcomes, history.csv, and result.json, written last."""

import json
import logging
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import graft
from graft.backbones.staged import Backbone
from graft.files import remove_leftovers, write_text
from graft.heads.best_solved_head import candidate
from graft.job_folder import EXPORT, FAILURE, HISTORY, HUB, RESULT, TRIAL_RUN
from graft.model.stages import Weights, on_meta, output_shape
from graft.nouns import few
from graft.results.measured import distinct_images, measured
from graft.results.outcomes import StoredOutcomes
from graft.run.earlier import Earlier
from graft.run.history import JobHistory, check_weights, warn_of_better_phases
from graft.run.log_result import log_result
from graft.run.model_writer import kept_trials, write_model
from graft.run.outcome_writer import collect, warn_of_one_class, write_outcomes, write_trained_on
from graft.run.plan import Plan
from graft.statistics.comparison import summary
from graft.training.features import FeatureStore
from graft.training.logger import EVENTS

log = logging.getLogger("graft")

EARLIER_EVENTS = "tensorboard_earlier"  # curves of a finished run, while another one of the same job goes on


class Clock:
    """Seconds since it was made, and the seconds of each part of a job."""

    def __init__(self):
        self._start = time.perf_counter()
        self._parts: dict[str, float] = {"pretrain": 0.0, "features": 0.0, "train": 0.0, "test": 0.0}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._parts[part] += time.perf_counter() - start

    def seconds(self) -> dict[str, float]:
        """Return the seconds in all and of each part."""
        return {"total": time.perf_counter() - self._start, **self._parts}


def clear_folder(folder: Path, curves: bool = True) -> None:
    """Remove the files of an earlier run: curves, unless they are to stay, failure, trial run, incomplete files.

    A result stays until this run has one, and so do its curves, under another name.
    """
    if curves:
        if (folder / RESULT).exists() and (folder / EVENTS).exists() and not (folder / EARLIER_EVENTS).exists():
            (folder / EVENTS).rename(folder / EARLIER_EVENTS)
        shutil.rmtree(folder / EVENTS, ignore_errors=True)
    _remove_attempts(folder)
    remove_leftovers(folder)


def keep_result(folder: Path) -> None:
    """Remove what a run that did not finish has left beside an earlier result: a failure, a trial run, its curves."""
    _remove_attempts(folder)
    _bring_back_curves(folder)


def _bring_back_curves(folder: Path) -> None:
    """Replace the curves of a run that did not finish by those of the result that stays."""
    if (folder / EARLIER_EVENTS).exists():
        shutil.rmtree(folder / EVENTS, ignore_errors=True)
        (folder / EARLIER_EVENTS).rename(folder / EVENTS)


def _remove_attempts(folder: Path) -> None:
    for name in (FAILURE, TRIAL_RUN):
        (folder / name).unlink(missing_ok=True)


def write_files(
    folder: Path,
    plan: Plan,
    history: JobHistory,
    content: dict[str, Any],
    backbone: Backbone,
    learned: Mapping[int, Weights],
    earlier: Earlier | None = None,
) -> dict[str, Any]:
    """Write a finished job's files, or only a trial run's `trial_run.json`: files of an earlier, finished run stay.

    The trials, whose networks have `learned` these weights, are all of the job's or those that a round adds to
    `earlier` ones.

    Returns:
        The content of the result, of all trials; `content` lacks the mean accuracy.
    """
    content = _with_reference(_with_refit(content), plan.data.class_names, told=earlier is not None)
    if "trial_run" in content:
        return _write_trial_run(folder, content)
    content = _with_candidates(content, learned)
    if "refit" in content:
        check_weights(content["trials"], learned)
    outcomes = None if "refit" in content else collect(plan, history, content["trials"])
    weights = {plan.seeds[trial]: found for trial, found in learned.items()}
    if earlier is not None:
        assert outcomes is not None  # a refit has a number of trials
        content, outcomes = earlier.with_content(content), earlier.with_outcomes(outcomes)
        history, weights = earlier.with_history(history), earlier.weights | weights
        if "tensorboard" in plan.loggers:
            history.draw(folder, ("train", *plan.datamodule.curves))
    content = _with_accuracy(content, outcomes)
    kept = kept_trials(content["config"], content["trials"], history)
    seeds = [content["trials"][trial]["seed"] for trial in kept]
    if all(seed in weights for seed in seeds):  # the best trial of an earlier round has its files
        write_model(folder, plan, content, backbone, {seed: weights[seed] for seed in seeds})
    if outcomes is None:
        write_trained_on(folder, plan, content["trials"])
    else:
        write_outcomes(folder, outcomes, content["identity"])
        warn_of_one_class(outcomes, plan.is_solved)
    if content["config"]["weights"] == "best":
        warn_of_better_phases(history, content["trials"], plan.phases[-1].first_epoch)
    write_result(folder, history, content)
    log_result(plan, folder, history, content, outcomes)
    return content


def _write_trial_run(folder: Path, content: dict[str, Any]) -> dict[str, Any]:
    content = _with_accuracy(content, None)
    write_text(folder / TRIAL_RUN, _text(content))
    _bring_back_curves(folder)
    return content


def _with_accuracy(content: dict[str, Any], outcomes: StoredOutcomes | None) -> dict[str, Any]:
    """Return the content of a result with the mean accuracy of its trials; a refit has none."""
    if "refit" in content:
        return content
    accuracy = summary(measured(content, outcomes), distinct_images(content, outcomes))
    return content | {"accuracy": accuracy}


def _with_refit(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a refit's result with what it keeps of its job beside the configuration, not inside it."""
    config = content["config"]
    if config.get("refit") is None:
        return content
    return content | {"config": config | {"refit": "all"}, "refit": config["refit"], "reference": None}


def _with_reference(content: dict[str, Any], classes: list[str], told: bool) -> dict[str, Any]:
    """Return the content of a result without a published range that is of other classes than the job's."""
    reference = content["reference"]
    if reference is None:
        return content
    shown = {key: reference[key] for key in ("low", "high", "source")}
    published = [str(name) for name in reference.get("classes", classes)]
    if {*published} == {*classes}:
        return content | {"reference": shown}
    if not told:
        log.warning(
            "the published range (%s) is of the classes %s, and this job's are %s: they are not compared",
            *(reference["source"], few(published, 10), few(classes, 10)),
        )
    return content | {"reference": None}


def _with_candidates(content: dict[str, Any], learned: Mapping[int, Weights]) -> dict[str, Any]:
    """Return the content of a result with the head that each trial has chosen inside its training images, if it has."""
    heads = [candidate(learned[number]) for number in range(len(content["trials"]))]
    trials = zip(content["trials"], heads, strict=True)
    return content | {"trials": [trial if head is None else trial | {"head": head} for trial, head in trials]}


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def write_result(folder: Path, history: JobHistory, content: dict[str, Any]) -> None:
    """Write `history.csv` and, last of all files, `result.json`."""
    write_text(folder / HISTORY, history.table().to_csv(index=False))
    shutil.rmtree(folder / EARLIER_EVENTS, ignore_errors=True)
    write_text(folder / RESULT, _text(content))
    for exported in (folder / EXPORT, folder / HUB):
        if exported.is_dir():
            log.warning(
                "%s has the model of an earlier result of this job: run src/export.py again, or remove it", exported
            )


def versions() -> dict[str, str]:
    """Return the versions of Graft, Python and the libraries that affect results."""
    found = {"graft": graft.__version__, "python": platform.python_version()}
    for name in ("torch", "torchvision", "timm", "numpy", "scipy", "pillow", "pytorch-lightning", "hydra-core"):
        with suppress(PackageNotFoundError):  # timm is no requirement
            found[name] = version(name)
    return found


def hardware(device: torch.device) -> dict[str, str]:
    """Return what a job ran on."""
    name = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    found = {"processor": name, "threads": str(torch.get_num_threads())}
    return found | ({"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {})


def parameter_counts(plan: Plan, backbone: Backbone) -> dict[str, int]:
    """Return how many parameters one trial's model of the last phase has: total, trainable and frozen."""
    phase = plan.phases[-1].phase
    frozen, stages = backbone.split(phase.frozen_stages)
    network = plan.network(plan.streams[0], phase, stages)
    fixed = [frozen, stages] if phase.lora else [frozen]  # of LoRA's stages the network has the updates only
    trainable, rest = (
        sum(weight.numel() for weight in nn.ModuleList(parts).parameters()) for parts in ([network], fixed)
    )
    return {"total": trainable + rest, "trainable": trainable, "frozen": rest}


def costs(plan: Plan, backbone: Backbone, store: FeatureStore) -> dict[str, float | None]:
    """Return what the kept stages cost: operations, and the speed of the pass that stored their features.

    Where the last phase trains some of them, features are of the others alone, and their speed is not the backbone's.
    """
    whole = plan.phases[-1].phase.frozen_stages == plan.num_kept
    return {"gflops": gflops(backbone), "images_per_second": store.images_per_second if whole else None}


def gflops(backbone: Backbone) -> float:
    """Return the operations of the kept stages on one image, by 1e9; one for a multiplication, one for an addition.

    On the meta device, where attention is the products that PyTorch counts: its kernels for CPUs are not counted.
    """
    with FlopCounterMode(display=False) as counter:
        output_shape(on_meta(list(backbone.split(0)[1])), backbone.preprocess.output_shape)
    return counter.get_total_flops() / 1e9
