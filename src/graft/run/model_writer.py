"""The model of a finished job: which trials' weights are kept, and the files that a prediction needs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

import graft
from graft.backbones.pooling import stated
from graft.backbones.staged import Backbone
from graft.files import fingerprint, write_tensors, write_text
from graft.inference.frozen_weights import PREFIX, Origin, store_frozen
from graft.inference.model_file import MODEL, WEIGHTS, reading_of
from graft.inference.novelty import known_features, write_novelty
from graft.model.stages import Weights
from graft.ranks import rank
from graft.results.best_trial import best_by, best_trial
from graft.run.history import JobHistory
from graft.run.plan import Plan
from graft.training.features import FeatureStore
from graft.training.source import File, ImageNet, Source

MAX_FROZEN_BYTES = 2**20  # largest frozen part that keep_weights=best saves in a job's folder; larger: in the cache


def kept_trials(config: Mapping[str, Any], results: Sequence[Mapping[str, Any]], history: JobHistory) -> list[int]:
    """Return the trials whose weights are kept: of those without an error all, or the best one."""
    finished = [trial for trial, result in enumerate(results) if "error" not in result]
    if config["keep_weights"] == "none":
        return []
    if config["keep_weights"] == "all":
        return finished
    own = {trial: results[trial] for trial in finished}
    return [best_trial(own, lambda trial: history.train_loss(trial, results[trial]["epoch"]), config)]


def write_model(
    folder: Path, plan: Plan, content: Mapping[str, Any], backbone: Backbone, learned: Mapping[int, Weights]
) -> None:
    """Write `weights.safetensors` and `model.yaml`, which describes them; `graft.inference.load` reads both.

    Large frozen stages are stored once for all jobs, in the cache, unless `keep_weights` is `whole` or `all`.
    `learned` has the weights of the kept trials' networks, by seed; with none, those of an earlier run are removed.
    """
    (folder / MODEL).unlink(missing_ok=True)  # a killed process must not leave new weights beside an older description
    if not learned:
        (folder / WEIGHTS).unlink(missing_ok=True)
        return
    config, cache = content["config"], None
    frozen_stages = plan.phases[-1].phase.frozen_stages
    shared = {PREFIX + name: value for name, value in backbone.split(frozen_stages)[0].state_dict().items()}
    if config["keep_weights"] == "best" and sum(each.nbytes for each in shared.values()) > MAX_FROZEN_BYTES:
        cache = Path(config["cache"])
    origin = _origin(shared, cache, plan.source, content["contents"]["files"].get("source.path"))
    if cache is not None:
        store_frozen(cache, origin.sha256, shared)
        shared = {}
    names = next(iter(learned.values()))
    stacked = {f"trials.{name}": torch.stack([weights[name] for weights in learned.values()]) for name in names}
    write_tensors(folder / WEIGHTS, shared | stacked)
    preprocess = {"_target_": graft.public_name(type(plan.preprocess)), **plan.preprocess.settings}
    model = {
        "graft": graft.__version__,
        "backbone": {**stated(config["backbone"]), "preprocess": preprocess},
        "head": {**config["head"], "num_classes": len(plan.data.small_classes), **getattr(plan.head(), "sizes", {})},
        "frozen_stages": frozen_stages,
        "frozen": {key: value for key, value in asdict(origin).items() if value is not None},
        "classes": plan.data.class_names,
        "image": list(plan.data.images.shape),
        "reading": reading_of(plan.data.images),
        "seeds": list(learned),
        "kept": "all" if config["keep_weights"] == "all" else best_by(content["trials"], config),
        "precision": str(config["trainer"].get("precision", "32-true")),
        "test_views": plan.augment.test_views or 1 if plan.augment else 1,
    }
    write_text(folder / MODEL, OmegaConf.to_yaml(OmegaConf.create(model)))


def write_reference(
    folder: Path, plan: Plan, config: Mapping[str, Any], backbone: Backbone, store: FeatureStore, trial_run: bool
) -> None:
    """Write `novelty.safetensors`, what a prediction needs to see that an image is unlike the training images.

    Without weights there is nothing to predict with, and no file. After a trial run the files of an earlier run stay.
    """
    num_frozen = plan.phases[-1].phase.frozen_stages
    stored = num_frozen > 0 and config["keep_weights"] != "none"
    known = known_features(plan.datamodule, backbone.split(num_frozen)[0], store) if stored else None
    if rank() == 0 and not trial_run:
        write_novelty(folder, known)


def _origin(weights: Weights, cache: Path | None, source: Source, digest: str | None) -> Origin:
    """Return where a frozen part's weights are, the cache or else the job's folder, and which source they have."""
    sha256, stored = fingerprint(weights), None if cache is None else str(cache.absolute())
    if isinstance(source, ImageNet):
        return Origin(sha256, stored, published=source.name)
    if isinstance(source, File):
        return Origin(sha256, stored, path=str(source.path.absolute()), digest=digest, prefix=source.prefix)
    return Origin(sha256, stored)
