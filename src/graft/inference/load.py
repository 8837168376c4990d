"""Loading a finished job's folder, or a zip file of it, as a model. No file's content is run as code."""

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from graft.backbones.staged import Backbone
from graft.data.preprocess import Preprocess
from graft.errors import GraftError
from graft.files import read_tensors
from graft.inference.allowed import build_network
from graft.inference.archive import opened
from graft.inference.calibration import calibrate
from graft.inference.frozen_weights import PREFIX, find_frozen, read_origin
from graft.inference.model_file import MODEL, WEIGHTS, read_model_file
from graft.inference.trained_model import TrainedModel
from graft.model.stages import Weights
from graft.nouns import counted
from graft.process import usual_torch
from graft.results.unseen import unseen_images
from graft.seed import seeded


@usual_torch()
def load(folder: Path, modules: Sequence[str] = (), weights: Path | None = None) -> TrainedModel:
    """Return the model of a finished job.

    Args:
        folder: the job's, or a zip file of it.
        modules: packages of the user's own whose networks may be built; others are those of Graft, torchvision, timm.
        weights: a file with the frozen layers' weights, where they are not found by themselves.

    Raises:
        GraftError: it is no job with weights, its files are damaged or name what is not allowed, or weights of its
            frozen layers are not found.
    """
    if weights is not None and not weights.exists():
        raise GraftError(f"weights={weights} is not there; try another file, or leave out weights=")
    named, folder = folder, opened(folder)
    model = read_model_file(folder)
    tensors = read_tensors(folder / WEIGHTS)
    if tensors is None:  # a pickle, too, which is not opened
        raise _damaged(folder / WEIGHTS, "it is no safetensors file with the checksum of its tensors")
    with seeded(0, "load"):  # random numbers are the program's
        backbone, head = _build(model, modules)
    num_frozen = model["frozen_stages"]
    front, stages = backbone.split(num_frozen)
    shared, trials = _part(tensors, PREFIX), _part(tensors, "trials.")
    origin = read_origin(model)
    if front.state_dict() and not shared:
        if origin is None:
            raise _damaged(folder / WEIGHTS, "it has no weights of the frozen layers")
        shared = find_frozen(folder, origin, backbone, num_frozen, weights)
    _fill(front, shared, folder / WEIGHTS)
    network = nn.Sequential(OrderedDict(stages=stages, head=head))
    networks = _networks(network, trials, len(model["seeds"]), folder)
    calibration = calibrate(unseen_images(folder, model["classes"], model["seeds"]), len(networks))
    return TrainedModel(front, networks, model, folder, calibration, named)


def _build(model: Mapping[str, Any], modules: Sequence[str]) -> tuple[Backbone, nn.Module]:
    """Build a model file's backbone and head, with random weights.

    Raises:
        GraftError: it names something else, or the two do not fit.
    """
    backbone = build_network(model["backbone"], "backbone", modules)
    if not isinstance(backbone, Backbone) or not isinstance(backbone.preprocess, Preprocess):
        raise GraftError(f"{MODEL}: backbone must be a backbone with a preprocessing; try a fresh copy of the folder")
    if model["frozen_stages"] > backbone.keep:
        raise GraftError(f"{MODEL}: frozen_stages must be at most {backbone.keep}, got {model['frozen_stages']}")
    return backbone, build_network(model["head"], "head", modules, num_features=backbone.num_features())


def _networks(network: nn.Module, trials: Weights, count: int, folder: Path) -> list[nn.Module]:
    """Return a network for each trial, with its part of the stacked weights."""
    networks = []
    for trial in range(count):
        weights = {name: value[trial] for name, value in trials.items() if value.dim() and trial < len(value)}
        networks.append(copy.deepcopy(network))
        _fill(networks[-1], weights, folder / WEIGHTS)
    return networks


def _fill(network: nn.Module, weights: Weights, path: Path) -> None:
    """Load weights into a network.

    Raises:
        GraftError: they are not its own.
    """
    own = network.state_dict()
    wrong = [name for name in own if name not in weights or weights[name].shape != own[name].shape]
    wrong += [name for name in weights if name not in own]
    if wrong:
        raise _damaged(path, f"{counted(len(wrong), 'weight')} not as in {MODEL}, such as {wrong[0]}")
    network.load_state_dict(weights)


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> Weights:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _damaged(path: Path, reason: str) -> GraftError:
    return GraftError(f"{path} is damaged or not Graft's: {reason}; try a fresh copy of the job's folder")
