"""A trained model for predictions in Python."""

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas
import torch
from PIL import Image

from graft.api.pixels import as_bytes
from graft.errors import GraftError
from graft.inference.trained_model import TrainedModel
from graft.reading.decode import Header, decode, header
from graft.reading.depth import SIXTEEN_BITS, White

BATCH = 64  # images that pass through the network together


class Model:
    """A finished job's model.

    Args:
        trained: its networks.

    Attributes:
        classes: names of the classes, in the order of the probabilities.
        seeds: seeds of the trials whose probabilities are averaged.
    """

    def __init__(self, trained: TrainedModel):
        self.trained = trained
        self.classes: list[str] = trained.classes
        self.seeds: list[int] = trained.seeds

    def predict(self, images: Any) -> pandas.DataFrame:
        """Return a row for each image: its class, its probability, the second class, and the trials' agreement.

        Args:
            images: a folder, a path, a list of paths or of Pillow's pictures, or arrays as `graft.arrays` takes them.

        Returns:
            Columns `class`, `probability` (of the mean over the trials, in [0, 1]), `second` and `agreement` (share of
            the trials that say the same class), and `file` for paths.

        Raises:
            GraftError: there are no images, or one cannot be read.
        """
        paths = _paths(images)
        probability = self.probabilities(images)
        mean = probability.mean(0)
        order = mean.argsort(1, descending=True)
        first = order[:, 0]
        table = {
            "class": [self.classes[each] for each in first.tolist()],
            "probability": mean.amax(1).tolist(),
            "second": [self.classes[each] for each in order[:, min(1, len(self.classes) - 1)].tolist()],
            "agreement": (probability.argmax(2) == first).float().mean(0).tolist(),
        }
        return pandas.DataFrame({"file": list(map(str, paths)), **table} if paths is not None else table)

    def probabilities(self, images: Any) -> torch.Tensor:
        """Return each trial's probabilities, (trials, images, classes); `images` as for `predict`."""
        batches = self._batches(images)
        return torch.cat([self.trained.probabilities(batch) for batch in batches], 1)

    def save(self, folder: str | Path) -> Path:
        """Copy the model's job to a folder, from which `load` reads it; return the folder.

        Large frozen layers stay in the cache, unless the job has `keep_weights=whole`.

        Raises:
            GraftError: the folder exists.
        """
        target = Path(folder)
        if target.exists():
            raise GraftError(f"{target} exists; try another folder, or remove it")
        shutil.copytree(self.trained.folder, target)
        return target

    def _batches(self, images: Any) -> Iterable[torch.Tensor]:
        paths = _paths(images)
        if paths is not None:
            return (self._read(paths[start : start + BATCH]) for start in range(0, len(paths), BATCH))
        if isinstance(images, Sequence) and all(isinstance(image, Image.Image) for image in images):
            return (self._read_pictures(images[start : start + BATCH]) for start in range(0, len(images), BATCH))
        pixels = as_bytes(images)
        if pixels.shape[1:] != self.trained.image_shape:
            pictures = [Image.fromarray(image.squeeze(-1).numpy()) for image in pixels.permute(0, 2, 3, 1)]
            return self._batches(pictures)
        return pixels.split(BATCH)

    def _read(self, paths: Sequence[Path]) -> torch.Tensor:
        """Read files as the training images were read, (images, channels, height, width)."""
        return torch.stack([self._decoded(path) for path in paths])

    def _decoded(self, path: Path) -> torch.Tensor:
        """Read a file, as bytes, (channels, height, width).

        Raises:
            GraftError: it cannot be read, or nothing says which of its values is white.
        """
        reading = self.trained.config.get("reading") or {}
        white = White(**reading["white"]) if reading.get("white") else None
        if white is None and isinstance(found := header(path, measured=False), Header) and found.deep:
            raise GraftError(
                f"{path} has more than 8 bits a channel, and the training images had 8, so that its white is unknown; "
                "try a copy with 8 bits"
            )
        try:
            return decode(path, self.trained.image_shape, reading.get("fit") or "crop", white or SIXTEEN_BITS)
        except Exception as error:  # Pillow's exceptions depend on the format
            raise GraftError(f"{path} cannot be read as an image ({error}); try the others without it") from None

    def _read_pictures(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """Return pictures as if they were read from files, by the same rules for sizes and colors."""
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{number}.png" for number in range(len(pictures))]
            for picture, path in zip(pictures, paths, strict=True):
                picture.save(path)
            return self._read(paths)

    def __repr__(self) -> str:
        return f"Model({len(self.classes)} classes, {len(self.seeds)} trials, folder={str(self.trained.folder)!r})"


def _pictures(folder: Path) -> list[Path]:
    suffixes = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)


def _paths(images: Any) -> list[Path] | None:
    """Return the paths of images; None if they are pictures or arrays.

    Raises:
        GraftError: there are none.
    """
    if isinstance(images, str | Path):
        path = Path(images).expanduser()
        found = _pictures(path) if path.is_dir() else [path]
    elif isinstance(images, Sequence) and len(images) and isinstance(images[0], str | Path):
        found = [Path(each).expanduser() for each in images]
    else:
        return None
    if not found or not all(each.is_file() for each in found):
        missing = next((each for each in found if not each.is_file()), images)
        raise GraftError(f"there is no image {missing}, seen from {Path.cwd()}; try its whole path")
    return found
