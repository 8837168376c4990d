import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from torchvision.transforms import v2

from graft.data.augment import Augment, Distort, RandAugment
from graft.data.dataset import MNIST5k
from graft.data.preprocess import Enlarged, Preprocess
from graft.data.views import Views, checked_augment
from graft.errors import GraftError
from graft.run.make_plan import make_plan
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
    fingerprint = Views(digits.images, Distort(rotate=15)).as_read
    assert fingerprint == Views(digits.images, Distort(rotate=15, views=3, test_views=2)).as_read
    assert fingerprint != Views(digits.images, Distort(rotate=1)).as_read
    assert fingerprint != digits.images.fingerprint


def test_views_of_the_user_s_own_augmentation_change_with_its_source(digits: MNIST5k, edit: Callable[[str], None]):
    def found() -> str:
        return Views(digits.images, importlib.import_module("ours").Distort(rotate=15)).as_read

    source = "from graft.data import augment\nclass Distort(augment.Distort):\n  strength = {}\n"
    edit(source.format(1))
    first = found()
    assert first == found() != Views(digits.images, Distort(rotate=15)).as_read
    edit(source.format(2))
    assert first != found()


def test_views_of_enlarged_images_have_their_size_and_a_name_of_their_own(digits: MNIST5k):
    def views(size: int, **settings) -> Views:
        return Views(digits.images, Enlarged(Distort(rotate=15), Preprocess([1, 28, 28], size=size, **settings)))

    assert views(56).shape == read(views(56), IMAGES).shape[1:] == (1, 56, 56)
    same = views(56, mean=(0.5,)).as_read  # normalization comes after
    assert same == views(56).as_read
    others = [views(57), views(56, interpolation="bicubic"), Views(digits.images, Distort(rotate=15))]
    assert len({same, *(other.as_read for other in others)}) == 4


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


class Own(Augment):
    def __init__(self, function: Callable):
        super().__init__()
        self.function = function

    def augment(self, images: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
        return self.function(images, generators)


def shifted(images: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
    groups = zip(images.chunk(len(generators)), generators, strict=True)
    return torch.cat([group + 9 * torch.rand(len(group), 1, 1, 1, generator=random) for group, random in groups])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda images, _: images + torch.randn_like(images), "gives a trial other images beside other trials"),
        (lambda images, _: v2.RandomRotation([-20, 20])(images), "gives a trial other images beside other trials"),
        (lambda images, _: images - images.mean(), "gives a trial other images beside other trials"),
        (
            lambda images, _: images[..., 1:],
            r"gives float32 of the shape \(4, 1, 28, 27\) for 4 images of \(1, 28, 28\)",
        ),
        (lambda images, _: images[:1], r"gives float32 of the shape \(1, 1, 28, 28\)"),
        (lambda images, _: images.double(), "gives float64"),
        (lambda images, _: images / 255, "gives pixels up to 1 for images of 0 to 255"),
        (lambda images, _: images * float("nan"), "gives pixels up to nan"),
        (lambda images, _: images.nonsense(), "fails"),
    ],
)
def test_an_augmentation_of_the_user_s_that_gives_something_else_is_refused(function: Callable, message: str):
    with pytest.raises(GraftError, match=rf"test_views\.Own .*{message}|test_views\.Own {message}"):
        checked_augment(Own(function), (1, 28, 28))


def test_other_augmentations_stay_as_they_are():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    for augment in (None, Own(shifted), Own(lambda images, _: images.flip(-1)), Distort(rotate=9), RandAugment()):
        assert checked_augment(augment, (1, 28, 28)) is augment
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_no_augmentation_is_refused(configure: Callable[..., DictConfig]):
    with pytest.raises(
        GraftError, match=r"RandomHorizontalFlip; expected is a subclass of graft\.data\.augment\.Augment"
    ):
        make_plan(configure("augment._target_=torchvision.transforms.v2.RandomHorizontalFlip"))


def test_views_of_the_user_s_own_augmentation_change_with_what_its_settings_lack(
    digits: MNIST5k, edit: Callable[[str], None]
):
    edit(
        "from graft.data.augment import Augment\nclass Brighter(Augment):\n  settings = {}\n"
        "  def __init__(self, by):\n    super().__init__()\n    self.by = by\n"
        "  def augment(self, images, generators):\n    return images + self.by\n"
    )
    ours = importlib.import_module("ours")
    prints = [Views(digits.images, ours.Brighter(by)).as_read for by in (1, 2, 1)]
    assert prints[0] == prints[2] != prints[1]
