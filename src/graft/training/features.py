"""The feature store: caches the frozen stages' outputs on disk and in memory."""

import json
import logging
import operator
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from graft.bars import bar
from graft.data.images import ImageSource
from graft.errors import GraftError
from graft.files import fingerprint, read_tensors, write_tensors, write_text
from graft.model.stages import HalfPrecision, fast_batch_size
from graft.nouns import counted
from graft.ranks import all_gather, broadcast_object, locked, rank, world_size

log = logging.getLogger("graft")

SPEED = "speed.json"  # beside stored features: of how many images they were computed, in how many seconds
KEEP_EVERY = 120.0  # seconds of computing after which what was computed is stored, so that a killed process goes on
BACKBONES_IN_MEMORY = 4  # number of backbones with features in memory, for the next job

Features = tuple[torch.Tensor, torch.Tensor]  # sorted image indices, (images,), and their features, (images, ...)

# One entry for each backbone and data set. It lives as long as the process, for the jobs of a sweep.
_memory: OrderedDict[str, Features] = OrderedDict()


class FeatureStore:
    """The frozen stages' outputs ("features") on disk and in memory, named by everything that they depend on.

    Each name has a folder. Each file in it holds the images that were computed together, so that a job with more or
    other images computes and adds only the missing ones, and so does one after a process that was killed.

    Args:
        folder: folder of the store; processes may share it.
        device: device to compute on.
        origin: the backbone, its weights and its pixels in words, for the error about features that are not finite.

    Attributes:
        images_per_second: with which the features were computed that were asked for last, from files to features; None:
            an older version has stored them.

    Example:
        >>> import tempfile
        >>> from graft.data.images import InMemoryImages
        >>> pixels = torch.arange(12, dtype=torch.uint8).view(3, 1, 2, 2)
        >>> none = torch.zeros(3, dtype=torch.bool)
        >>> images = InMemoryImages(torch.tensor([0, 1, 0]), none, none, ("cat", "dog"), pixels)
        >>> store = FeatureStore(Path(tempfile.mkdtemp()), torch.device("cpu"))
        >>> store.features(nn.Flatten(), images, torch.tensor([0, 2]))
        tensor([[ 0,  1,  2,  3],
                [ 8,  9, 10, 11]], dtype=torch.uint8)
        >>> len(list(store.folder.glob("*/*.safetensors")))
        1
    """

    def __init__(self, folder: Path, device: torch.device, origin: str = "these stages"):
        self.folder, self.device, self.origin = folder, device, origin
        self.images_per_second: float | None = None

    def features(
        self, frozen: nn.Module, images: ImageSource, indices: torch.Tensor, begin: nn.Module | None = None
    ) -> torch.Tensor:
        """Return the frozen stages' output for these images, (indices, ...), computing only the missing ones.

        Args:
            frozen: preprocessing and frozen stages.
            images: the data set, or views of it.
            indices: sorted indices of the images, (indices,).
            begin: the first of them, whose output a later phase needs, too: it is stored, and the others compute
                from it instead of from the images. None, or preprocessing alone: there are none.

        Raises:
            GraftError: features are NaN or infinite; none of these images' features are stored.
        """
        name = fingerprint(frozen, frozen.state_dict(), images.as_read, self.device.type)[:24]
        if missing(indices, _memory.get(name)).numel():
            folder = self.folder / name
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / "lock", f"features of {self.origin}"):
                _memory[name] = self._load_or_compute(folder, frozen, images, indices, begin)
            self._warn_of_equal(_memory[name][1])
        self.images_per_second = _speed(self.folder / name)
        _memory.move_to_end(name)
        while len(_memory) > BACKBONES_IN_MEMORY:
            _memory.popitem(last=False)
        available, features = _memory[name]
        return features[torch.searchsorted(available, indices)]

    def _load_or_compute(
        self, folder: Path, frozen: nn.Module, images: ImageSource, indices: torch.Tensor, begin: nn.Module | None
    ) -> Features:
        """Return all features on disk, and those of `indices` that were not there."""
        stored = broadcast_object(_read(folder) if rank() == 0 else None)
        absent, parts = missing(indices, stored), [] if stored is None else [stored]
        start, others, source = time.perf_counter(), _after(begin, frozen), images
        if begin is not None and others is not None and absent.numel():
            frozen, source = others, Outputs(absent, self.features(begin, images, absent))
            start = time.perf_counter() - (len(absent) / self.images_per_second if self.images_per_second else 0)
        for new in self._computed(frozen, source, absent) if absent.numel() else ():
            seconds = time.perf_counter() - start
            self._check_finite(new[1])
            if rank() == 0:
                _add_speed(folder, len(new[0]), seconds)
                path = folder / f"{fingerprint(new[0])[:16]}.safetensors"
                write_tensors(path, {"images": new[0], "features": new[1]})
            parts.append(new)
            start = time.perf_counter()
        return _merged(parts)

    def _warn_of_equal(self, features: torch.Tensor) -> None:
        if len(features) > 1 and torch.equal(features[0], features[1]) and (features == features[:1]).all():
            log.warning(
                "all %s images have the same features (%s), and no head can tell them apart: are its weights zeros?",
                f"{len(features):,}",
                self.origin,
            )

    def _check_finite(self, features: torch.Tensor) -> None:
        faulty = int((~features.isfinite().flatten(1).all(1)).sum())
        if faulty:
            raise GraftError(
                f"{faulty:,} of {counted(len(features), 'image')} have features that are NaN or infinite "
                f"({self.origin}); they are not stored; try other weights, or another dataset.pixels="
            )

    def _computed(self, frozen: nn.Module, images: "Source", indices: torch.Tensor) -> Iterator[Features]:
        """Compute features, of several ranks the images divided among them, and yield what each while has brought."""
        if len(indices) >= world_size() > 1:
            part = indices.tensor_split(world_size())[rank()]
            yield indices, all_gather(extract(frozen, images, part, self.device).to(self.device)).cpu()
            return
        found, first, begun = [], 0, time.monotonic()
        for features in _batches(frozen, images, indices, self.device):
            found.append(features)
            count = first + sum(map(len, found))
            if count == len(indices) or time.monotonic() - begun > KEEP_EVERY:
                yield indices[first:count], torch.cat(found)
                found, first, begun = [], count, time.monotonic()


@dataclass(frozen=True)
class Outputs:
    """Outputs of the first stages, (images, channels, height, width), from which the others compute.

    Attributes:
        indices: sorted indices of the images, (images,).
        outputs: theirs.
    """

    indices: torch.Tensor
    outputs: torch.Tensor

    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Yield the outputs of each tensor of indices, in the memory format in which the first stages gave them."""
        for part in parts:
            outputs = self.outputs[torch.searchsorted(self.indices, part)]
            yield outputs.to(memory_format=torch.channels_last) if outputs.dim() == 4 else outputs


Source = ImageSource | Outputs  # what stages compute from


def _after(begin: nn.Module | None, frozen: nn.Module) -> nn.Module | None:
    """Return the modules of `frozen` that follow the stages of `begin`; None if it does not begin with stages so."""
    if not isinstance(begin, nn.Sequential) or not isinstance(frozen, nn.Sequential):
        return None
    if not 1 < len(begin) < len(frozen):  # the first module is the preprocessing
        return None
    if isinstance(frozen, HalfPrecision):  # in one pass, activations between the two would have 16 bits
        return None
    return frozen[len(begin) :] if all(map(operator.is_, begin, frozen)) else None


def _measured(folder: Path) -> tuple[int, float]:
    """Return of how many images a backbone's features were computed, and in how many seconds; 0 if it is unknown."""
    try:
        content = json.loads((folder / SPEED).read_text("utf-8"))
        return int(content["images"]), float(content["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0.0


def _add_speed(folder: Path, images: int, seconds: float) -> None:
    before = _measured(folder)
    write_text(folder / SPEED, json.dumps({"images": before[0] + images, "seconds": before[1] + seconds}) + "\n")


def _speed(folder: Path) -> float | None:
    images, seconds = _measured(folder)
    return images / seconds if images > 0 and 0 < seconds < float("inf") else None


def _read(folder: Path) -> Features | None:
    parts: list[Features] = []
    for path in sorted(folder.glob("*.safetensors")):
        part = read_tensors(path)
        if part is None or not part["features"].isfinite().all():
            path.unlink()  # damaged, or from a version that stored them: its features are recomputed
        else:
            parts.append((part["images"], part["features"]))
    return _merged(parts) if parts else None


def missing(indices: torch.Tensor, stored: Features | None) -> torch.Tensor:
    """Return the indices that are not among the stored ones."""
    return indices if stored is None else indices[~torch.isin(indices, stored[0])]


def _merged(parts: Sequence[Features]) -> Features:
    """Return the features of all parts, sorted by image; all at once, as a long pass leaves many files."""
    if len(parts) == 1:
        return parts[0]
    images, order = torch.cat([part[0] for part in parts]).sort()
    return images, torch.cat([part[1] for part in parts])[order]


def extract(frozen: nn.Module, images: Source, indices: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Run the frozen stages over some images, batch by batch; the features are on the CPU."""
    return torch.cat(list(_batches(frozen, images, indices, device)))


def _batches(frozen: nn.Module, images: Source, indices: torch.Tensor, device: torch.device) -> Iterator[torch.Tensor]:
    # Convolutions are fastest with channels last: 7.5 s instead of 10.7 s in the VGG-16 case of `fast_batch_size`.
    frozen = frozen.to(device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    parts = indices.split(fast_batch_size(device))
    read = bar(images.batches(parts), "features", len(indices), "image", size=len)
    for pixels in read:
        with torch.no_grad():  # not around the generator, whose caller would have it, too
            features = frozen(pixels.to(device)).cpu()
        yield features
