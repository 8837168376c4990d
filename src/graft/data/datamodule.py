"""Lightning data modules for the big and the small split: one batch for every trial, cut from memory."""

import copy
import math
from collections.abc import Iterator, Sequence

import pytorch_lightning as pl
import torch
from torch import nn

from graft.data.augment import Augment
from graft.data.dataset import Dataset
from graft.data.images import ImageStream
from graft.ranks import rank, world_size
from graft.seed import generator

EVALUATION_VALUES = 2**21  # input values in one batch of evaluation, all trials together
CONVOLVED = 8  # how much more convolutions make of an image: with it 15 of the lecture's CNNs stay under 3 GB


class TrialLoader:
    """Batches of all trials at once, (trials, batch, ...), with their labels, (trials, batch).

    Args:
        split: `train`, `val` or `test`, which names the curves.
        inputs: images or features, (images, ...), or a stream of images.
        labels: classes, counted from 0, (images,).
        rows: which inputs each trial goes through, (trials, length); one row that all trials share: (1, length).
        batch_size: images of each trial in one batch. A last batch of a single image joins the one before
            it, because batch norm needs two.
        seeds: a seed for each trial's order of batches; None keeps the order of `rows`.
        augment: what varies each trial's images. If it stores views, `inputs` hold all images' first views, all
            their second ones and so on, and each trial draws one of each image in each epoch.
        rank: which of `ranks` processes this is; they divide each batch between them.
        ranks: how many there are.

    Attributes:
        counts: how many images of each batch are this rank's. Where a batch has fewer images than there are ranks
            it may be none; the rank then gets one that is another's, so that all ranks take the same steps.
        weights: what makes the mean over the ranks of this rank's mean loss, so multiplied, that of the whole batch.
    """

    def __init__(
        self,
        split: str,
        inputs: torch.Tensor | ImageStream,
        labels: torch.Tensor,
        rows: torch.Tensor,
        batch_size: int,
        seeds: Sequence[int] | None = None,
        augment: Augment | None = None,
        rank: int = 0,
        ranks: int = 1,
    ):
        self.split, self.inputs, self.labels, self.rows = split, inputs, labels, rows
        self.generators = None if seeds is None else [generator(seed, "order") for seed in seeds]
        self.views = augment.views if augment else None
        self.augment = None if self.views else augment
        device = "cpu" if self.views else inputs.device
        # All ranks draw the same views for whole batches, but variations for their own images, which must not be alike.
        purpose = "augment" if self.views or not rank else f"augment on rank {rank}"
        self.augmenters = [generator(seed, purpose, device) for seed in seeds or ()]
        length = rows.shape[1]
        starts = range(0, length - (length > 1), batch_size)
        bounds = list(zip(starts, [*starts[1:], length], strict=True))
        own = [
            (start + (end - start) * rank // ranks, start + (end - start) * (rank + 1) // ranks)
            for start, end in bounds
        ]
        self.counts = [end - start for start, end in own]
        self.weights = [ranks * count / (end - start) for count, (start, end) in zip(self.counts, bounds, strict=True)]
        self.bounds = [(start, max(end, start + 1)) for start, end in own]

    def __len__(self) -> int:
        return len(self.bounds)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        rows = self.rows
        if self.generators is not None:
            order = [torch.randperm(rows.shape[1], generator=random) for random in self.generators]
            rows = rows.gather(1, torch.stack(order))
        rows = rows.to(self.inputs.device)
        labels = self.labels[rows]
        if self.views:
            views = [torch.randint(self.views, rows.shape[1:], generator=own) for own in self.augmenters]
            rows = rows + len(self.labels) * torch.stack(views).to(rows.device)
        parts = [rows[:, start:end] for start, end in self.bounds]
        for (start, end), part, inputs in zip(self.bounds, parts, _read(self.inputs, parts), strict=True):
            if self.augment is not None:
                inputs = self.augment(inputs, self.augmenters)
            yield inputs.unflatten(0, part.shape), labels[:, start:end]


class ViewedTrialLoader(TrialLoader):
    """Batches of evaluation, in order, that hold all images, then their first views and so on.

    Args:
        batches: those of the images alone, whose split is named `val_views` or `test_views` here.
        test_views: all images' first views, all their second ones and so on, (views * images, ...).
    """

    def __init__(self, batches: TrialLoader, test_views: torch.Tensor | ImageStream):
        self.views_each = test_views.shape[0] // len(batches.labels)
        batch_size = max(1, batches.bounds[0][1] // (1 + self.views_each))
        super().__init__(f"{batches.split}_views", batches.inputs, batches.labels, batches.rows, batch_size)
        self.test_views = test_views

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Make batches (trials, (1 + views) * batch, ...) with labels (trials, batch)."""
        rows, count = self.rows.to(self.test_views.device), len(self.labels)
        first = [rows[:, start:end] for start, end in self.bounds]
        parts = [torch.cat([part + view * count for view in range(self.views_each)], 1) for part in first]
        read = _read(self.test_views, parts)
        for (inputs, labels), part, views in zip(super().__iter__(), parts, read, strict=True):
            yield torch.cat([inputs, views.unflatten(0, part.shape).to(inputs.device)], 1), labels


def _read(inputs: torch.Tensor | ImageStream, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    if isinstance(inputs, ImageStream):
        return inputs.batches([part.flatten() for part in parts])
    # One flat index_select is three times as fast as indexing by a table.
    return (inputs.index_select(0, part.flatten()) for part in parts)


class TrialDataModule(pl.LightningDataModule):
    """What one fit needs: its inputs, and which of them each trial trains on.

    Args:
        data: the data set.
        classes: the split's classes.
        rows: indices, into the data set, of each split's images, (trials, images).
        augment: what varies the training images, which then have inputs of their own.

    Attributes:
        images: indices, into the data set, of all images that the fit takes as they are, (images,).
        labels: their classes, counted from 0 within the split, (images,).
        varied: indices of the training images if they vary, (images,), else None.
    """

    def __init__(
        self, data: Dataset, classes: torch.Tensor, rows: dict[str, torch.Tensor], augment: Augment | None = None
    ):
        super().__init__()
        evaluated = [indices.flatten() for split, indices in rows.items() if augment is None or split != "train"]
        self.images = torch.cat(evaluated).unique()
        self.varied = None if augment is None else rows["train"].unique()
        trained = self.images if self.varied is None else self.varied
        position = torch.full([len(data.images.classes)], -1)
        position[classes] = torch.arange(len(classes))
        self.labels, self.train_labels = (position[data.images.labels[images]] for images in (self.images, trained))
        self.rows = {
            split: torch.searchsorted(trained if split == "train" else self.images, indices)
            for split, indices in rows.items()
        }
        self.augment = augment
        self.seeds: list[int] = []
        self.batch_size = 1
        self.curves: tuple[str, ...] = ()

    def place(
        self,
        inputs: torch.Tensor | ImageStream,
        shape: Sequence[int],
        device: torch.device,
        varied: torch.Tensor | ImageStream | None = None,
        test_views: torch.Tensor | ImageStream | None = None,
    ) -> None:
        """Put the inputs and labels where the training is.

        Args:
            inputs: the images that `images` lists, or what the frozen stages made of them, (images, ...).
            shape: what the first layer that trains gets of each.
            device: where; a stream's images follow batch by batch.
            varied: the images that `varied` lists, or what the frozen stages made of their views.
            test_views: views of the images that `images` lists, which the final evaluation takes beside them, or what
                the frozen stages made of these; all first views, all second ones and so on.
        """
        self.inputs = inputs if isinstance(inputs, ImageStream) else inputs.to(device)
        self.labels = self.labels.to(self.inputs.device)
        self.train_inputs = self.inputs if varied is None else varied
        if isinstance(self.train_inputs, torch.Tensor):
            self.train_inputs = self.train_inputs.to(device)
        self.train_labels = self.train_labels.to(self.train_inputs.device)
        self.test_views = test_views.to(device) if isinstance(test_views, torch.Tensor) else test_views
        self.values = math.prod(shape) * (CONVOLVED if len(shape) == 3 else 1)

    def class_weights(self) -> torch.Tensor:
        """Return class weights that let each trial's classes count alike, 1 on average, (trials, classes)."""
        labels = self.train_labels[self.rows["train"].to(self.train_labels.device)]
        counts = nn.functional.one_hot(labels, int(self.train_labels.max()) + 1).sum(1)
        return labels.shape[1] / (counts.shape[1] * counts)

    def train_dataloader(self) -> TrialLoader:
        inputs, labels, rows = self.train_inputs, self.train_labels, self.rows["train"]
        return TrialLoader(
            "train", inputs, labels, rows, self.batch_size, self.seeds, self.augment, rank(), world_size()
        )

    def val_dataloader(self) -> list[TrialLoader]:
        return [self._evaluation(split) for split in self.curves]

    def test_dataloader(self) -> list[TrialLoader]:
        plain = [self._evaluation(split) for split in ("val", "test") if self.rows[split].numel()]
        if self.test_views is None:
            return plain
        return [*plain, *(ViewedTrialLoader(batches, self.test_views) for batches in plain)]

    def _evaluation(self, split: str) -> TrialLoader:
        batch_size = max(1, min(1024, EVALUATION_VALUES // (self.values * len(self.seeds))))
        rows = self.rows[split]
        return TrialLoader(split, self.inputs, self.labels, rows, batch_size, rank=rank(), ranks=world_size())


class BigDataModule(TrialDataModule):
    """All images of the big classes, for one pre-training."""

    def __init__(self, data: Dataset, batch_size: int, seed: int):
        super().__init__(data, data.big_classes, {"train": data.big[None]})
        self.batch_size, self.seeds = batch_size, [seed]


class SmallDataModule(TrialDataModule):
    """Each trial's draw of the small classes, with its validation images, and the test images they share.

    Args:
        data: the data set.
        seeds: one for each trial.
        batch_size: images of each trial in one batch.
        test_curve: whether the test images, too, are evaluated while training goes on.
        augment: what varies the training images.
    """

    def __init__(
        self,
        data: Dataset,
        seeds: Sequence[int],
        batch_size: int,
        test_curve: bool = False,
        augment: Augment | None = None,
    ):
        train, val = zip(*(data.sample(seed) for seed in seeds), strict=True)
        rows = {"train": torch.stack(train), "val": torch.stack(val), "test": data.test[None]}
        super().__init__(data, data.small_classes, rows, augment)
        self.batch_size, self.seeds = batch_size, list(seeds)
        self.curves = tuple(["val"] * (rows["val"].numel() > 0) + ["test"] * test_curve)

    def chunk(self, trials: range) -> "SmallDataModule":
        """Return the same data for some of the trials only."""
        part = copy.copy(self)
        part.seeds = [self.seeds[trial] for trial in trials]
        part.rows = {
            split: rows if split == "test" else rows[trials.start : trials.stop] for split, rows in self.rows.items()
        }
        return part
