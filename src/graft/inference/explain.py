"""Pictures of where a finished job's model looked in its images, under a translucent map of the evidence."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image
from torch.nn.functional import interpolate

from graft.data.listing import hashes
from graft.errors import GraftError
from graft.inference.gradients import captum_attributions, evidence
from graft.inference.job_images import images_of
from graft.inference.load import load
from graft.results.records import Record

SIDE = 160  # most pixels of a picture
COLORS = colormaps["cividis"]  # told apart by the color-blind, and in gray
OPAQUE = 0.7  # where the evidence is largest


def explanations(record: Record, numbers: Sequence[int]) -> dict[int, bytes]:
    """Return pictures (PNG) of where a job's model looked to say what it says of images, by their number.

    The model is the one that predictions use, the best trial's, or all trials' with `keep_weights=all`, whose evidence
    is averaged. The class is the one that it predicts, which need not be what most of the job's trials say. Images
    whose content is no longer the one that the job saw are left out.

    Args:
        record: the job, with outcomes.
        numbers: of images in its `images.csv`.

    Raises:
        GraftError: the job has no weights, its images cannot be read, its network has no maps, or captum is missing.
    """
    captum_attributions()
    try:
        model = load(record.folder)
        cache = Path((record.config or {}).get("cache") or "outputs/cache")
        images = images_of(record.result, min(model.image_shape[1:]), cache if cache.is_dir() else None)
        if images.shape != model.image_shape:
            raise GraftError(f"its images are read as {images.shape}, but the model takes {model.image_shape}")
        assert record.outcomes is not None
        listed = record.outcomes.images.loc[list(numbers), "hash"]
        inside = [number for number in listed.index.tolist() if number < len(images.labels)]
        unchanged = [each for each, own in zip(inside, hashes(images, inside), strict=True) if own == listed[each]]
        if not unchanged:
            return {}
        pixels = next(iter(images.batches([torch.tensor(unchanged)])))
        heat = evidence(model, pixels)
        shown = model.preprocess.undone(model.preprocess(pixels.to(model.device))).cpu()
    except (GraftError, OSError, ValueError, RuntimeError) as error:
        raise GraftError(f"nothing is explained: {' '.join(str(error).split())}") from None
    return {number: overlaid(*each) for number, each in zip(unchanged, zip(shown, heat, strict=True), strict=True)}


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
