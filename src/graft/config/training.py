"""What trains: which of Lightning's flags work, with which values, and why others are refused; optimizer and schedule.

docs/trainer.md says what each flag does. Do not import torch here: `--help` must answer in under a second.
"""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from graft.config.constraints import FLAG, OPTIONAL_FLAG, Rule, list_of, one_of, text, whole
from graft.config.values import Values
from graft.errors import Fault


def _is_limit(value: Any) -> bool:
    return value is None or (type(value) is int and value >= 1) or (type(value) is float and 0 < value <= 1)


def _is_duration(value: Any) -> bool:
    if isinstance(value, dict):
        units = {"weeks", "days", "hours", "minutes", "seconds"}
        return bool(value) and value.keys() <= units and all(whole(0, 1).allows(part) for part in value.values())
    return value is None or (isinstance(value, str) and re.fullmatch(r"\d+:\d\d:\d\d:\d\d", value) is not None)


BATCHES = Rule("null, a whole number of batches above 0, or their share, a decimal in (0, 1]", _is_limit, "0.5")

FLAGS = {  # those that work
    "accelerator": text("an accelerator's name", "cpu"),
    "strategy": one_of("auto", "ddp", expected="auto or ddp: each job starts its own processes"),
    "devices": one_of("auto", whole(1, 2), list_of("a list of GPUs' numbers", "[0,1]", whole(0, 0))),
    "num_nodes": whole(1, 1),
    "precision": one_of("32-true", "bf16-mixed", "16-mixed"),
    "fast_dev_run": one_of(True, False, whole(0, 1)),
    "max_steps": Rule(
        "-1 or a whole number of at least 1", lambda value: value == -1 or whole(1, 1).allows(value), "100"
    ),
    "max_time": Rule("null, DD:HH:MM:SS or a mapping such as {minutes: 10}", _is_duration, "00:01:00:00"),
    "limit_train_batches": BATCHES,
    "limit_test_batches": BATCHES,
    "val_check_interval": BATCHES,
    "num_sanity_val_steps": whole(-1, 0),
    "enable_progress_bar": OPTIONAL_FLAG,
    "enable_model_summary": OPTIONAL_FLAG,
    "accumulate_grad_batches": whole(1, 1),
    "deterministic": one_of(None, True, False, "warn"),
    "benchmark": OPTIONAL_FLAG,
    "inference_mode": FLAG,
    "profiler": one_of(None, "simple", "advanced", "pytorch"),
    "detect_anomaly": FLAG,
    "reload_dataloaders_every_n_epochs": whole(0, 1),
}
TRAINER_RULES: dict[str, Rule] = {f"trainer.{flag}": rule for flag, rule in FLAGS.items()}
SHOWN = (  # flags that conf/trainer/ has, so that they are typed without a plus
    *("accelerator", "devices", "num_nodes", "strategy", "precision", "accumulate_grad_batches"),
    *("enable_progress_bar", "enable_model_summary", "num_sanity_val_steps"),
)

REFUSED = {  # why a flag cannot be set, and what to type instead
    "barebones": ("it forbids the curves and checkpoints that Graft writes", "trainer.enable_progress_bar=false"),
    "callbacks": ("+callbacks.NAME._target_= names those of your own", "+callbacks.timer._target_=mypkg.Timer"),
    "check_val_every_n_epoch": ("val_every= says when to validate", "val_every=10"),
    "default_root_dir": ("name= names the folder under outputs/", "name=NAME"),
    "enable_autolog_hparams": ("each job's configuration is logged and stored", "trainer=default"),
    "enable_checkpointing": ("checkpoints of unfinished fits are temporary", "keep_weights=none, or keep_weights=all"),
    "gradient_clip_algorithm": ("regularize.clip clips each trial by its own norm", "regularize.clip=1.0"),
    "gradient_clip_val": (
        "it would clip all trials by their common norm, regularize.clip clips each by its own",
        "regularize.clip=1.0",
    ),
    "limit_predict_batches": ("training predicts nothing", "trainer=default"),
    "limit_val_batches": (
        "validation takes all its images or none",
        "test_curve=false, or dataset.val_per_class=0",
    ),
    "log_every_n_steps": ("curves have one point for an epoch", "val_every=1"),
    "logger": ("logger= chooses loggers", "logger=csv"),
    "max_epochs": ("use epochs=", "epochs=10"),
    "min_epochs": ("use epochs=", "epochs=10"),
    "min_steps": ("use epochs=", "epochs=10"),
    "model_registry": ("weights are written into the job's folder", "keep_weights=all"),
    "overfit_batches": ("each epoch shuffles all images anew", "dataset.small_per_class=1"),
    "plugins": ("trainer.precision and trainer.strategy choose them", "trainer.precision=bf16-mixed, or trainer=ddp"),
    "sync_batchnorm": ("batch norm that trains on several devices is synchronized", "trainer=ddp"),
    "use_distributed_sampler": ("each batch is divided among the devices", "trainer=ddp"),
}

# Lightning's callbacks that would find nothing to work on, and the keys that do their work for each trial.
REPLACED = {
    "BackboneFinetuning": ("the module has no part that it could unfreeze", "tune=thaw"),
    "BatchSizeFinder": ("a batch size is a setting that changes results", "batch_size=20"),
    "EarlyStopping": (
        "the module logs a value for each trial, none that it could monitor",
        "stop.patience=10 with dataset.val_per_class=20",
    ),
    "GradientAccumulationScheduler": ("each step counts equally many batches", "trainer.accumulate_grad_batches=4"),
    "LearningRateFinder": ("the trials of a stack share a rate, which a test of all finds", "lr=auto"),
}


def refused_callbacks(values: Values) -> Iterator[Fault]:
    """Return the faults of Lightning's callbacks for which there are keys."""
    for name, option in (values.get("callbacks") or {}).items():
        library, _, kind = str(option["_target_"]).rpartition(".")
        if library.partition(".")[0] in ("lightning", "pytorch_lightning") and kind in REPLACED:
            reason, example = REPLACED[kind]
            yield Fault(f"callbacks.{name}", option["_target_"], f"left out: {reason}", example)


def refused_flags(values: Values) -> Iterator[Fault]:
    """Return the faults of flags that cannot be set."""
    for flag, value in (values.get("trainer") or {}).items():
        if flag in REFUSED:
            reason, example = REFUSED[flag]
            yield Fault(f"trainer.{flag}", value, f"left out: {reason}", example)


def frozen_precision_of_none(values: Values) -> Iterator[Fault]:
    """Return the fault of a precision of frozen stages where no stage is frozen in any phase."""
    precision = values.get("frozen_precision")
    if precision != "32-true" and not values.staged() and values.num_unfrozen()[-1] >= values.num_kept():
        yield Fault("frozen_precision", precision, "32-true if all stages train", "frozen_precision=32-true")


def schedule_without_effect(values: Values) -> Iterator[Fault]:
    """Return the faults of schedules that never change the learning rate, or raise what they shall lower."""
    yield from _of_phase(values, "schedule", "epochs")
    if values.staged():
        own = "tune.schedule" if values.get("tune.schedule") else "schedule"
        yield from _of_phase(values, own, "tune.epochs")


def _of_phase(values: Values, schedule: str, key: str) -> Iterator[Fault]:
    """Find the fault of a schedule in phases of as many epochs as `key` says."""
    if values.target(schedule) == "cosine":
        last, rate = values.get(f"{schedule}.eta_min"), values.get("optimizer.lr" if key == "epochs" else "tune.lr")
        if isinstance(rate, float | int) and last >= rate:
            expected = f"below the learning rate of {rate}, from which it falls"
            yield Fault(f"{schedule}.eta_min", last, expected, f"{schedule}.eta_min=0")
    if values.target(schedule) != "step":
        return
    step_size, epochs, warmup = (values.get(each) for each in (f"{schedule}.step_size", key, f"{schedule}.warmup"))
    left = epochs * (1 - (warmup or 0))  # drops are counted from the end of the warm-up
    if step_size >= left:
        smaller = f"{schedule}.step_size={max(1, int(left / 3))}, or " if left > 1 else ""
        constant = "schedule=constant" if key == "epochs" else "+schedule@tune.schedule=constant"
        after = f", of which the warm-up leaves {left:.3g}" if warmup else ""
        expected = f"below {key}={epochs}{after}, or the learning rate never drops"
        yield Fault(f"{schedule}.step_size", step_size, expected, f"{smaller}{constant}")


def nesterov_without_momentum(values: Values) -> Iterator[Fault]:
    """Return the fault of Nesterov's momentum where there is none, which PyTorch refuses."""
    optimizer = values.get("optimizer")
    if optimizer.get("nesterov") and not optimizer.get("momentum"):
        expected = "false with optimizer.momentum=0"
        yield Fault("optimizer.nesterov", True, expected, "optimizer.momentum=0.9, or optimizer.nesterov=false")


def refused_explanations(values: Values) -> Iterator[Fault]:
    """Return the faults of explanations: their package is not installed, or nothing could be explained or shown."""
    if values.get("report.explain"):
        if find_spec("captum") is None:
            expected = "false, because the package captum is not installed"
            yield Fault("report.explain", True, expected, "pip install -e '.[explain]', or report.explain=false")
        if values.get("report.thumbnails") is False:
            expected = "false with report.thumbnails=false, which shows no images, explained or not"
            yield Fault("report.explain", True, expected, "report.explain=false, or report.thumbnails=true")
        if values.get("keep_weights") == "none":
            yield Fault("keep_weights", "none", "best, whole or all with report.explain=true", "keep_weights=best")
        if values.solved_head() == "knn":
            expected = "false with head=knn, whose votes are counted and have no gradients"
            yield Fault("report.explain", True, expected, "report.explain=false, or head=kernel_ridge")


def refused_loggers(values: Values) -> Iterator[Fault]:
    """Return the faults of loggers: their package is not installed, or settings that TensorBoard's does not have."""
    for name, option in (values.get("logger") or {}).items():
        if name == "tensorboard" and option != {"_target_": "graft.logger.tensorboard"}:
            expected = "left as it is: TensorBoard's files are in each job's folder"
            yield Fault("logger.tensorboard", option, expected, "+logger.mine._target_=mypkg.MyLogger for your own")
        package = str(option["_target_"]).removeprefix("graft.logger.")
        if package in ("wandb", "mlflow") and find_spec(package) is None:
            expected = f"another one, because the package {package} is not installed"
            yield Fault("logger", name, expected, f"pip install -e '.[{package}]', or logger=tensorboard")
