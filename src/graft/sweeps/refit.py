"""`refit=all`: the configuration of a finished job, or of a sweep's winner, to be trained on every labeled image.

Do not import torch or pandas at the top of this module: a mistyped key must be answered without them.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from omegaconf import DictConfig, OmegaConf, flag_override

from graft.config.check import KEYS
from graft.config.identity import NOT_COMPARED_TRAINER, without_hydra
from graft.config.one_form import changed
from graft.config.resolvers import folder_name
from graft.config.values import Values
from graft.errors import ConfigError, Fault, GraftError
from graft.job_folder import RESULT, read_result
from graft.nouns import counted
from graft.process import is_quiet, tell
from graft.results.refits import is_refit

# Keys that may be typed: they leave the configuration whose accuracy is known as it is.
OWN = ("run", "refit", "name", "cache", "keep_weights", "trials", "trials_at_once", "resume", "logger")
EPOCHS = "epochs"
MOVED = ("dataset.root", "dataset.download", "dataset.file", "dataset.path")  # where the data set may be now
MACHINE = ("trainer", *(f"trainer.{key}" for key in NOT_COMPARED_TRAINER))


def refuse_refit(jobs: Sequence[DictConfig]) -> None:
    """Refuse a sweep of refits.

    Raises:
        GraftError: a job of the sweep is one.
    """
    if any(job.get("run") is not None or job.get("refit") is not None for job in jobs):
        raise GraftError("refit=all trains one job, the one that run= names, got -m; try the same command without -m")


def compose_refit(config: DictConfig) -> None:
    """Turn a configuration with `run=` and `refit=all` into that of the job which is meant, in place; leave others.

    Raises:
        GraftError: something else is typed than a refit takes, there is no such job, or it cannot be trained without
            validation images.
    """
    run, refit = config.get("run"), config.get("refit")
    if run is None and refit is None:
        return
    typed = {word.partition("=")[0].lstrip("+~") for word in config.hydra.overrides.task}
    _check_typed(config, typed)
    folder = Path(str(run)).expanduser()
    from graft.report.chosen_job import choose_job, estimate

    _check_folder(folder)
    chosen = choose_job(folder)
    result, job = chosen.record.result, chosen.record.folder
    if not {"dataset", "head", "tune", "trainer"} <= (result.get("config") or {}).keys():
        raise GraftError(f"{job} has no whole configuration in its {RESULT}; try a job of a newer version of Graft")
    if chosen.why and not is_quiet():
        tell(chosen.why)
    contents = result.get("contents") or {}
    if not contents.get("images"):
        tell(f"{job} has not noted which images it had, so that those of dataset.root= are not compared with them")
    new = _configuration(result, config, typed)
    new["refit"] = {
        "job": str(_shown(job, folder)),
        "contents": contents,
        "lr": result.get("lr"),
        "estimate": estimate(folder, chosen),
    }
    if "name" not in typed:
        new["name"] = folder_name(*_place(folder), length=94) + "-refit"
    with flag_override(config, ["struct", "readonly"], False):
        _replace(config, new, result.get("choices") or {})
        if EPOCHS not in typed:
            _keep_steps(config, (result.get("images") or {}).get("small"))


def _replace(config: DictConfig, new: Mapping[str, Any], choices: Mapping[str, str]) -> None:
    """Replace top-level keys of a configuration, and its choices of groups."""
    for key, value in new.items():
        OmegaConf.update(config, key, value, merge=key == "stop")  # whose type is a dataclass
    for group, option in choices.items():
        config.hydra.runtime.choices[group] = option


def _keep_steps(config: DictConfig, drawn: int | None) -> None:
    """Let a refit train for as many steps as a trial of its job: of more images these are fewer epochs.

    With as many epochs it would take more steps, whose probabilities were measured to be worse (docs/predict.md). A
    trial of the job trained on `drawn` images; an older version has not said how many.

    Raises:
        GraftError: the images cannot be read.
    """
    from graft.run.make_plan import planned_data  # torch takes seconds

    cfg = without_hydra(config)
    data, _ = planned_data(cfg)
    total = sum(data.counts)
    if not drawn or total == drawn or Values(config).solved_head():
        return
    share = math.ceil(drawn / cfg.batch_size) / math.ceil(total / cfg.batch_size)
    counts = ((config, EPOCHS), (config.tune, EPOCHS), (config.schedule, "step_size"))
    for place, key in counts:
        if place.get(key):
            place[key] = max(1, round(place[key] * share))
    if config.schedule.get("step_size", 0) >= config.epochs:
        raise GraftError(
            f"{counted(config.epochs, 'epoch')} of all {total:,} images, about the job's steps, are too few for its "
            f"schedule=step; try epochs={cfg.epochs}, which takes more steps"
        )
    words = f"{counted(config.epochs, 'epoch')} of all {total:,} images are about as many steps as {cfg.epochs} of"
    tell(f"{words} {drawn:,}, the job's; epochs= trains for others")


def _check_typed(config: DictConfig, typed: set[str]) -> None:
    """Refuse words beside `run=` and `refit=all` that would train another configuration."""
    run, refit = config.get("run"), config.get("refit")
    if refit is None:
        raise GraftError(f"run={run} needs refit=all, which trains that job again on every labeled image; try both")
    if refit != "all":
        raise ConfigError([Fault("refit", refit, "all", "refit=all")])
    if not isinstance(run, str) or not run:
        example = "python src/train.py run=outputs/NAME refit=all"
        raise GraftError(f"refit=all needs run=, the folder of a finished job or sweep; try {example}")
    others = sorted(typed - {*OWN, *MOVED, *MACHINE, EPOCHS})
    if others:
        allowed = ", ".join(f"{key}=" for key in (*OWN[2:], *MOVED[:1], *MACHINE[:1], EPOCHS))
        raise GraftError(
            f"refit=all keeps the configuration of run={run}, because the accuracy that is known is of that one: "
            f"{', '.join(others)} cannot be typed; try without, or a sweep with it first ({allowed} are allowed)"
        )
    if config.trials == "auto":
        raise GraftError("trials=auto needs test images, and a refit has none; try trials=5, or leave it out")


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        raise GraftError(f"run={folder} {what}; refit=all needs the folder of a finished job or sweep, outputs/NAME")
    if is_refit(read_result(folder) or {}):
        raise GraftError(f"run={folder} is a refit already; try the folder of the job or sweep that it was made from")


def _configuration(result: Mapping[str, Any], config: DictConfig, typed: set[str]) -> dict[str, Any]:
    """Return a job's configuration as its refit has it, by top-level key."""
    stored = changed(result["config"], lambda _, value: _number(value))
    new = {key: value for key, value in stored.items() if key in KEYS and key not in (*OWN, "report")}
    finished = [trial for trial in result["trials"] if trial.get("error") is None]
    if not any(key.partition(".")[0] == "logger" for key in typed):
        new["logger"] = stored.get("logger", {})
    new |= _in_place(stored, config, typed)
    # Nothing is validated or tested, and all trials draw the same images, so that they differ in the rest.
    new |= {"sweep": None, "test_curve": False}
    new["trials_vary"] = "init" if new.get("trials_vary") == "init" else "all"
    if "test_views" in (stored.get("augment") or {}):
        new["augment"] = stored["augment"] | {"test_views": None}
    if "keep_weights" not in typed:
        new["keep_weights"] = "all"
    new |= _number_of_trials(stored, len(finished), config.trials if "trials" in typed else None)
    new |= _without_validation(stored, finished, EPOCHS in typed)
    return new | ({EPOCHS: config.epochs} if EPOCHS in typed else {})


def _in_place(stored: Mapping[str, Any], config: DictConfig, typed: set[str]) -> dict[str, Any]:
    """Return where a job's images are and which devices train it: as typed, or else as it was."""
    places = {key.partition(".")[2] for key in MOVED if key in typed}
    dataset = stored["dataset"] | {key: config.dataset[key] for key in places}
    if typed.isdisjoint(MACHINE):
        return {"dataset": dataset}
    own = {key: config.trainer[key] for key in NOT_COMPARED_TRAINER if key in config.trainer}
    others = {key: value for key, value in stored["trainer"].items() if key not in NOT_COMPARED_TRAINER}
    return {"dataset": dataset, "trainer": others | own}


def _number_of_trials(stored: Mapping[str, Any], finished: int, typed: object) -> dict[str, Any]:
    """Return the number of trials: as typed, or as the job has finished; one of a head that is solved at once."""
    head = Values(OmegaConf.create({"head": stored["head"]})).solved_head()
    if typed is None:
        return {"trials": 1 if head else finished}
    if head and typed != 1:
        expected = f"1 with head={head}, whose trials are all the same on the same images"
        raise ConfigError([Fault("trials", typed, expected, "trials=1, or leave it out")])
    return {"trials": typed}


def _without_validation(
    stored: Mapping[str, Any], finished: Sequence[Mapping[str, Any]], typed: bool
) -> dict[str, Any]:
    """Return the keys that replace an end by validation images, of which there are none: the mean epoch of the trials.

    The epochs that are typed replace these.

    Raises:
        GraftError: the trials end several phases, and have noted the last end only.
    """
    stop = dict(stored.get("stop") or {})
    if stop.get("patience") is None and stored.get("weights", "last") == "last":
        return {}
    if Values(OmegaConf.create({"tune": stored["tune"]})).staged():
        raise GraftError(
            "the job ends each phase of tune=thaw by its validation images (stop.patience, weights=best), which a "
            "refit does not have, and has noted when the last phase ended only; try a job without these keys"
        )
    ends = [trial["epoch"] for trial in finished]
    epochs = max(1, round(fmean(ends)))
    if not typed:
        tell(
            "the job's trials end by validation images, and a refit has none: it ends where they did on average, "
            f"after {counted(epochs, 'epoch')} ({min(ends)} to {max(ends)})"
        )
    return {"epochs": epochs, "stop": {**stop, "patience": None}, "weights": "last"}


def _number(value: Any) -> Any:
    """Return the number that a result has as text because JSON has no such number: inf."""
    return float(value) if value in ("inf", "-inf", "nan") and not math.isfinite(float(value)) else value


def _shown(job: Path, folder: Path) -> Path:
    """Return a job's folder as it was typed, or below the sweep's that was typed."""
    root = folder.resolve()
    return folder / job.relative_to(root) if job.is_relative_to(root) else job


def _place(folder: Path) -> Sequence[str]:
    """Return the names of a folder inside `outputs/`; of another folder its own name."""
    found = folder.resolve()
    root = Path("outputs").resolve()
    return found.relative_to(root).parts if found.is_relative_to(root) and found != root else [found.name]
