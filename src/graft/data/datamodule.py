"""Lightning data modules of the big and the small split: which images each trial sees, and their batches."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from graft.data.augment import Augment
from graft.data.dataset import Dataset
from graft.data.folds import NO_IMAGE
from graft.data.images import ImageStream
from graft.data.loader import (
    AugmentedLoader,
    Batch,
    EvaluationViewsLoader,
    Examples,
    Share,
    StoredViewsLoader,
    TrainLoader,
    TrialLoader,
)
from graft.ranks import rank, world_size

BETA = 0.99  # of the effective number of images
EVALUATION_VALUES = 2**21  # input values in one batch of evaluation, all trials together
ACTIVATION_RATIO = 8  # estimated ratio of a CNN's activations to its input; evaluates 15 of the lecture's below 3 GB


@dataclass(frozen=True)
class Inputs:
    """Inputs of what trains in one phase: images, or the frozen stages' outputs for them.

    Attributes:
        plain: inputs of the data module's `images`, (images, ...), or a stream of them.
        stored: whether `plain` are the frozen stages' outputs.
        shape: of one image's input to the first layer that trains.
        train: inputs of the augmented training images, `train_images`: images, or stored views ordered view by view;
            None: training uses `plain`.
        test_views: views of its `images` for test-time augmentation, in the same order; None: there are none.
    """

    plain: torch.Tensor | ImageStream
    stored: bool
    shape: Sequence[int]
    train: torch.Tensor | ImageStream | None = None
    test_views: torch.Tensor | ImageStream | None = None

    def to(self, device: torch.device) -> "Inputs":
        """Return the inputs with tensors on a device; a stream's images follow batch by batch."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}
        return replace(self, **{name: tensor.to(device) for name, tensor in tensors.items()})


class TrialDataModule(pl.LightningDataModule):
    """The images that each trial trains on, validates on and is tested on.

    Args:
        data: the data set.
        classes: the split's classes.
        rows: indices, into the data set, of each split's images, (trials, images), or (1, images) for all trials;
            `NO_IMAGE` after the last image of a trial that tests fewer than others.
        seeds: one for each trial.
        batch_size: images of each trial in one batch.
        augment: augmentation of the training images.
        streams: the seeds of each trial's random numbers: initialization, order of batches, dropout, augmentation;
            None: the trials' own.

    Attributes:
        images: indices, into the data set, of all images that are needed without augmentation, (images,).
        train_images: indices of the training images, (images,): the same unless they are augmented.
        labels: classes of `images`, counted from 0 within the split.
        train_labels: classes of `train_images`.
        rows: positions of each split's images in `images`; of the training images in `train_images`.
        curves: splits that are evaluated during training.
    """

    def __init__(
        self,
        data: Dataset,
        classes: torch.Tensor,
        rows: dict[str, torch.Tensor],
        seeds: Sequence[int],
        batch_size: int,
        augment: Augment | None = None,
        streams: Sequence[int] | None = None,
    ):
        super().__init__()
        self.data, self.seeds, self.batch_size, self.augment = data, list(seeds), batch_size, augment
        self.streams = list(seeds if streams is None else streams)
        plain = torch.cat([rows[split].flatten() for split in rows if augment is None or split != "train"])
        plain = plain if len(plain) else rows["train"].flatten()  # of a refit there is nothing to evaluate
        self.images = plain[plain != NO_IMAGE].unique()
        self.train_images = self.images if augment is None else rows["train"].unique()
        position = torch.full([len(data.images.classes)], -1)
        position[classes] = torch.arange(len(classes))
        self.labels = position[data.images.labels[self.images]]
        self.train_labels = position[data.images.labels[self.train_images]]
        self.rows = {
            split: torch.searchsorted(self.train_images if split == "train" else self.images, indices).where(
                indices != NO_IMAGE, NO_IMAGE
            )
            for split, indices in rows.items()
        }
        self.curves: tuple[str, ...] = ()
        self.inputs: Inputs | None = None
        self._train_loader: TrainLoader | None = None

    def with_inputs(self, inputs: Inputs) -> Self:
        """Return the same images with other inputs."""
        module = copy.copy(self)
        module.inputs, module._train_loader = inputs, None
        return module

    def setup(self, stage: str) -> None:
        """Read the images, unless `with_inputs` has given them."""
        if self.inputs is None:
            read, shape = self.data.images.read, self.data.images.shape
            train = None if self.augment is None else read(self.train_images)
            self.inputs = Inputs(read(self.images), False, shape, train)

    def class_weights(self, kind: str) -> torch.Tensor:
        """Return weights of each trial's classes, (trials, classes), which are 1 on average over its training images.

        Args:
            kind: `balanced`, which gives every class the same weight: that of an image is 1 / n in a class of n; or
                `effective`: 1 / (1 - b^n) with b = 0.99, equal to that in classes of far fewer than 100 images, and the
                same in all of far more (Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR
                2019, with one of the values of b that it compares).
        """
        labels = self.train_labels[self.rows["train"]]
        counts = nn.functional.one_hot(labels, int(self.train_labels.max()) + 1).sum(1)
        weights = 1 / counts if kind == "balanced" else 1 / (1 - BETA**counts)
        return labels.shape[1] * weights / (counts * weights).sum(1, keepdim=True)

    def train_examples(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return each trial's training inputs, (images, ...), and labels, (images,)."""
        assert self.inputs is not None
        assert isinstance(self.inputs.plain, torch.Tensor)
        return [(self.inputs.plain[rows], self.labels[rows]) for rows in self.rows["train"]]

    def first_same(self) -> list[int]:
        """Return for each trial the first that has the same training images, in whatever order: often itself."""
        sets = [frozenset(rows.tolist()) for rows in self.rows["train"]]
        return [sets.index(one) for one in sets]

    def train_dataloader(self) -> TrainLoader:
        """Return the training batches: the same loader in each call, so its random streams continue across epochs."""
        if self._train_loader is None:
            self._train_loader = self._make_train_loader()
        return self._train_loader

    def _make_train_loader(self) -> TrainLoader:
        assert self.inputs is not None
        inputs = self.inputs.plain if self.inputs.train is None else self.inputs.train
        settings = (Examples(inputs, self.train_labels, self.rows["train"]), self.batch_size, self.streams)
        if self.augment is None:
            return TrainLoader(*settings, stored=self.inputs.stored, share=_share())
        if self.augment.views:
            return StoredViewsLoader(self.augment.views, *settings, share=_share())
        return AugmentedLoader(self.augment, *settings, share=_share())

    def val_dataloader(self) -> list[TrialLoader]:
        return [self._evaluation(split) for split in self.curves]

    def test_dataloader(self) -> list[TrialLoader]:
        assert self.inputs is not None
        loaders = [self._evaluation(split) for split in ("val", "test") if self.rows[split].numel()]
        views = self.inputs.test_views
        return loaders if views is None else [*loaders, *(EvaluationViewsLoader(loader, views) for loader in loaders)]

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch._replace(inputs=batch.inputs.to(device), labels=batch.labels.to(device))

    def _evaluation(self, split: str) -> TrialLoader:
        assert self.inputs is not None
        shape = self.inputs.shape
        values = math.prod(shape) * (ACTIVATION_RATIO if len(shape) == 3 else 1)  # of one image and trial
        batch_size = max(1, min(1024, EVALUATION_VALUES // (values * len(self.seeds))))
        examples = Examples(self.inputs.plain, self.labels, self.rows[split])
        return TrialLoader(split, examples, batch_size, self.inputs.stored, _share())


class BigDataModule(TrialDataModule):
    """All images of the big classes, for one pre-training."""

    def __init__(self, data: Dataset, batch_size: int, seed: int):
        super().__init__(data, data.big_classes, {"train": data.big[None]}, [seed], batch_size)


class SmallDataModule(TrialDataModule):
    """Each trial's draw of the small classes, its validation images, and its fold or the test images of all trials.

    Args:
        data: the data set.
        seeds: one for each trial.
        batch_size: images of each trial in one batch.
        test_curve: whether the test images, too, are evaluated during training.
        augment: augmentation of the training images.
        draws: the seeds of each trial's draw of images; None: the trials' own.
        streams: as `TrialDataModule` has them.
    """

    def __init__(
        self,
        data: Dataset,
        seeds: Sequence[int],
        batch_size: int,
        test_curve: bool = False,
        augment: Augment | None = None,
        draws: Sequence[int] | None = None,
        streams: Sequence[int] | None = None,
    ):
        train, val = zip(*(data.sample(seed) for seed in (seeds if draws is None else draws)), strict=True)
        test = data.test[None]
        if data.folds is not None:
            test = pad_sequence([data.tested(seed) for seed in seeds], batch_first=True, padding_value=NO_IMAGE)
        rows = {"train": torch.stack(train), "val": torch.stack(val), "test": test}
        super().__init__(data, data.small_classes, rows, seeds, batch_size, augment, streams)
        self.curves = tuple(["val"] * (rows["val"].numel() > 0) + ["test"] * test_curve)

    def chunk(self, trials: range) -> "SmallDataModule":
        """Return the same data for some of the trials only."""
        part = copy.copy(self)
        part.seeds, part.streams = (seeds[trials.start : trials.stop] for seeds in (self.seeds, self.streams))
        part.rows = {
            split: rows[trials.start : trials.stop] if len(rows) == len(self.seeds) else rows  # shared by all trials
            for split, rows in self.rows.items()
        }
        part._train_loader = None
        return part


def _share() -> Share:
    return Share(rank(), world_size())
