"""Whether an exported file says what its job's model says, with the runtime that will run it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Verification:
    """What was compared.

    Attributes:
        images: in words.
        equal: the file and the model, given the same pixels of the network.
        resized: the file and the model, which resizes on its own where the network takes another size; None: it takes
            the size at which images are read.
        raw: the file given whole pictures, and given those that Pillow has resized; None without image files.
        right: number of test images that the file gets right; None without test images, or where each is a training
            image of some trials.
        raw_right: number that it gets right given whole pictures.
        own_right: number that the job's own test, of the same trials, had right; None if it is not known.
        misread: image files that the exported predict.py refuses, or reads in another way than the job.
        views: of each image that the job's test averaged; the file sees each once.
    """

    images: str
    equal: Difference
    resized: Difference | None = None
    raw: Difference | None = None
    right: int | None = None
    raw_right: int | None = None
    own_right: int | None = None
    misread: int = 0
    views: int = 1

    def lines(self) -> list[str]:
        """Return it in words."""
        lines = [f"{self.images}: {self.equal}, given equal pixels"]
        if self.resized is not None:
            lines.append(f"the network's own resizing, PyTorch's in training: {self.resized}")
        if self.raw is not None:
            lines.append(f"the file's own resizing of whole pictures, Pillow's in training: {self.raw}")
        if self.misread:
            lines.append(
                f"not read as in training by the exported predict.py: {counted(self.misread, 'file')}; convert them"
            )
        total = self.equal.images
        of_views = f" and {self.views} views of each image" if self.views > 1 else ""
        for right, name in (
            (self.right, "accuracy of the file"),
            (self.raw_right, "accuracy given whole pictures"),
            (self.own_right, f"accuracy in the job's test, of the same trials{of_views}"),
        ):
            if right is not None:
                lines.append(f"{name}: {100 * right / total:.1f} % ({right:,} of {total:,})")
        return lines


def verify(
    path: Path, model: TrainedModel, seeds: Sequence[int], found: JobImages | GraftError, exact: bool, bar: bool = False
) -> Verification:
    """Run a file on a job's test images, or on random ones, and compare what it says with the model.

    Args:
        path: the file.
        model: the job's.
        seeds: of the trials that the file has.
        found: the job's images, or why they cannot be read.
        exact: whether a difference makes it fail: the file computes in 32 bits.
        bar: whether to show a progress bar.

    Raises:
        GraftError: the file says something else.
    """
    about, run = load_as_predict_file(path)
    reference = ExportedModel(model, seeds)
    own = [model.seeds.index(seed) for seed in seeds]
    said, expected, alone = [], [], []
    batches = random_images(model.image_shape).split(BATCH) if isinstance(found, GraftError) else _test(found, bar)
    resizes = tuple(model.image_shape[1:]) != _padded_size(reference)
    for pixels in batches:
        said.append(run(as_input(pixels)))
        expected.append(_expected(model, reference, own, pixels))
        if resizes:
            mean = model.probabilities(pixels)[own].mean(0)
            alone.append(scaled(mean, reference.temperature).numpy())
    given, wanted = np.concatenate(said), np.concatenate(expected)
    equal = _difference(given, wanted)
    resized = _difference(given, np.concatenate(alone)) if resizes else None
    if exact and (equal.changed > equal.ties or not equal.largest <= TOLERANCE):
        raise GraftError(
            f"the exported file says something else than the model: {equal}; it is not kept; please report this with "
            "the command and the job's model.yaml, and predict with src/predict.py meanwhile"
        )
    if isinstance(found, GraftError):
        why = f"{equal.images} random images, because the job's images cannot be read ({found})"
        return Verification(why, equal, resized)
    raw = _raw(found, model, about, run, given)
    return _of_images(found, seeds, given, raw, Verification("", equal, resized, raw[0], misread=raw[2]))


def _of_images(
    found: JobImages,
    seeds: Sequence[int],
    given: np.ndarray,
    raw: tuple[Difference | None, int | None, int],
    compared: Verification,
) -> Verification:
    """Say of which images a comparison is, and how many are right where these measure an accuracy.

    Args:
        found: the job's images.
        seeds: of the trials that the file has.
        given: what the file says of them, given equal pixels.
        raw: what it says of whole pictures, as `_raw` returns it.
        compared: the comparison.
    """
    total = compared.equal.images
    if found.stored is None:  # what it gets right of these says nothing of other images
        return replace(
            compared, images=f"the {total:,} images that the refit was trained on, which measure no accuracy"
        )
    if not found.stored.test.shared:  # each trial's training images are test images of others
        return replace(compared, images=f"the {total:,} images of all folds")
    job = make_account(found.stored, seeds)
    return replace(
        compared,
        images=f"the job's {counted(total, 'test image')}",
        right=int((given.argmax(1) == found.labels).sum()),
        raw_right=raw[1],
        own_right=job.counts.right if job.averaged else None,
        views=found.stored.views,
    )


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
    found: JobImages, model: TrainedModel, about: dict[str, Any], run: Run, given: np.ndarray
) -> tuple[Difference | None, int | None, int]:
    """Give the file whole pictures; return the difference, how many it gets right, and how many it reads otherwise."""
    if found.paths is None:
        return None, None, 0
    said, misread = [], 0
    for path, pixels in zip(found.paths, found.batches(found.test, 1), strict=True):
        misread += not _read_equally(path, about["preprocessing"], as_input(pixels)[0])
        of_file = header(path, measured=False)
        assert isinstance(of_file, Header)  # the job has read it
        whole = (model.image_shape[0], of_file.height, of_file.width)
        said.append(run(as_input(decode(path, whole, white=model.reading.white)[None])))
    probabilities = np.concatenate(said)
    return _difference(probabilities, given), int((probabilities.argmax(1) == found.labels).sum()), misread


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
