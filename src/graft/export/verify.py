"""Whether an exported file says what its job's model says, with the runtime that will run it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graft.bars import bar
from graft.errors import GraftError
from graft.export.account import make_account
from graft.export.exported_model import ExportedModel
from graft.export.job_images import BATCH, JobImages, random_images
from graft.export.model_files import as_input
from graft.export.predict_file import load_as_predict_file
from graft.export.standalone import read
from graft.inference.calibration import scaled
from graft.inference.trained_model import TrainedModel
from graft.nouns import counted
from graft.process import tell
from graft.reading.decode import Header, decode, header

TOLERANCE = 1e-4  # of probabilities in 32 bits, and of ties

Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Difference:
    """How the file's probabilities differ from others of the same images.

    Attributes:
        images: number of images.
        largest: largest difference of a probability.
        changed: images with another most probable class.
        ties: those of them whose two classes were within `TOLERANCE`, as the others have it.
    """

    images: int
    largest: float
    changed: int
    ties: int

    def __str__(self) -> str:
        of_ties = f", {self.ties:,} of them a tie" if self.ties else ""
        return (
            f"{self.changed:,} of {counted(self.images, 'image')} with another class{of_ties}; "
            f"probabilities differ by at most {self.largest:.1g}"
        )


def verify(
    path: Path, model: TrainedModel, seeds: Sequence[int], found: JobImages | GraftError, exact: bool, progress: bool
) -> list[str]:
    """Run a file on a job's test images, or on random ones, and compare what it says with the model.

    Args:
        path: the file.
        model: the job's.
        seeds: of the trials that the file has.
        found: the job's images, or why they cannot be read.
        exact: whether a difference makes it fail: the file computes in 32 bits.
        progress: whether to show a bar.

    Returns:
        What was compared, in words.

    Raises:
        GraftError: the file says something else.
    """
    about, run = load_as_predict_file(path)
    reference = ExportedModel(model, seeds)
    own = [model.seeds.index(seed) for seed in seeds]
    said, expected, alone = [], [], []
    batches = random_images(model.image_shape).split(BATCH) if isinstance(found, GraftError) else _test(found, progress)
    resizes = tuple(model.image_shape[1:]) != _padded_size(reference)
    for pixels in batches:
        said.append(run(as_input(pixels)))
        expected.append(_expected(model, reference, own, pixels))
        if resizes:
            mean = model.probabilities(pixels)[own].mean(0)
            alone.append(scaled(mean, reference.temperature).numpy())
    given = np.concatenate(said)
    equal = _difference(given, np.concatenate(expected))
    if exact and (equal.changed > equal.ties or not equal.largest <= TOLERANCE):
        raise GraftError(
            f"the exported file says something else than the model: {equal}; it is not kept; please report this with "
            "the command and the job's model.yaml, and predict with src/predict.py meanwhile"
        )
    lines = [f"{_images(found, equal.images)}: {equal}, given equal pixels"]
    if resizes:
        lines.append(f"the network's own resizing, PyTorch's in training: {_difference(given, np.concatenate(alone))}")
    if not isinstance(found, GraftError):
        lines += _of_job(found, model, seeds, about, run, given)
    return lines


def _images(found: JobImages | GraftError, count: int) -> str:
    """Return in words what the images are on which a file was run."""
    if isinstance(found, GraftError):
        return f"{count} random images, because the job's images cannot be read ({found})"
    if found.stored is None:
        return f"the {count:,} images that the refit was trained on, which measure no accuracy"
    return (
        f"the job's {counted(count, 'test image')}"
        if found.stored.test.shared
        else f"the {count:,} images of all folds"
    )


def _of_job(
    found: JobImages,
    model: TrainedModel,
    seeds: Sequence[int],
    about: dict[str, Any],
    run: Run,
    given: np.ndarray,
) -> list[str]:
    """Return in words what a file says of whole pictures, and how many of the job's test images it gets right.

    Args:
        found: the job's images.
        model: the job's.
        seeds: of the trials that the file has.
        about: the file's metadata.
        run: the file.
        given: what it says of the images, given the model's pixels.
    """
    lines, said = [], {"accuracy of the file": given}
    if found.paths is not None:
        raw, misread = _raw(found, found.paths, model, about, run)
        said["accuracy given whole pictures"] = raw
        lines.append(f"the file's own resizing of whole pictures, Pillow's in training: {_difference(raw, given)}")
        if misread:
            lines.append(
                f"not read as in training by the exported predict.py: {counted(misread, 'file')}; convert them"
            )
    if found.stored is None or not found.stored.test.shared:  # some of the file's trials were trained on each image
        return lines
    right = {name: int((each.argmax(1) == found.labels).sum()) for name, each in said.items()}
    job, views, total = make_account(found.stored, seeds), found.stored.views, len(given)
    if job.averaged:
        of_views = f" and {views} views of each image" if views > 1 else ""
        right[f"accuracy in the job's test, of the same trials{of_views}"] = job.counts.right
    return lines + [f"{name}: {100 * count / total:.1f} % ({count:,} of {total:,})" for name, count in right.items()]


@torch.no_grad()
def _expected(model: TrainedModel, reference: ExportedModel, own: Sequence[int], pixels: torch.Tensor) -> np.ndarray:
    """Return what a model's own trials say of images that are resized as the file does it."""
    features = model.frozen(reference.scaled(pixels.double()))
    logits = [model.networks[trial](features) for trial in own]
    mean = torch.stack([each.softmax(1) for each in logits]).mean(0)
    return scaled(mean, reference.temperature).numpy()


def _test(found: JobImages, shown: bool) -> Iterator[torch.Tensor]:
    return bar(found.batches(found.test), "verify", len(found.test), "image", size=len, hidden=not shown, say=tell)


def _padded_size(model: ExportedModel) -> tuple[int, int]:
    """Return height and width of the images that the network takes without resizing them."""
    rows, columns = model.preprocess.resized
    return rows - 2 * model.preprocess.pad, columns - 2 * model.preprocess.pad


def _raw(
    found: JobImages, paths: Sequence[Path], model: TrainedModel, about: dict[str, Any], run: Run
) -> tuple[np.ndarray, int]:
    """Return what a file says of whole pictures, and how many the exported predict.py refuses or reads otherwise."""
    said, misread = [], 0
    for path, pixels in zip(paths, found.batches(found.test, 1), strict=True):
        misread += not _read_equally(path, about["preprocessing"], as_input(pixels)[0])
        of_file = header(path, measured=False)
        assert isinstance(of_file, Header)  # the job has read it
        whole = (model.image_shape[0], of_file.height, of_file.width)
        said.append(run(as_input(decode(path, whole, white=model.reading.white)[None])))
    return np.concatenate(said), misread


def _read_equally(path: Path, how: dict[str, Any], pixels: np.ndarray) -> bool:
    """Return whether the exported predict.py reads a file as the job has read it."""
    try:
        return np.array_equal(read(path, how), pixels)
    except ValueError:  # it refuses what it does not read so
        return False


def _difference(said: np.ndarray, expected: np.ndarray) -> Difference:
    first, other = expected.argmax(1), said.argmax(1)
    rows = np.arange(len(said))
    near = expected[rows, first] - expected[rows, other] <= TOLERANCE
    changed = first != other
    largest = float(np.abs(said - expected).max())
    return Difference(len(said), largest, int(changed.sum()), int((changed & near).sum()))
