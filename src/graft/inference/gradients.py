"""Where an image speaks for a class: Grad-CAM of networks that end in maps, integrated gradients of transformers.

What is explained is the log odds of a class, from the mean of the trials' logits: a logit alone may rise for all
classes, and of two classes often only one has an own cue.

Grad-CAM (Selvaraju et al., ICCV 2017) multiplies the last maps by their gradients and sums over channels; less than
nothing is cut off. Each position has its own gradient (HiResCAM, Draelos and Carin 2020): where features are averages
over positions, this is Grad-CAM, and a head over flattened features has a weight for each position, which a mean of
the gradients would lose. A square that decided the class had 80 % of the evidence this way, and 7 % with means.

In a transformer, patches exchange what they know, so that its last tokens are in places where nothing of it was: there
the gradients are integrated on the way from a blank image to this one, and summed over each patch (Sundararajan et
al., Axiomatic Attribution for Deep Networks, ICML 2017).
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from graft.errors import GraftError
from graft.inference.trained_model import TrainedModel
from graft.model.layers import Average

BATCH = 8
STEPS = 16  # from the blank image to the image


class LogOdds(nn.Module):
    """The trials of a model as one network: preprocessed images to the log odds of each class, (images, classes)."""

    def __init__(self, model: TrainedModel):
        super().__init__()
        self.frozen, self.networks = model.frozen, model.networks

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        features = self.frozen(inputs)
        logits = torch.stack([network(features) for network in self.networks]).mean(0)
        own = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
        return logits - logits[:, None].masked_fill(own, -torch.inf).logsumexp(2)


def evidence(model: TrainedModel, pixels: torch.Tensor, classes: torch.Tensor | None = None) -> torch.Tensor:
    """Return how much each pixel's place speaks for a class, (images, height, width) of the preprocessed images.

    It is at least 0, and 0 everywhere where nothing speaks for it.

    Args:
        model: the model.
        pixels: bytes, (images, channels, height, width).
        classes: the classes' places, (images,); None: the most probable ones, as the model predicts.

    Raises:
        GraftError: its network has no maps, or captum is not installed.
    """
    methods, joint = captum_attributions(), LogOdds(model)
    if classes is None:
        classes = model.probabilities(pixels).mean(0).argmax(1)
    inputs, classes = model.preprocess(pixels.to(model.device)).float(), classes.to(model.device)
    patch, layers, channels_last = _last_maps(joint, inputs[:1])
    found = []
    for images, own in zip(inputs.split(BATCH), classes.split(BATCH), strict=True):
        if patch is not None:
            method = methods.IntegratedGradients(joint)
            parts = [
                method.attribute(images, target=own, n_steps=STEPS, internal_batch_size=BATCH).sum(1, keepdim=True)
            ]
            parts = [avg_pool2d(parts[0], patch)]
        else:
            method = methods.LayerGradientXActivation(joint, layers)
            parts = [part.sum(3 if channels_last else 1)[:, None] for part in method.attribute(images, target=own)]
        total = sum(parts[1:], parts[0]).detach().relu()
        found.append(methods.LayerAttribution.interpolate(total, images.shape[2:], "bilinear")[:, 0].cpu())
    return torch.cat(found)


def captum_attributions() -> Any:
    """Return captum's attributions.

    Raises:
        GraftError: it is not installed.
    """
    try:
        from captum import attr  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise GraftError('explanations need captum, which is not installed; try pip install -e ".[explain]"') from None
    return attr


def _last_maps(joint: LogOdds, image: torch.Tensor) -> tuple[tuple[int, int] | None, list[nn.Module], bool]:
    """Return the last layers whose output has height and width, of the frozen part or else of each trial.

    Returns:
        The height and width of a transformer's patches, or None; these layers; whether their channels are last.

    Raises:
        GraftError: there are none.
    """
    first = nn.Sequential(OrderedDict(frozen=joint.frozen, network=joint.networks[0]))
    shapes = _shapes(first, image)
    tokens = next((place for place, (_, shape) in enumerate(shapes) if len(shape) == 3), None)
    if tokens is not None:
        grid = next((shape[2:] for _, shape in reversed(shapes[:tokens]) if len(shape) == 4), image.shape[2:])
        return (image.shape[2] // grid[0], image.shape[3] // grid[1]), [], False
    last = any(isinstance(layer, Average) and layer.channels_last for layer in first.modules())
    for path, shape in reversed(shapes):
        if len(shape) == 4 and max(shape[1:3] if last else shape[2:]) > 1:
            trials = [nn.Sequential(OrderedDict(frozen=joint.frozen, network=network)) for network in joint.networks]
            found = [trial.get_submodule(path) for trial in trials]
            return None, list(dict.fromkeys(found)), last  # one, if it is frozen
    raise GraftError("none of the network's layers has an output with height and width")


def _shapes(network: nn.Module, image: torch.Tensor) -> Sequence[tuple[str, tuple[int, ...]]]:
    """Return the layers by path, with the shape of their output, in the order in which they end."""
    found: list[tuple[str, tuple[int, ...]]] = []

    def note(path: str, output: object) -> None:
        if isinstance(output, torch.Tensor):
            found.append((path, tuple(output.shape)))

    hooks = [
        layer.register_forward_hook(lambda _, __, output, path=path: note(path, output))
        for path, layer in network.named_modules()
        if path
    ]
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return found
