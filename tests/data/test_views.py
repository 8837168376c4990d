import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from graft.data.augment import Augment, Distort, RandAugment
from graft.data.dataset import MNIST5k
from graft.data.preprocess import Enlarged, Preprocess
from graft.data.views import Views
from graft.errors import GraftError
from graft.training.features import FeatureStore

IMAGES = torch.tensor([3, 700, 4000])


@pytest.fixture(params=[Distort(rotate=15, elastic=0.7), RandAugment()], ids=["distort", "randaug"])
def augment(request: pytest.FixtureRequest) -> Augment:
    return request.param


@pytest.fixture
def views(digits: MNIST5k, augment: Augment) -> Views:
    return Views(digits.images, augment)


def read(views: Views, indices: torch.Tensor) -> torch.Tensor:
    return next(views.batches([indices]))


def test_a_view_depends_on_its_index_alone(views: Views):
    indices = views.indices(IMAGES, 2)
    together = read(views, indices)
    for index, pixels in zip(indices, together, strict=True):
        assert torch.equal(read(views, index[None])[0], pixels)
    assert len(together.flatten(1).unique(dim=0)) == 6


def test_views_are_the_data_set_s_images_augmented(views: Views, digits: MNIST5k):
    assert views.shape == digits.images.shape
    originals = next(digits.images.batches([IMAGES])).float().flatten()
    for view in read(views, views.indices(IMAGES, 2)).chunk(2):
        assert 0.1 < torch.corrcoef(torch.stack([view.flatten(), originals]))[0, 1] < 1  # the same digits, changed


def test_more_views_begin_with_the_same_ones(views: Views):
    assert views.indices(IMAGES, 1).tolist() == IMAGES.tolist()
    assert torch.equal(views.indices(IMAGES, 3)[:6], views.indices(IMAGES, 2))


def test_the_feature_store_reads_them_like_a_data_set(views: Views, tmp_path: Path):
    indices = views.indices(IMAGES, 2)
    stored = FeatureStore(tmp_path, torch.device("cpu")).features(
        torch.nn.Sequential(torch.nn.Flatten()), views, indices
    )
    assert torch.equal(stored, read(views, indices).flatten(1))


def test_the_fingerprint_depends_on_the_augmentation_but_not_on_the_number_of_views(digits: MNIST5k):
    fingerprint = Views(digits.images, Distort(rotate=15)).fingerprint
    assert fingerprint == Views(digits.images, Distort(rotate=15, views=3, test_views=2)).fingerprint
    assert fingerprint != Views(digits.images, Distort(rotate=1)).fingerprint
    assert fingerprint != digits.images.fingerprint


def test_views_of_the_user_s_own_augmentation_change_with_its_source(digits: MNIST5k, edit: Callable[[str], None]):
    def found() -> str:
        return Views(digits.images, importlib.import_module("ours").Distort(rotate=15)).fingerprint

    source = "from graft.data import augment\nclass Distort(augment.Distort):\n  strength = {}\n"
    edit(source.format(1))
    first = found()
    assert first == found() != Views(digits.images, Distort(rotate=15)).fingerprint
    edit(source.format(2))
    assert first != found()


def test_views_of_enlarged_images_have_their_size_and_a_name_of_their_own(digits: MNIST5k):
    def views(size: int, **settings) -> Views:
        return Views(digits.images, Enlarged(Distort(rotate=15), Preprocess([1, 28, 28], size=size, **settings)))

    assert views(56).shape == read(views(56), IMAGES).shape[1:] == (1, 56, 56)
    same = views(56, mean=(0.5,)).fingerprint  # normalization comes after
    assert same == views(56).fingerprint
    others = [views(57), views(56, interpolation="bicubic"), Views(digits.images, Distort(rotate=15))]
    assert len({same, *(other.fingerprint for other in others)}) == 4


class Plain(Augment):
    """An augmentation of the user's own that says no settings."""

    def augment(self, images: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
        return 255 - images


def test_an_augmentation_without_settings_enlarges_images_but_has_no_stored_views(digits: MNIST5k):
    enlarged = Enlarged(Plain(), Preprocess([1, 28, 28], size=32))
    assert enlarged(torch.zeros(2, 1, 28, 28), []).unique().tolist() == [255]
    for augment in (Plain(), enlarged):
        with pytest.raises(GraftError, match="Plain, an augmentation, has no attribute settings"):
            Views(digits.images, augment)
