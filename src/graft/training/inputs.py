"""What a phase trains on: images, or the stored outputs of its frozen stages."""

import torch
from torch import nn

from graft.data.datamodule import Inputs, TrialDataModule
from graft.data.images import ImageSource, ImageStream
from graft.data.preprocess import Preprocess
from graft.data.views import Views
from graft.training.features import FeatureStore


def phase_inputs(
    datamodule: TrialDataModule,
    frozen: nn.Sequential,
    stored: bool,
    store: FeatureStore,
    last: bool,
    begin: nn.Module | None = None,
) -> Inputs:
    """Return the inputs of one phase: images, or the frozen stages' outputs for them.

    Args:
        datamodule: the images, and their augmentation.
        frozen: preprocessing, a `Preprocess`, and frozen stages.
        stored: whether any stage is frozen: then the inputs are the outputs of `frozen`, else images.
        store: where features are stored.
        last: whether this is the last phase, which alone is tested, with test-time augmentation.
        begin: those of `frozen` that are frozen in all later phases, too, as `FeatureStore.features` takes them.
    """
    images, augment = datamodule.data.images, datamodule.augment

    def read(source: ImageSource, indices: torch.Tensor) -> torch.Tensor | ImageStream:
        return store.features(frozen, source, indices) if stored else ImageStream(source, indices)

    train = test_views = None
    if augment and augment.views:
        views = Views(images, augment)
        train = store.features(frozen, views, views.indices(datamodule.train_images, augment.views), begin)
    elif augment:
        train = images.read(datamodule.train_images)
    if augment and augment.test_views and last:
        views = Views(images, augment)
        test_views = read(views, views.indices(datamodule.images, augment.test_views - 1))
    plain = store.features(frozen, images, datamodule.images, begin) if stored else images.read(datamodule.images)
    preprocess = frozen.get_submodule("preprocess")
    assert isinstance(preprocess, Preprocess)
    shape = plain.shape[1:] if stored else preprocess.output_shape
    return Inputs(plain, stored, shape, train, test_views).to(store.device)
