"""Loaders: batches for all trials at once, cut from inputs that are already in memory."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from graft.data.augment import Augment
from graft.data.folds import NO_IMAGE
from graft.data.images import ImageStream
from graft.seed import generator


class Batch(NamedTuple):
    """One step's images of every trial.

    Attributes:
        inputs: images, or the frozen stages' outputs for them, (trials, batch, ...); (1, batch, ...) if all trials
            share them.
        labels: their classes, (trials, batch) or (1, batch); `NO_IMAGE` after a trial's last image: inputs to ignore.
        split: `train`, `val` or `test`, or one of the latter two followed by `_views`; it names the curves.
        stored: whether `inputs` are the frozen stages' outputs rather than images.
        num_counted: how many leading images are this rank's; None: all. In a batch with fewer images than ranks it may
            be 0: the rank then gets another rank's image, so that all ranks take the same steps, and does not count it.
        weight: factor for this rank's mean loss, such that averaging over ranks gives the mean loss of the whole batch.
        first: position of this rank's first image in the whole batch.
        rows: positions of the images in the loader's inputs, in the shape of `labels`; None: they are not known.
    """

    inputs: torch.Tensor
    labels: torch.Tensor
    split: str = "train"
    stored: bool = False
    num_counted: int | None = None
    weight: float = 1.0
    first: int = 0
    rows: torch.Tensor | None = None


class Share(NamedTuple):
    """The part of every batch that one process takes: ranks divide a batch evenly and in order."""

    rank: int = 0
    world_size: int = 1

    def of(self, start: int, end: int) -> tuple[int, int]:
        """Return this rank's part of the positions from `start` to before `end`."""
        length = end - start
        return start + length * self.rank // self.world_size, start + length * (self.rank + 1) // self.world_size


ALONE = Share()  # one process takes all


class Examples(NamedTuple):
    """What batches are cut from.

    Attributes:
        inputs: images or features, (images, ...), or a stream of images.
        labels: classes, counted from 0, (images,).
        rows: indices of each trial's inputs, (trials, length), `NO_IMAGE` after the last; (1, length): all share them.
    """

    inputs: torch.Tensor | ImageStream
    labels: torch.Tensor
    rows: torch.Tensor


class TrialLoader:
    """Batches of examples in the order of their rows.

    Args:
        split: as `Batch` has it.
        examples: what the batches are cut from.
        batch_size: images of each trial in one batch. A last batch of a single image joins the one before it, because
            batch norm needs two.
        stored: as `Batch` has it.
        share: this process's part of each batch.
    """

    def __init__(self, split: str, examples: Examples, batch_size: int, stored: bool = False, share: Share = ALONE):
        self.split, self.stored, self.share = split, stored, share
        self.inputs, labels, self.rows = examples
        self.labels = labels.to(self.inputs.device)
        length = self.rows.shape[1]
        starts = range(0, length - (length > 1), batch_size)
        self.bounds = list(zip(starts, [*starts[1:], length], strict=True))  # of whole batches, all ranks together

    @property
    def generators(self) -> list[torch.Generator]:
        """The random streams that the next epochs depend on; a checkpoint stores their states."""
        return []

    def __len__(self) -> int:
        return len(self.bounds)

    def __iter__(self) -> Iterator[Batch]:
        rows = self.epoch_rows()
        labels = self.labels[self.label_rows(rows)].where(rows != NO_IMAGE, NO_IMAGE)
        shares = [self.share.of(start, end) for start, end in self.bounds]
        # A rank without an image of its own gets one of another rank, which it does not count.
        taken = [slice(start, max(end, start + 1)) for start, end in shares]
        places = rows.clamp(min=0)
        read = _read(self.inputs, [places[:, part] for part in taken])
        for (start, end), (share_start, share_end), part, inputs in zip(self.bounds, shares, taken, read, strict=True):
            count = share_end - share_start
            weight = self.share.world_size * count / (end - start)
            inputs = self.augmented(inputs).unflatten(0, rows[:, part].shape)
            own = labels[:, part], self.split, self.stored, count, weight, share_start - start, rows[:, part]
            yield Batch(inputs, *own)

    def epoch_rows(self) -> torch.Tensor:
        """Return the order of the next epoch's inputs, (trials, length), on the inputs' device."""
        return self.rows.to(self.inputs.device)

    def label_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the positions, in `labels`, of inputs at these rows."""
        return rows

    def augmented(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the inputs of all trials' images of one batch, (trials * batch, ...), augmented or not."""
        return inputs


class TrainLoader(TrialLoader):
    """Batches of training, shuffled separately for each trial and epoch.

    Args:
        seeds: one for each trial's order; the other arguments are those of `TrialLoader`.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        seeds: Sequence[int],
        stored: bool = False,
        share: Share = ALONE,
    ):
        super().__init__("train", examples, batch_size, stored, share)
        self.orders = [generator(seed, "order") for seed in seeds]

    @property
    def generators(self) -> list[torch.Generator]:
        return self.orders

    def epoch_rows(self) -> torch.Tensor:
        order = [torch.randperm(self.rows.shape[1], generator=random) for random in self.orders]
        return self.rows.gather(1, torch.stack(order)).to(self.inputs.device)


class AugmentedLoader(TrainLoader):
    """Batches of images that are augmented at each step with each trial's random stream.

    Args:
        augment: the augmentation; the other arguments are those of `TrainLoader`, of images.
    """

    def __init__(
        self, augment: Augment, examples: Examples, batch_size: int, seeds: Sequence[int], share: Share = ALONE
    ):
        super().__init__(examples, batch_size, seeds, share=share)
        self.augment = augment
        # Each rank needs its own random stream: otherwise the ranks' images would get the same augmentations.
        purpose = "augment" if not self.share.rank else f"augment on rank {self.share.rank}"
        self.augmenters = [generator(seed, purpose, self.inputs.device) for seed in seeds]

    @property
    def generators(self) -> list[torch.Generator]:
        return [*self.orders, *self.augmenters]

    def augmented(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.augment(inputs, self.augmenters)


class StoredViewsLoader(TrainLoader):
    """Batches of stored views: in each epoch each trial draws one view of each of its images.

    Args:
        num_views: views of each image. `inputs` hold all images' first views, then all second ones and so on,
            (views * images, ...); the other arguments are those of `TrainLoader`.
    """

    def __init__(self, num_views: int, examples: Examples, batch_size: int, seeds: Sequence[int], share: Share = ALONE):
        super().__init__(examples, batch_size, seeds, stored=True, share=share)
        self.num_views = num_views
        self.choosers = [generator(seed, "augment") for seed in seeds]  # the same on all ranks, for whole batches

    @property
    def generators(self) -> list[torch.Generator]:
        return [*self.orders, *self.choosers]

    def epoch_rows(self) -> torch.Tensor:
        rows = super().epoch_rows()
        views = [torch.randint(self.num_views, rows.shape[1:], generator=random) for random in self.choosers]
        return rows + len(self.labels) * torch.stack(views).to(rows.device)

    def label_rows(self, rows: torch.Tensor) -> torch.Tensor:
        return rows % len(self.labels)


class EvaluationViewsLoader(TrialLoader):
    """Batches of test-time augmentation: each holds its images, then their first views, then their second ones.

    Args:
        loader: the images' own batches; this loader's split is theirs followed by `_views`.
        views: all images' first views, then all second ones and so on, (views * images, ...).
    """

    def __init__(self, loader: TrialLoader, views: torch.Tensor | ImageStream):
        self.num_views = views.shape[0] // len(loader.labels)
        batch_size = max(1, loader.bounds[0][1] // (1 + self.num_views))
        examples = Examples(loader.inputs, loader.labels, loader.rows)
        super().__init__(f"{loader.split}_views", examples, batch_size, loader.stored)
        self.views = views

    def __iter__(self) -> Iterator[Batch]:
        """Make batches with inputs (trials, (1 + views) * batch, ...) and labels (trials, batch)."""
        rows, num_images = self.rows.to(self.views.device).clamp(min=0), len(self.labels)
        first = [rows[:, start:end] for start, end in self.bounds]
        parts = [torch.cat([part + view * num_images for view in range(self.num_views)], 1) for part in first]
        for batch, part, views in zip(super().__iter__(), parts, _read(self.views, parts), strict=True):
            views = views.unflatten(0, part.shape).to(batch.inputs.device)
            yield batch._replace(inputs=torch.cat([batch.inputs, views], 1))


def _read(inputs: torch.Tensor | ImageStream, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Read inputs for each of some tables of rows, (trials, batch); each result is (trials * batch, ...)."""
    if isinstance(inputs, ImageStream):
        return inputs.batches([part.flatten() for part in parts])
    # One flat index_select is three times as fast as indexing by a table.
    return (inputs.index_select(0, part.flatten()) for part in parts)
