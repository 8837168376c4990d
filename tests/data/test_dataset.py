import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from conftest import SHARED

from graft.data.dataset import MNIST, Dataset, FashionMNIST, MNIST5k
from graft.data.images import InMemoryImages
from graft.errors import GraftError

SPLIT: dict[str, Any] = {"big": [0, 2, 4, 6, 8], "small": [1, 3, 5, 7, 9]}


def labels(data: Dataset, indices: torch.Tensor) -> list[int]:
    return data.images.labels[indices].bincount(minlength=10).tolist()


def test_the_bundled_digits(digits: MNIST5k):
    assert isinstance(digits.images, InMemoryImages)
    assert digits.images.pixels.shape == (5000, 1, 28, 28)
    assert digits.images.pixels.dtype == torch.uint8
    assert digits.images.pixels.max() == 255
    assert labels(digits, digits.big) == [500, 0] * 5
    assert labels(digits, digits.test) == [0, 250] * 5
    assert digits.class_names == ["1", "3", "5", "7", "9"]


def test_trials_never_draw_test_images_and_never_validate_on_what_they_train_on():
    data = MNIST5k(**SPLIT, test_per_class=250, small_per_class=200, val_per_class=50)
    for seed in range(3):
        train, val = data.sample(seed)
        assert labels(data, train) == [0, 200] * 5
        assert labels(data, val) == [0, 50] * 5
        assert len(torch.cat([train, val, data.test]).unique()) == 1000 + 250 + 1250


def test_a_seed_is_a_draw(digits: MNIST5k):
    again = MNIST5k(**SPLIT, test_per_class=250)
    assert torch.equal(digits.sample(3)[0], again.sample(3)[0])
    assert torch.equal(digits.test, again.test)
    assert not torch.equal(digits.sample(3)[0], digits.sample(4)[0])


@pytest.mark.parametrize("options", [{}, {"val_per_class": 5}, {"folds": 5, "test_per_class": None}])
def test_classes_in_another_order_are_other_logits_and_the_same_draw(options: dict[str, Any]):
    typed = {"big": [], "test_per_class": 250, **options}
    one, other = MNIST5k(small=[5, 7, 9], **typed), MNIST5k(small=[9, 5, 7], **typed)
    assert other.class_names == ["9", "5", "7"]
    for seed in (3, 7):
        for drawn, again in zip(one.sample(seed), other.sample(seed), strict=True):
            assert torch.equal(drawn, again)
        assert torch.equal(one.tested(seed), other.tested(seed))


def test_validation_images_do_not_change_the_draw(digits: MNIST5k):
    with_val = MNIST5k(**SPLIT, test_per_class=250, val_per_class=30)
    assert torch.equal(digits.sample(5)[0], with_val.sample(5)[0])


def test_the_first_images_are_the_same_in_every_trial():
    data = MNIST5k(**SPLIT, test_per_class=250, draw="first")
    assert torch.equal(data.sample(0)[0], data.sample(1)[0])
    assert torch.equal(data.sample(0)[0][:20], data.pool[0][:20])


def test_a_total_is_spread_evenly():
    data = MNIST5k(**SPLIT, test_per_class=250, small_total=12)
    assert labels(data, data.sample(0)[0]) == [0, 3, 0, 3, 0, 2, 0, 2, 0, 2]


def test_any_classes_may_be_big_or_small():
    data = MNIST5k(big=["9", 8], small=[0, "1"], test_per_class=100)
    assert labels(data, data.big) == [0] * 8 + [500, 500]
    assert labels(data, data.test) == [100, 100] + [0] * 8
    assert MNIST5k(big=[], small=[0, 1], test_per_class=100).big.numel() == 0


def test_a_draw_has_all_images_of_each_class_or_a_fraction_of_them():
    def sizes(**settings: Any) -> list[int]:
        data = MNIST5k(**SPLIT, **{"test_per_class": 250, **settings})
        assert len(data.sample(0)[0]) == sum(data.counts)
        return data.counts

    assert sizes(small_per_class="all") == [250] * 5
    assert sizes(small_per_class="all", val_per_class=30) == [220] * 5
    assert sizes(small_per_class=0.1) == [25] * 5
    assert sizes(small_per_class=0.5, val_per_class=50) == [100] * 5
    assert sizes(small_per_class=0.0001) == [1] * 5
    assert sizes(small_per_class="all", folds=5, test_per_class=None) == [400] * 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"big": [10]}, "dataset.big must be of the data's classes, 0, 1.*, got 10"),
        ({"small": ["cat", 1]}, "dataset.small must be of the data's classes.*, got cat"),
        ({"small_per_class": 300}, "small_per_class must be at most 250, .* class 1, got 300; .*small_per_class=250"),
        ({"small_per_class": 240, "val_per_class": 20}, "at most 230, .*class 1 besides dataset.val_per_class=20, got"),
        ({"small_total": 2000}, "small_total must be at most 250 from class 1.*, not 400, got 2000; .*=1250"),
        ({"small_total": 2000, "draw": "first"}, "small_total must be at most 1250, .*got 2000"),
        ({"small_total": 100, "draw": "first"}, "enough for an image of class 3 .*, got 100; try dataset.draw=strat"),
        ({"small_total": 3}, "enough for an image of class 7"),
        ({"test_per_class": 500}, "test_per_class must be below 500, the images of class 1, .*got 500; .*=499"),
        ({"root": "/nowhere"}, "=/nowhere belongs to the chosen data set.*try dataset=image_folder.*dataset.root=null"),
    ],
)
def test_refusals_give_the_numbers(options: dict, message: str):
    with pytest.raises(GraftError, match=message):
        MNIST5k(**{**SPLIT, "test_per_class": 250, **options})


@pytest.mark.parametrize("dataset", [MNIST, FashionMNIST])
def test_missing_files_name_root_and_the_bundled_digits(dataset: type[Dataset], tmp_path: Path):
    with pytest.raises(GraftError, match=r"dataset\.root=.*download=false.*dataset=mnist5k"):
        dataset(**SPLIT, root=str(tmp_path), download=False)


def test_an_impossible_download_names_root_and_the_bundled_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", refuse)
    with pytest.raises(GraftError, match=r"could not be downloaded \(no route to host\).*dataset=mnist5k"):
        MNIST(**SPLIT, root=str(tmp_path / "new"), download=True)


@pytest.mark.skipif(not (SHARED / "data" / "MNIST").exists(), reason="needs the whole of MNIST in ../shared")
def test_the_lecture_s_protocol_on_all_of_mnist():
    data = MNIST(**SPLIT, root=str(SHARED / "data"), draw="first", small_total=100)
    assert len(data.big) == 29_492
    assert len(data.test) == 5_074
    train, _ = data.sample(0)
    assert labels(data, train) == [0, 26, 0, 20, 0, 13, 0, 19, 0, 22]
    odd = torch.nonzero((data.images.labels % 2 == 1) & ~data.images.test).flatten()
    assert torch.equal(train.sort().values, odd[:100])


def test_the_fingerprint_knows_pixels_labels_and_test_images(digits: MNIST5k):
    images = digits.images
    assert isinstance(images, InMemoryImages)
    others = []
    for field in ("pixels", "labels", "test", "val"):
        changed = getattr(images, field).clone()
        changed.view(-1)[7] = 3 if field == "labels" else ~changed.view(-1)[7]
        others.append(replace(images, **{field: changed}).fingerprint)
    assert len({images.fingerprint, *others}) == 5
    assert re.fullmatch("[0-9a-f]{64}", images.fingerprint)


@pytest.mark.parametrize("given", [{"test_per_class": 40}, {"folds": 5}, {"val_per_class": 9}, {"draw": "first"}])
def test_a_refit_trains_on_all_images_of_the_small_classes(given: dict[str, Any]):
    data = MNIST5k(**SPLIT, **given)
    big = data.big.clone()
    data.train_on_all()
    for seed in range(2):
        train, val = data.sample(seed)
        assert labels(data, train) == [0, 500] * 5
        assert len(train.unique()) == 2500
        assert len(val) == len(data.tested(seed)) == 0
    assert torch.equal(data.big, big)
    account = data.account()
    assert (account["pool"], account["draws_vary"]) == (2500, False)
    assert set(account["by_class"]["test"].values()) == {0}
