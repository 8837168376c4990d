import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from graft.backbones.backbone import CNN, CNN4
from graft.data.dataset import MNIST5k
from graft.data.images import InMemoryImages
from graft.data.preprocess import Preprocess
from graft.errors import GraftError
from graft.files import write_tensors
from graft.training import features
from graft.training.features import FeatureStore

CPU = torch.device("cpu")
WANTED = torch.arange(100, 160)


class Counting(nn.Module):
    """Counts the images that pass through it, and ends the process, so to speak, when there have been most."""

    images, most = 0, 10**9

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if self.images >= self.most:
            raise KeyboardInterrupt
        type(self).images += len(pixels)
        return pixels.float().mean((2, 3))


class Passed(nn.Module):
    """Counts the images that pass through it."""

    images = 0

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        type(self).images += len(maps)
        return maps


@pytest.fixture(autouse=True)
def another_process() -> None:
    features._memory.clear()
    Counting.images = Passed.images = 0


def pixels(data: MNIST5k) -> torch.Tensor:
    assert isinstance(data.images, InMemoryImages)
    return data.images.pixels


def front(keep: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    return CNN(Preprocess([1, 28, 28]), keep=keep).split(keep)[0]


def test_stored_features_equal_recomputed_ones(digits: MNIST5k, tmp_path: Path):
    frozen = front()
    for _ in range(2):  # computed, then read from disk
        stored = FeatureStore(tmp_path, CPU).features(frozen, digits.images, WANTED)
        with torch.no_grad():
            torch.testing.assert_close(stored, frozen(pixels(digits)[WANTED]), rtol=0, atol=1e-6)
        features._memory.clear()


def test_an_image_is_computed_once_in_memory_and_across_processes(digits: MNIST5k, tmp_path: Path):
    store, frozen = FeatureStore(tmp_path, CPU), Counting()
    first = store.features(frozen, digits.images, WANTED)
    assert torch.equal(store.features(frozen, digits.images, WANTED[10:20]), first[10:20])
    features._memory.clear()
    assert torch.equal(store.features(frozen, digits.images, WANTED), first)
    assert Counting.images == 60


def test_only_missing_images_are_added(digits: MNIST5k, tmp_path: Path):
    store = FeatureStore(tmp_path, CPU)
    store.features(Counting(), digits.images, WANTED)
    wider = store.features(Counting(), digits.images, torch.arange(90, 170))
    assert Counting.images == 80
    assert torch.equal(wider, pixels(digits)[90:170].float().mean((2, 3)))


def test_a_process_that_is_killed_while_it_computes_has_kept_what_it_computed_a_while_before(
    digits: MNIST5k, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(features, "fast_batch_size", lambda device: 20)
    monkeypatch.setattr(features, "KEEP_EVERY", -1.0)
    monkeypatch.setattr(Counting, "most", 40)
    with pytest.raises(KeyboardInterrupt):
        FeatureStore(tmp_path, CPU).features(Counting(), digits.images, WANTED)
    monkeypatch.undo()
    found = FeatureStore(tmp_path, CPU).features(Counting(), digits.images, WANTED)
    assert Counting.images == len(WANTED)  # 40 before, 20 now
    assert torch.equal(found, pixels(digits)[WANTED].float().mean((2, 3)))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_file_is_noticed_and_computed_again(digits: MNIST5k, tmp_path: Path, damage: str):
    store = FeatureStore(tmp_path, CPU)
    first = store.features(Counting(), digits.images, WANTED)
    (path,) = tmp_path.rglob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes({"truncated": content[:-8], "flipped": content, "empty": b""}[damage])
    features._memory.clear()
    assert torch.equal(store.features(Counting(), digits.images, WANTED), first)
    assert Counting.images == 120
    features._memory.clear()
    store.features(Counting(), digits.images, WANTED)
    assert Counting.images == 120


def test_weights_stages_preprocessing_and_images_each_have_their_own_name(digits: MNIST5k, tmp_path: Path):
    store = FeatureStore(tmp_path, CPU)
    other_weights, other_pixels = front(), front()
    with torch.no_grad():
        other_weights[1][0].weight[0, 0, 0, 0] += 1e-3  # type: ignore[index]
    other_pixels[0] = nn.Identity()
    assert isinstance(digits.images, InMemoryImages)
    changed = replace(digits.images, pixels=pixels(digits).flip(-1))
    for frozen, images in (
        (front(), digits.images),
        (front(1), digits.images),
        (other_weights, digits.images),
        (nn.Sequential(front(), nn.ReLU()), digits.images),
        (front(), changed),
    ):
        store.features(frozen, images, WANTED)
    assert len(list(tmp_path.iterdir())) == 5
    store.features(front(), digits.images, WANTED)
    assert len(list(tmp_path.iterdir())) == 5


def test_memory_is_bounded(digits: MNIST5k, tmp_path: Path):
    for number in range(1, features.BACKBONES_IN_MEMORY + 4):
        FeatureStore(tmp_path, CPU).features(nn.Sequential(Counting(), nn.Hardtanh(0, number)), digits.images, WANTED)
    assert len(features._memory) == features.BACKBONES_IN_MEMORY
    assert len(list(tmp_path.iterdir())) == features.BACKBONES_IN_MEMORY + 3


def test_batch_norm_in_the_frozen_part_keeps_its_statistics(digits: MNIST5k, tmp_path: Path):
    frozen = nn.Sequential(front(1), nn.LazyBatchNorm1d()).train()
    frozen[1](torch.rand(4, 5408))  # gives the lazy layer its shape, and statistics
    before = frozen[1].running_mean.clone()  # type: ignore[union-attr]
    FeatureStore(tmp_path, CPU).features(frozen, digits.images, WANTED)
    assert torch.equal(frozen[1].running_mean, before)  # type: ignore[arg-type]


class Faulty(nn.Module):
    """Divides by the images' mean: the features of black images are NaN."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        mean = pixels.float().mean((2, 3))
        return mean / mean


def test_features_that_are_not_finite_are_never_stored(digits: MNIST5k, tmp_path: Path):
    dark = pixels(digits).clone()
    dark[[110, 120]] = 0
    assert isinstance(digits.images, InMemoryImages)
    images = replace(digits.images, pixels=dark)
    store = FeatureStore(tmp_path, CPU, "cnn with weights W and dataset.pixels=unit")
    message = r"2 of 60 images .* NaN or infinite \(cnn with weights W and dataset.pixels=unit\); they are not stored"
    for _ in range(2):
        with pytest.raises(GraftError, match=message):
            store.features(Faulty(), images, WANTED)
        assert not list(tmp_path.rglob("*.safetensors"))
        assert not features._memory
    assert store.features(Faulty(), images, WANTED[:5]).eq(1).all()


def test_features_that_are_the_same_of_all_images_are_told(digits: MNIST5k, tmp_path: Path, caplog):
    stages = front()
    FeatureStore(tmp_path, CPU).features(stages, digits.images, WANTED)
    assert not caplog.records
    for parameter in stages.parameters():
        nn.init.zeros_(parameter)
    FeatureStore(tmp_path, CPU, "cnn with weights W").features(stages, digits.images, WANTED)
    (record,) = caplog.records
    assert "all 60 images have the same features (cnn with weights W)" in record.getMessage()


def test_stored_features_that_are_not_finite_are_computed_again(digits: MNIST5k, tmp_path: Path):
    store = FeatureStore(tmp_path, CPU)
    first = store.features(Counting(), digits.images, WANTED)
    (path,) = tmp_path.rglob("*.safetensors")
    write_tensors(path, {"images": WANTED, "features": first * float("inf")})  # as an older version left them
    features._memory.clear()
    assert torch.equal(store.features(Counting(), digits.images, WANTED), first)
    assert Counting.images == 120


def test_half_precision_is_near_has_32_bits_and_is_stored_under_a_name_of_its_own(digits: MNIST5k, tmp_path: Path):
    torch.manual_seed(0)
    backbone = CNN(Preprocess([1, 28, 28]))
    store = FeatureStore(tmp_path, CPU)
    exact = store.features(backbone.split(2)[0], digits.images, WANTED)
    backbone.half_frozen = True
    half, rest = backbone.split(2)
    found = store.features(half, digits.images, WANTED)
    assert found.dtype == torch.float32
    assert 1e-5 < (found - exact).norm() / exact.norm() < 0.02
    assert len(list(tmp_path.iterdir())) == 2
    assert type(rest) is nn.Sequential
    assert type(backbone.split(0)[0]) is nn.Sequential  # preprocessing alone has nothing to compute in 16 bits


def test_the_last_stages_compute_from_stored_outputs_of_the_first_ones(digits: MNIST5k, tmp_path: Path):
    torch.manual_seed(0)
    backbone = CNN4(Preprocess([1, 28, 28]))
    stage = backbone.stages[0]
    assert isinstance(stage, nn.Sequential)
    stage.append(Passed())  # in the stages that begin
    begin, frozen = backbone.split(1)[0], backbone.split(2)[0]
    once = FeatureStore(tmp_path / "once", CPU).features(frozen, digits.images, WANTED)
    Passed.images = 0
    features._memory.clear()
    store = FeatureStore(tmp_path / "twice", CPU)
    assert torch.equal(store.features(frozen, digits.images, WANTED, begin), once)
    store.features(begin, digits.images, WANTED)
    assert Passed.images == 60
    more = torch.arange(100, 170)
    features._memory.clear()
    store.features(frozen, digits.images, more, begin)
    assert Passed.images == 70
    assert store.images_per_second is not None


def test_stages_that_do_not_begin_so_compute_from_the_images(digits: MNIST5k, tmp_path: Path):
    other, frozen = CNN(Preprocess([1, 28, 28])).split(1)[0], front()
    expected = FeatureStore(tmp_path / "alone", CPU).features(frozen, digits.images, WANTED)
    features._memory.clear()
    for name, begin in ("other", other), ("same", frozen), ("layer", nn.Flatten()), ("preprocessing", frozen[:1]):
        store = FeatureStore(tmp_path / name, CPU)
        assert torch.equal(store.features(frozen, digits.images, WANTED, begin), expected)
        assert len(list(store.folder.iterdir())) == 1
        features._memory.clear()


def test_in_half_precision_all_stages_compute_from_the_images(digits: MNIST5k, tmp_path: Path):
    backbone = CNN(Preprocess([1, 28, 28]))
    backbone.half_frozen = True
    FeatureStore(tmp_path, CPU).features(backbone.split(2)[0], digits.images, WANTED, backbone.split(1)[0])
    assert len(list(tmp_path.iterdir())) == 1


def test_the_speed_of_the_last_stages_includes_that_of_the_first_ones(digits: MNIST5k, tmp_path: Path):
    backbone, store = CNN(Preprocess([1, 28, 28])), FeatureStore(tmp_path, CPU)
    begin, frozen = backbone.split(1)[0], backbone.split(2)[0]
    store.features(begin, digits.images, WANTED)
    (path,) = tmp_path.glob("*/speed.json")
    path.write_text('{"images": 60, "seconds": 6000}')
    store.features(frozen, digits.images, WANTED, begin)
    assert store.images_per_second == pytest.approx(0.01, rel=0.01)


def test_the_speed_is_that_of_the_pass_over_the_images_wherever_features_come_from(digits: MNIST5k, tmp_path: Path):
    store = FeatureStore(tmp_path, CPU)
    store.features(Counting(), digits.images, WANTED)
    measured = store.images_per_second
    assert measured is not None
    assert measured > 0
    features._memory.clear()
    again = FeatureStore(tmp_path, CPU)
    again.features(Counting(), digits.images, WANTED[:5])
    assert again.images_per_second == measured
    again.features(Counting(), digits.images, torch.arange(200, 230))  # others, whose seconds are added
    (path,) = tmp_path.glob("*/speed.json")
    assert json.loads(path.read_text())["images"] == 90


@pytest.mark.parametrize("content", ["", "{", "[]", '{"images": 3}', '{"images": 3, "seconds": 0}', '{"images": "x"}'])
def test_features_without_a_speed_have_none(digits: MNIST5k, tmp_path: Path, content: str):
    store = FeatureStore(tmp_path, CPU)
    store.features(Counting(), digits.images, WANTED)
    (path,) = tmp_path.glob("*/speed.json")
    path.write_text(content) if content else path.unlink()
    store.features(Counting(), digits.images, WANTED)
    assert store.images_per_second is None
    store.features(Counting(), digits.images, torch.arange(200, 230))
    assert store.images_per_second is not None
