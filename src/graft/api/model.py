"""A trained model for predictions in Python."""

import io
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import pandas
import torch
from PIL import Image

from graft.api.given_labels import plain
from graft.api.pixels import BLACK, as_bytes, png, upright, warn_if_dark
from graft.errors import GraftError
from graft.files import new_folder
from graft.inference.conformal import ConformalSets
from graft.inference.image_list import Item, find_images
from graft.inference.novelty import read_novelty
from graft.inference.predict import Predictor, Row
from graft.inference.tables import COLUMNS, nulled
from graft.inference.trained_model import TrainedModel
from graft.nouns import counted
from graft.process import usual_torch

BATCH = 64  # arrays that pass through the network together


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

    def predict(self, images: Any, coverage: float | None = None, novelty: bool = False) -> pandas.DataFrame:
        """Return a row for each image, as `src/predict.py` writes it.

        Args:
            images: a folder, a file, a pattern, a table of paths, a list of paths or of Pillow's pictures, or arrays
                as `graft.arrays` takes them.
            coverage: share of images, below 1, whose true class the column `set` is to hold; None: no such column.
            novelty: whether to add `novelty`, the distance to the training images, and `novel`.

        Returns:
            Columns `class`, `probability` (of the mean over the trials, calibrated where the job has images for it),
            `second` and `agreement` (share of the trials that say the same class; missing for a single one). Files
            also have `file` and `error`: why one cannot be read.

        Raises:
            GraftError: there are no images, or the job lacks what `coverage` or `novelty` needs.
        """
        if coverage is not None and not (isinstance(coverage, Real) and 0 < coverage < 1):
            raise GraftError(
                f"coverage must be a number above 0 and below 1, got {plain(coverage)!r}; try coverage=0.95"
            )
        sets = ConformalSets(self.trained.calibration.unseen, len(self.seeds), coverage) if coverage else None
        trained = self.trained
        known = read_novelty(trained.folder, trained.config["frozen_stages"]) if novelty else None
        predictor = Predictor(trained, sets=sets, novelty=known)
        files = _files(images)
        more = ["set"] * (coverage is not None) + ["novelty", "novel"] * novelty
        columns = [name for name in COLUMNS if files is not None or name not in ("file", "error")] + more
        with usual_torch():
            if files is None:
                rows = self._of_pixels(self._pixels(images), predictor)
            else:
                rows = (row for _, row in predictor.rows(files))
            return pandas.DataFrame([nulled(row, columns) for row in rows], columns=columns)

    def probabilities(self, images: Any) -> torch.Tensor:
        """Return each trial's probabilities, not calibrated, (trials, images, classes), of pictures or arrays."""
        with usual_torch():
            batches = self._pixels(images).split(BATCH)
            return torch.cat([self.trained.probabilities(batch) for batch in batches], 1)

    def _of_pixels(self, pixels: torch.Tensor, predictor: Predictor) -> Iterator[Row]:
        for batch in pixels.split(BATCH):
            yield from predictor.said([Item("", Path())] * len(batch), batch)

    def _pixels(self, images: Any) -> torch.Tensor:
        """Return pictures or arrays as bytes of the model's image shape, (images, channels, height, width)."""
        if not (isinstance(images, Sequence) and all(isinstance(image, Image.Image) for image in images)):
            pixels = as_bytes(images)
            warn_if_dark(int(pixels.max()), least=BLACK)
            _refuse_one_in_color(tuple(getattr(images, "shape", ())), self.trained.image_shape[0])
            if pixels.shape[1:] == self.trained.image_shape:
                return pixels
            images = [Image.fromarray(image.squeeze(-1).numpy()) for image in pixels.permute(0, 2, 3, 1)]
        if not images:
            raise GraftError("there are no images; try a folder, or a list of Pillow's pictures")
        with tempfile.TemporaryDirectory() as folder:  # read like files: upright, transparency on white, of one size
            paths = [Path(folder) / f"{number}.png" for number in range(len(images))]
            for picture, path in zip(upright(images), paths, strict=True):
                path.write_bytes(png(picture))
            return torch.stack([self._decoded(path) for path in paths])

    def _decoded(self, path: Path) -> torch.Tensor:
        found = self.trained.read(path)
        if isinstance(found, str):
            raise GraftError(f"picture {path.stem} cannot be read: {found}")
        return found

    def save(self, folder: str | Path) -> Path:
        """Copy the model's job to a folder, from which `load` reads it; return the folder.

        Large frozen layers stay in the cache, unless the job has `keep_weights=whole`.

        Raises:
            GraftError: the folder exists, or cannot be written.
        """
        target = Path(folder).expanduser()
        with new_folder(target) as temporary:
            shutil.copytree(self.trained.folder, temporary, dirs_exist_ok=True)
        return target

    def __repr__(self) -> str:
        contents = f"{counted(len(self.classes), 'class')}, {counted(len(self.seeds), 'trial')}"
        return f"Model({contents}, folder={str(self.trained.named)!r})"


def _refuse_one_in_color(shape: tuple[int, ...], channels: int) -> None:
    """Refuse an array of three gray images for a model of color, as it may be one image with its channels first.

    Raises:
        GraftError: it is such an array.
    """
    if len(shape) == 3 and shape[0] == channels == 3:
        raise GraftError(
            f"an array {shape} is one image with channels first, or three gray ones; try images[None] for the one, or "
            "images[:, None] for the three"
        )


def _files(images: Any) -> list[Item] | None:
    """Return the files that are named; None if images are pictures or arrays.

    Raises:
        GraftError: there are none.
    """
    if isinstance(images, str) and not images:  # as a path it would be the working directory
        raise GraftError('images must be named, got ""; try images="." for all below the working directory')
    if isinstance(images, str | Path):
        return list(find_images(str(images), None, [], io.StringIO()).items)
    if isinstance(images, Sequence) and len(images) and all(isinstance(each, str | Path) for each in images):
        return [Item(str(each), Path(each).expanduser()) for each in images]
    return None
