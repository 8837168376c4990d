"""A folder as the Hugging Face hub expects it: README.md with its front matter, model.safetensors, config.json.

Where the network is one of timm's with all its stages, and the head one linear layer, timm loads it by itself.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from graft import public_name
from graft.backbones.backbone_timm import EfficientNetLite0, EfficientNetLite2
from graft.backbones.pretrained_timm import timm
from graft.errors import GraftError
from graft.export.job_images import random_images
from graft.files import write_tensors, write_text
from graft.inference.frozen_weights import PREFIX
from graft.inference.model_file import MODEL
from graft.inference.trained_model import TrainedModel

TIMM = {
    "graft.backbone_timm.Timm": None,
    **{public_name(network): network.name for network in (EfficientNetLite0, EfficientNetLite2)},
}
LINEAR_HEADS = (
    *("graft.head.Plain", "graft.head.Logistic", "graft.head.Ridge", "graft.best_solved_head.BestSolved"),
    *("graft.solved_head.LDA", "graft.solved_head.NearestMean", "graft.solved_head.SVM"),
)
CROP_MODES = {"crop": "center", "squash": "squash", "pad": "border"}  # timm's names
FILE = "model.safetensors"
TOLERANCE = 1e-4  # of probabilities

USE_TIMM = """timm loads it, without Graft:

    import timm
    model = timm.create_model("local-dir:FOLDER", pretrained=True)  # or hf-hub:USER/NAME
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    probabilities = model.eval()(transform(image).unsqueeze(0)).softmax(1)

`config.json` has the classes under `label_names`. Pictures must be upright, opaque and RGB, of three
equal channels where the model is of gray ones; timm resizes them on its own, which may change single answers."""
USE_GRAFT = """It needs Graft, because {why}:

    cp FOLDER/model.safetensors FOLDER/weights.safetensors
    python src/predict.py run=FOLDER images=PATH"""


def write_hub(folder: Path, model: TrainedModel, rows: Sequence[int]) -> str:
    """Write the weights and their description; return Markdown that says how they are loaded.

    Args:
        folder: where.
        model: the job's.
        rows: of the trials.

    Raises:
        GraftError: timm's network says something else than the model.
    """
    why = _why_not_timm(model, rows)
    if why is None:
        weights = timm_weights(model, rows[0])
        network = _loaded(model, weights)
        if isinstance(network, nn.Module):
            _check(network, model, rows[0])
            write_tensors(folder / FILE, weights, {"format": "pt"})
            write_text(folder / "config.json", json.dumps(_timm_config(network, model), indent=2) + "\n")
            return USE_TIMM
        why = network
    _write_for_graft(folder, model, rows)
    return USE_GRAFT.format(why=why)


def _write_for_graft(folder: Path, model: TrainedModel, rows: Sequence[int]) -> None:
    """Write a model as `graft.inference.load` reads it, with all its weights, and without paths of this machine."""
    config = {key: value for key, value in model.config.items() if key != "frozen"}
    config["seeds"] = [model.seeds[row] for row in rows]
    parts = [f"stage{number}" for number in range(1, config["frozen_stages"] + 1)] + ["pool"]
    parts = ["joined"] if config["backbone"].get("features") else parts
    shared = {}
    for name, value in model.frozen.state_dict().items():
        place, _, inner = name.partition(".")
        shared[f"{PREFIX}{parts[int(place)]}.{inner}"] = value
    states = [model.networks[row].state_dict() for row in rows]
    stacked = {f"trials.{name}": torch.stack([state[name] for state in states]) for name in states[0]}
    write_tensors(folder / FILE, shared | stacked, {"format": "pt"})
    text = json.dumps({"library_name": "graft", **config}, indent=2)
    write_text(folder / "config.json", f"{text}\n")
    # Read back from its text, a list that is used twice is two lists: YAML would write the second one as an alias.
    write_text(folder / MODEL, yaml.safe_dump(json.loads(text), allow_unicode=True, sort_keys=False))


def front_matter(library: str) -> str:
    """Return the beginning of a README.md that the hub reads, as YAML between two lines of dashes."""
    content = {
        "library_name": library,
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "transfer-learning", "graft", *(["timm"] if library == "timm" else [])],
        "metrics": ["accuracy"],
    }
    return f"---\n{yaml.safe_dump(content, sort_keys=False)}---\n\n"


def timm_weights(model: TrainedModel, trial: int) -> dict[str, torch.Tensor]:
    """Return a model's weights under timm's names, but those of the head under `head.`"""  # noqa: D415
    weights = {name.partition(".")[2]: value for name, value in model.frozen.state_dict().items()}
    for name, value in model.networks[trial].state_dict().items():
        part, _, inner = name.partition(".")
        # `stages.stage3.conv.weight` or `head.1.weight`
        weights["head." * (part == "head") + inner.partition(".")[2]] = value
    return weights


def _why_not_timm(model: TrainedModel, rows: Sequence[int]) -> str | None:
    """Return why timm cannot load a model by itself; None: it may."""
    backbone, head = model.config["backbone"], model.config["head"]
    if len(rows) > 1:
        return f"it is the mean of {len(rows)} trials (trial=SEED takes one)"
    if backbone["_target_"] not in TIMM:
        return "its network is none of timm's"
    if backbone.get("pool") is not None:
        return f"its pooling is another one than timm's (backbone.pool={backbone['pool']})"
    if backbone.get("features"):
        return f"it joins features of several stages (backbone.features={backbone['features']})"
    if head["_target_"] not in LINEAR_HEADS:
        return "its head has more than one linear layer"
    if model.preprocess.pad:
        return f"timm's transform does not pad images (dataset.pad={model.preprocess.pad})"
    if model.reading.white is not None:
        return "timm's transform does not scale files of more than 8 bits a channel"
    return None


def _name(model: TrainedModel) -> str:
    backbone = model.config["backbone"]
    return TIMM[backbone["_target_"]] or str(backbone["model"])


def _loaded(model: TrainedModel, weights: dict[str, torch.Tensor]) -> nn.Module | str:
    """Return timm's network with a model's weights, whose head then has timm's name, or why it is not the model's."""
    network = timm().create_model(_name(model), pretrained=False, num_classes=len(model.classes))
    head = network.pretrained_cfg.get("classifier")
    for name in ("weight", "bias"):
        weights[f"{head}.{name}"] = weights.pop(f"head.{name}")
    own = network.state_dict()
    if weights.keys() != own.keys() or any(weights[name].shape != own[name].shape for name in own):
        return "only some of its network's stages are kept"
    network.load_state_dict(weights)
    shape = model.preprocess.output_shape
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, *shape))
    except AssertionError:  # of a transformer's positions, which Graft interpolates
        return f"timm's network does not take images of {shape[1]}x{shape[2]} pixels"
    return network


def _check(network: nn.Module, model: TrainedModel, trial: int) -> None:
    """Compare timm's network with the model on random images.

    Raises:
        GraftError: they differ.
    """
    pixels = random_images(model.image_shape)[:8]
    with torch.no_grad():
        said = network(model.preprocess(pixels)).softmax(1)
    worst = float((said - model.probabilities(pixels)[trial]).abs().max())
    if not worst <= TOLERANCE:
        raise GraftError(
            f"timm's network says something else than the model: probabilities differ by {worst:.1g}; nothing is "
            "written; try format=onnx, and please report this"
        )


def _timm_config(network: nn.Module, model: TrainedModel) -> dict[str, Any]:
    """Return the content of `config.json`, as timm reads it."""
    own: Any = network.pretrained_cfg
    preprocess = model.preprocess
    three = [list(preprocess.settings[name]) * (3 // len(preprocess.settings[name])) for name in ("mean", "std")]
    fit, _, interpolation = model.reading
    return {
        "architecture": _name(model).partition(".")[0],
        "num_classes": len(model.classes),
        "num_features": network.num_features,
        "label_names": model.classes,
        "pretrained_cfg": {
            "tag": "graft",
            "input_size": list(preprocess.output_shape),
            "fixed_input_size": bool(own.get("fixed_input_size")),
            "interpolation": preprocess.interpolation.value if preprocess.resizes else interpolation,
            "crop_pct": 1.0,
            "crop_mode": CROP_MODES[fit],
            "mean": three[0],
            "std": three[1],
            "num_classes": len(model.classes),
            "first_conv": own.get("first_conv"),
            "classifier": own.get("classifier"),
        },
    }
