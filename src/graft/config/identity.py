"""What identifies a job: the part of its configuration that affects its results, and its data.

Do not import torch here: `--help` must answer in under a second.
"""

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from graft.config.differences import differences
from graft.config.one_form import NEWER, PLACES, changed, in_one_form, leaves, without_places
from graft.config.rules import RULES
from graft.config.target import targets
from graft.content import digests
from graft.errors import GraftError, OtherResult
from graft.excluded import marks_digest
from graft.files import fingerprint
from graft.job_folder import read_result
from graft.own_code import own_code

# Part of every job's identity and of every stored pre-training's name. Raise it only with a change that alters
# results: all finished jobs then run again, and all pre-trainings too.
RESULTS_VERSION = "0.2.0"

# Why a job's data set has another fingerprint than before.
OTHER_IMAGES = (
    "files or labels were added, removed, renamed or changed since, or another version of Graft reads them in another "
    "way"
)

# Keys that may differ between two runs of the same job: they change its results only by rounding error.
NOT_COMPARED = ("name", "run", "cache", "trials_at_once", "resume", "sweep", "report", "logger", "baseline")
PLACED = {f"dataset.{key}" for key in PLACES}
# Keys of a group, and values at which they change nothing.
UNUSED = {
    "dataset": (
        ("folds", None), ("group_pattern", None), ("exclude", None),
        ("domain", None), ("big_domain", "rest"), ("small_domain", None), ("interpolation", None),
    ),
    "backbone": (("pool", None), ("features", None)),
    "tune": (("lr_factor", 1.0),),
}  # fmt: skip
NOT_COMPARED_TRAINER = ("accelerator", "devices", "strategy", "num_nodes", "enable_progress_bar")


@dataclass(frozen=True)
class Contents:
    """What a job was made from, besides its configuration.

    Attributes:
        images: the fingerprint of the data set's images.
        tested_on: a text that is equal for jobs with the same test images, at whatever size they are read.
        classes: the names of the data set's classes.
        files: digests of the files and of the user's own code that the configuration names, by key.
    """

    images: str
    tested_on: str
    classes: list[str]
    files: dict[str, str]


def job_identity(
    config: Mapping[str, Any], images: str, classes: Sequence[str] = (), files: Mapping[str, str] | None = None
) -> str:
    """Return a job's identity: two runs with the same one have the same results, except for rounding errors.

    Args:
        config: the job's plain configuration.
        images: the fingerprint of its data set's images; where they are does not count.
        classes: the names of the data set's classes.
        files: digests of what the configuration names, by key: of a file it counts instead of the path, of the user's
            own code besides the name.
    """
    code = {key: digest for key, digest in (files or {}).items() if key.endswith("._target_")}
    digests_by_key = {key: digest for key, digest in (files or {}).items() if key not in code}
    compared = without_places(in_one_form(result_config(config), classes))
    compared = changed(compared, lambda key, value: digests_by_key.get(key, value))
    own = [json.dumps(code, sort_keys=True)] if code else []
    return fingerprint(json.dumps(compared, sort_keys=True), images, RESULTS_VERSION, *own)[:24]


def check_refit(refit: Mapping[str, Any] | None, contents: Contents) -> None:
    """Refuse to train a job again, as `refit` says, on other images or from other files than it was measured with.

    Raises:
        GraftError: says what is another one.
    """
    if refit is None:
        return
    job, known = refit["job"], refit["contents"]
    if known.get("images") not in (None, contents.images):
        raise GraftError(
            f"the data set has other images than {job} was trained and tested on, so that its accuracy says nothing of "
            f"these: {OTHER_IMAGES}; try dataset.root=DIR of a copy as it was, or run the sweep again"
        )
    files = known.get("files", contents.files)  # results of older versions have none
    changed = [key for key in {**files, **contents.files} if files.get(key) != contents.files.get(key)]
    if changed:
        raise GraftError(
            f"{', '.join(changed)}: the content has changed since {job} was run, so that its accuracy is another "
            "network's; try a copy as it was, or run the sweep again"
        )


def content_digests(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of what a plain configuration names, by dotted key.

    That is files, `source.path`, and classes of the user's own, `head._target_`, with the code that they import.

    Raises:
        GraftError: one of them cannot be read.
    """
    paths = {
        key: Path(value).expanduser() for key, value in leaves(result_config(config)).items() if _names_file(key, value)
    }
    try:
        found = digests(list(paths.values()), Path(config["cache"]) / "files.json")
    except OSError as error:
        raise GraftError(f"{error.filename} cannot be read ({error.strerror}); try a copy that you may read") from None
    exclude = (config.get("dataset") or {}).get("exclude")
    marks = {"dataset.exclude": marks_digest(exclude)} if exclude else {}
    return dict(zip(paths, found, strict=True)) | marks | dict(_code_digests(config))


def _code_digests(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, option in targets(result_config(config), ""):
        name, digest = str(option["_target_"]), None
        while digest is None and "." in name:  # of a class within a class the module is further to the left
            name = name.rpartition(".")[0]
            digest = own_code(name)
        if digest is not None:
            yield f"{key.removeprefix('.')}._target_", fingerprint(option["_target_"], digest)[:32]


def _names_file(key: str, value: Any) -> bool:
    """Return whether a value is a file's path; `dataset.pixels=weights` is none, even beside a file of that name."""
    if not isinstance(value, str) or (key in RULES and key != "source.path"):
        return False
    return os.path.isfile(os.path.expanduser(value))


def result_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a job's plain configuration that affects its results."""
    flags = config.get("trainer", {})  # results of older versions may lack it
    trainer = {key: value for key, value in flags.items() if key not in NOT_COMPARED_TRAINER}
    tune = dict(_compared("tune", config.get("tune", {})))
    for key in ("optimizer", "schedule"):
        if key in tune:  # null: the head's
            tune[key] = tune[key] or config[key]
    unused = {
        "trials_min": config.get("trials") != "auto",
        "trials_max": config.get("trials") != "auto",
        "stop": (config.get("stop") or {}).get("patience") is None,
        "callbacks": not config.get("callbacks"),
    }
    compared = {
        key: _compared(key, value)
        for key, value in config.items()
        if key not in NOT_COMPARED and not unused.get(key) and (key not in NEWER or value != NEWER[key])
    }
    return compared | {"trainer": trainer} | ({"tune": tune} if tune else {})


def _compared(key: str, value: Any) -> Any:
    """Return a top-level value as it affects results."""
    if key == "refit":  # its job's configuration is this one, and its estimate no part of the model
        return "all"
    if key == "reference" and value:  # its classes say only whether it is shown
        return {name: each for name, each in value.items() if name != "classes"}
    if key in UNUSED and isinstance(value, Mapping):  # without folds, groups or domains it is as before they came
        return {name: each for name, each in value.items() if (name, each) not in UNUSED[key]}
    return value


def without_hydra(config: DictConfig) -> DictConfig:
    """Return a composed configuration without Hydra's own part."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def choices(hydra: Any) -> dict[str, str]:
    """Return the chosen option of each of Graft's groups but `logger`, from Hydra's own part of the configuration."""
    chosen = hydra.runtime.choices
    return {
        str(group): str(chosen[group])
        for group in sorted(map(str, chosen))
        if group != "logger" and not group.startswith("hydra/") and chosen[group] not in (None, "null")
    }


def check_existing_result(
    config: Mapping[str, Any], folder: Path, images: Callable[[], str], typed: Collection[str] = ()
) -> None:
    """Refuse to overwrite the result of another configuration.

    A file or a data set that was moved or copied is the same one, so that paths count only if contents differ.

    Args:
        config: the job's plain configuration.
        folder: the job's folder.
        images: returns the fingerprint of its data set's images; called only if nothing but their place differs.
        typed: the dotted keys that were typed.

    Raises:
        OtherResult: names the folder and the keys that differ.
        GraftError: the images or a file cannot be read.
    """
    existing = read_result(folder)
    if existing is None or "config" not in existing:
        return  # no result, or a damaged one: the job runs
    contents = existing.get("contents") or {}  # results of older versions have none
    old, new = (in_one_form(result_config(each), contents.get("classes", ())) for each in (existing["config"], config))
    found = [key for key in differences(old, new, typed) if key != "dataset.download"]
    files = contents.get("files") or {}
    if not files.keys().isdisjoint(found):
        now = content_digests(config)
        found = [key for key in found if key not in files or files[key] != now.get(key)]
    if found:
        if PLACED.issuperset(found) and "images" in contents and contents["images"] == images():
            return
        raise OtherResult(
            f"{folder} has the result of another configuration ({', '.join(found)} differ); "
            "try another name=, or remove that folder"
        )
