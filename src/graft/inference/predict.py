"""Predicting images of any number: they are decoded in threads, batch by batch, while the model computes."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any, NamedTuple

import torch

from graft.errors import GraftError
from graft.inference.conformal import ConformalSets, joined
from graft.inference.image_list import Item
from graft.inference.novelty import Novelty
from graft.inference.trained_model import TrainedModel
from graft.model.stages import fast_batch_size
from graft.reading.decode import pixel_limit

AHEAD = 2  # batches that are decoded while one is computed
HALF = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class Row(NamedTuple):
    """What a model says of an image.

    Attributes:
        file: its name, as it was given.
        class_name: the most probable class; empty if it cannot be read.
        probability: of this class, in [0, 1], averaged over the trials, at the model's temperature.
        second: the second most probable class.
        agreement: share of the trials whose own most probable class it is; None for one trial.
        error: why it cannot be read; empty if it can.
        classes: those that cannot be excluded, with | between them; empty where no coverage was asked for.
        novelty: distance to the training images, above 1 for a novel image; None where it was not asked for.
        novel: whether it is above 1.
        of_truth: probability of the true class; None if it is not known, or none of the model's.
    """

    file: str
    class_name: str = ""
    probability: float | None = None
    second: str = ""
    agreement: float | None = None
    error: str = ""
    classes: str = ""
    novelty: float | None = None
    novel: bool | None = None
    of_truth: float | None = None


class Predictor:
    """A model on a device.

    Args:
        model: the model.
        device: where it computes; None: a GPU if there is one.
        precision: `32-true`, `bf16-mixed` or `16-mixed`, of the whole pass; None: as in the test of the job, whose
            frozen stages are computed in 32 bits.
        batch_size: images in a batch; None: a good number for the device.
        threads: that decode images; None: as PyTorch has.
        sets: says which classes cannot be excluded; None: this is not asked for.
        novelty: says how far images are from the training images; None: this is not asked for.

    Raises:
        GraftError: the device is not there, or does not have the precision.
    """

    def __init__(
        self,
        model: TrainedModel,
        device: torch.device | None = None,
        precision: str | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
        sets: ConformalSets | None = None,
        novelty: Novelty | None = None,
    ):
        self.model, self.sets, self.novelty = model, sets, novelty
        self.device = device or best_device()
        self.batch_size = batch_size or fast_batch_size(self.device)
        self.threads = threads or torch.get_num_threads()
        self.typed_precision, self.precision = precision, precision or model.config.get("precision")
        if self.precision == "16-mixed" and self.device.type == "cpu":
            if self.typed_precision:
                raise GraftError("precision=16-mixed needs a GPU; try precision=bf16-mixed or 32-true")
            self.precision = "32-true"
        try:
            self.model.to(self.device)
        except (RuntimeError, AssertionError) as error:  # what is raised depends on the device
            reason = str(error).splitlines()[0]
            raise GraftError(f"device={self.device} cannot be used ({reason}); try device=cpu") from None
        self.model.frozen.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def probabilities(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map bytes, (images, channels, height, width), to each trial's probabilities, (trials, images, classes)."""
        return self.of_features(self.features(pixels))

    @torch.inference_mode()
    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map bytes, (images, channels, height, width), to the frozen part's output, (images, ...)."""
        frozen_in_half = self.typed_precision is not None or not self.model.config["frozen_stages"]
        with self._half() if frozen_in_half else nullcontext():
            return self.model.features(pixels.to(self.device))

    @torch.inference_mode()
    def of_features(self, features: torch.Tensor) -> torch.Tensor:
        """Map the frozen part's output, (images, ...), to each trial's probabilities, (trials, images, classes)."""
        with self._half():
            logits = torch.stack([network(features) for network in self.model.networks])
        return logits.float().softmax(-1).cpu()

    def _half(self) -> AbstractContextManager[Any]:
        dtype = HALF.get(str(self.precision))
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)

    def rows(self, items: Iterable[Item]) -> Iterator[tuple[Item, Row]]:
        """Yield each image with what the model says of it, in their order, as soon as its batch is computed."""
        for batch, pixels, reasons in self._read(items):
            good = [index for index, reason in enumerate(reasons) if reason is None]
            said = iter(self.said([batch[index] for index in good], pixels[good]) if good else [])
            for item, reason in zip(batch, reasons, strict=True):
                yield item, Row(item.name, error=reason) if reason is not None else next(said)

    def said(self, items: Sequence[Item], pixels: torch.Tensor) -> Iterator[Row]:
        """Yield what the model says of each image, given as bytes, (images, channels, height, width)."""
        features, classes = self.features(pixels), self.model.classes
        probabilities = self.of_features(features)
        calibrated = self.model.calibrated(probabilities).numpy()
        order = probabilities.mean(0).topk(2).indices  # before rounding to a temperature could make two of them equal
        agreement = (probabilities.argmax(2) == order[:, 0]).float().mean(0).tolist()
        sets = self.sets and self.sets.contains(probabilities.numpy())
        novelty: list[Any] = [None] * len(items)
        if self.novelty is not None:
            novelty = self.novelty.scores(features).tolist()
        known = probabilities.isfinite().all(2).all(0).tolist()
        for index, (item, (first, second)) in enumerate(zip(items, order.tolist(), strict=True)):
            if not known[index]:  # its largest place would be a class all the same
                yield Row(item.name, error="the network's output for it is NaN or infinite")
                continue
            of_class = dict(zip(classes, calibrated[index].tolist(), strict=True))
            yield Row(
                item.name,
                classes[first],
                of_class[classes[first]],
                classes[second],
                agreement[index] if len(probabilities) > 1 else None,
                classes="" if sets is None else joined([classes[each] for each in sets[index].nonzero()[0]]),
                novelty=novelty[index],
                novel=None if novelty[index] is None else novelty[index] > 1,
                of_truth=of_class.get(item.truth or ""),
            )

    def _read(self, items: Iterable[Item]) -> Iterator[tuple[list[Item], torch.Tensor, list[str | None]]]:
        """Yield batches of images: their pixels, and why they cannot be read, None if they can.

        Only a few batches are in memory. Each thread decodes a part of one.
        """
        source, waiting = iter(items), deque[tuple[list[Item], torch.Tensor, list[Future[list[str | None]]]]]()
        limit = (self.model.config.get("reading") or {}).get("max_pixels")
        with ThreadPoolExecutor(self.threads) as threads, pixel_limit(limit):
            try:
                while True:
                    while len(waiting) <= AHEAD and (batch := list(islice(source, self.batch_size))):
                        pixels = torch.zeros(len(batch), *self.model.image_shape, dtype=torch.uint8)
                        step = -(-len(batch) // self.threads)
                        parts = [range(first, min(first + step, len(batch))) for first in range(0, len(batch), step)]
                        tasks = [threads.submit(self._decode, batch, pixels, part) for part in parts]
                        waiting.append((batch, pixels, tasks))
                    if not waiting:
                        return
                    batch, pixels, tasks = waiting.popleft()
                    yield batch, pixels, [reason for task in tasks for reason in task.result()]
            finally:
                threads.shutdown(cancel_futures=True)

    def _decode(self, batch: Sequence[Item], pixels: torch.Tensor, part: range) -> list[str | None]:
        """Decode a part of a batch into its pixels; return why images cannot be read, None if they can."""
        reasons = list[str | None]()
        for index in part:
            found = self.model.read(batch[index].path)
            reasons.append(found if isinstance(found, str) else None)
            if isinstance(found, torch.Tensor):
                pixels[index] = found
        return reasons


def best_device() -> torch.device:
    """Return the device of PyTorch's accelerator, or the CPU."""
    kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return torch.device(kind)
