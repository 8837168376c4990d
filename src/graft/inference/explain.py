"""Explanations: where a finished job's model looked in its images, as pictures under a translucent map of the evidence.

Networks that end in maps are explained by Grad-CAM, transformers by integrated gradients.
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

import io
from collections import OrderedDict
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate
from tqdm import tqdm

from graft.data.images import ImageFiles, Images
from graft.errors import GraftError
from graft.heads.points_head import KNN
from graft.inference.job_images import unchanged_images
from graft.inference.load import load
from graft.inference.trained_model import TrainedModel
from graft.model.layers import Average
from graft.process import hidden_bars
from graft.reading.decode import pixel_limit
from graft.results.records import Record

SIDE = 160  # most pixels of a picture
COLORS = colormaps["cividis"]  # told apart by the color-blind, and in gray
OPAQUE = 0.7  # where the evidence is largest
BATCH = 8
STEPS = 16  # from the blank image to the image


def explanations(record: Record, numbers: Sequence[int], modules: Sequence[str] = ()) -> dict[int, tuple[bytes, str]]:
    """Return pictures (PNG) of where a job's model looked to say what it says of images, and this class, by number.

    The model is the one that predictions use, the best trial's, or all trials' with `keep_weights=all`, whose evidence
    is averaged. The class is the one that it predicts, which need not be what most of the job's trials say. Images
    whose content is no longer the one that the job saw are left out.

    Args:
        record: the job, with outcomes.
        numbers: of images in its `images.csv`.
        modules: packages of the user's own whose networks may be built.

    Raises:
        GraftError: the job has no weights, its images cannot be read, its network has no maps, or captum is missing.
    """
    captum_attributions()
    assert record.outcomes is not None
    try:
        model = load(record.folder, modules)
        size, how = min(model.image_shape[1:]), model.reading.interpolation
        listed = record.outcomes.images.loc[list(numbers)]
        images, unchanged = unchanged_images(record.result, listed, size, how)
        if not unchanged:
            return {}
        pixels = pixels_for(model, images, list(unchanged.values()))
        said = predicted(model, pixels)
        heat = evidence(model, pixels, said)
        shown = model.preprocess.undone(model.preprocess(pixels.to(model.device))).cpu()
    except (GraftError, OSError, ValueError, RuntimeError) as error:
        raise GraftError(f"nothing is explained: {' '.join(str(error).split())}") from None
    pictures = [overlaid(*each) for each in zip(shown, heat, strict=True)]
    names = [model.classes[place] for place in said.tolist()]
    return dict(zip(unchanged, zip(pictures, names, strict=True), strict=True))


def pixels_for(model: TrainedModel, images: Images, places: Sequence[int]) -> torch.Tensor:
    """Return images as a model takes them, bytes, (images, channels, height, width).

    Files are read as the model's job has read them: what is white, and whether there is color, may be another in a data
    set to which files were added.

    Raises:
        GraftError: one cannot be read, or has another shape.
    """
    if not isinstance(images, ImageFiles):
        if images.shape != model.image_shape:
            raise GraftError(f"its images are read as {images.shape}, but the model takes {model.image_shape}")
        return next(iter(images.batches([torch.tensor(places)])))
    with pixel_limit(images.reading.max_pixels):
        read = [model.read(images.folder.paths[place]) for place in places]
    for pixels in read:
        if isinstance(pixels, str):
            raise GraftError(f"an image cannot be read: {pixels}")
    return torch.stack([pixels for pixels in read if isinstance(pixels, torch.Tensor)])


def predicted(model: TrainedModel, pixels: torch.Tensor) -> torch.Tensor:
    """Return the places of the classes that a model predicts of images, as `predict.py` does, (images,)."""
    return model.probabilities(pixels).mean(0).argmax(1)


def overlaid(picture: torch.Tensor, heat: torch.Tensor) -> bytes:
    """Return a picture under its evidence as PNG, at most `SIDE` pixels high and wide.

    Args:
        picture: bytes, (channels, height, width).
        heat: at least 0, (height, width); the largest has the brightest color, and without any there is none.
    """
    height, width = heat.shape
    largest = max(height, width)
    factor = SIDE // largest if largest <= SIDE else SIDE / largest
    size = [max(1, round(factor * length)) for length in (height, width)]
    shown, small = picture[None].float(), largest <= SIDE
    shown = interpolate(shown, size) if small else interpolate(shown, size, mode="bilinear", antialias=True)
    pixels = shown[0].expand(3, -1, -1).permute(1, 2, 0).numpy()
    smooth = interpolate((heat / heat.max().clamp(min=1e-30))[None, None], size, mode="bilinear")[0, 0].numpy()
    color, opacity = 255 * COLORS(smooth)[..., :3], OPAQUE * smooth[..., None]
    content = io.BytesIO()
    mixed = np.clip(np.round((1 - opacity) * pixels + opacity * color), 0, 255).astype(np.uint8)
    Image.fromarray(mixed).save(content, "PNG")
    return content.getvalue()


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


def evidence(model: TrainedModel, pixels: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Return how much each pixel's place speaks for a class, (images, height, width) of the preprocessed images.

    It is at least 0, and 0 everywhere where nothing speaks for it.

    Args:
        model: the model.
        pixels: bytes, (images, channels, height, width).
        classes: the classes' places, (images,).

    Raises:
        GraftError: its network has no maps, its head counts votes, or captum is not installed.
    """
    if any(isinstance(layer, KNN) for layer in model.networks.modules()):
        raise GraftError("the votes of head=knn are counted and have no gradients; try head=kernel_ridge")
    methods, joint = captum_attributions(), LogOdds(model)
    inputs, classes = model.preprocess(pixels.to(model.device)).float(), classes.to(model.device)
    patch, layers, channels_last = _last_maps(joint, inputs[:1])
    found = []
    batches = zip(inputs.split(BATCH), classes.split(BATCH), strict=True)
    count = -(-len(inputs) // BATCH)
    for images, own in tqdm(batches, "explanations", count, unit="batch", disable=hidden_bars(), leave=False):
        if patch is not None:
            method = methods.IntegratedGradients(joint)
            by_pixel = method.attribute(images, target=own, n_steps=STEPS, internal_batch_size=BATCH)
            parts = [avg_pool2d(by_pixel.sum(1, keepdim=True), patch)]
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
    tokens = next((place for place, (_, shape) in enumerate(shapes) if len(shape) == 3 and shape[0] == 1), None)
    if tokens is not None:
        grid = _grid([shape for _, shape in shapes[:tokens]], shapes[tokens][1][1]) or image.shape[2:]
        return (image.shape[2] // grid[0], image.shape[3] // grid[1]), [], False
    last = any(isinstance(layer, Average) and layer.channels_last for layer in first.modules())
    for path, shape in reversed(shapes):
        if len(shape) == 4 and max(shape[1:3] if last else shape[2:]) > 1:
            trials = [nn.Sequential(OrderedDict(frozen=joint.frozen, network=network)) for network in joint.networks]
            found = [trial.get_submodule(path) for trial in trials]
            return None, list(dict.fromkeys(found)), last  # one, if it is frozen
    raise GraftError("none of the network's layers has an output with height and width")


def _grid(shapes: Sequence[tuple[int, ...]], tokens: int) -> tuple[int, ...] | None:
    """Return the height and width of the patches of which tokens are made; None if no map has so few positions.

    timm's networks put the channels of this map last where they take images of any size.

    Args:
        shapes: of the outputs before the tokens.
        tokens: their number, with those that belong to no patch.
    """
    sides = [sides for shape in shapes if len(shape) == 4 for sides in (shape[2:], shape[1:3])]
    return max((each for each in sides if prod(each) <= tokens), key=prod, default=None)


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
