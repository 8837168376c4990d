import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from graft.data import images
from graft.data.datamodule import Inputs, SmallDataModule
from graft.data.dataset import ImageFolder, MNIST5k
from graft.data.images import ImageFiles, Images, ImageStream, InMemoryImages
from graft.data.load import image_folder
from graft.data.preprocess import InputSpec
from graft.errors import GraftError
from graft.training.features import FeatureStore

NAMES = ("one", "three")


@pytest.fixture
def root(tmp_path: Path, digits: MNIST5k) -> Path:
    """Write the first 40 images of the digits 1 and 3 as PNG files, in class folders."""
    assert isinstance(digits.images, InMemoryImages)
    for name, label in zip(NAMES, (1, 3), strict=True):
        (tmp_path / "digits" / name).mkdir(parents=True)
        for number, pixels in enumerate(digits.images.pixels[digits.images.labels == label][:40]):
            Image.fromarray(pixels[0].numpy()).save(tmp_path / "digits" / name / f"{number:02}.png")
    return tmp_path / "digits"


def folder(root: Path, **options) -> ImageFolder:
    return ImageFolder(**{"big": [], "small": "all", "root": str(root), "small_per_class": 10, **options})


def limited(data: ImageFolder, **limits: int) -> ImageFiles:
    """Return the data set's images with limits of their own."""
    assert isinstance(data.images, ImageFiles)
    return replace(data.images, **limits)


def decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list to which each file that this process decodes is added."""
    decoded: list[Path] = []
    decode = images.decode
    monkeypatch.setattr(images, "decode", lambda path, *how: (decoded.append(path), decode(path, *how))[1])
    return decoded


def test_files_are_the_images_that_were_written(root: Path, digits: MNIST5k):
    data = folder(root)
    assert data.images.shape == (1, 28, 28)
    assert data.class_names == list(NAMES)
    assert isinstance(digits.images, InMemoryImages)
    expected = torch.cat([digits.images.pixels[digits.images.labels == label][:40] for label in (1, 3)])
    assert torch.equal(data.images.read(torch.arange(80)), expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("workers_from", [0, 2**28])
def test_a_file_that_has_changed_since_it_was_listed_is_not_read(root: Path, workers_from: int):
    data = limited(folder(root), workers_from=workers_from)
    assert data.read(torch.arange(2)) is not None
    path, later = root / "one" / "03.png", time.time_ns() + 10**10
    os.utime(path, ns=(later, later))
    assert data.read(torch.tensor([3])) is not None  # its bytes are the same
    kept = path.read_bytes()
    path.write_bytes((root / "one" / "04.png").read_bytes())
    os.utime(path, ns=(0, 0))
    folder_of = replace(data.folder, listed=time.time_ns())
    with pytest.raises(GraftError, match=r"changed after they were listed \(one/03.png\).* run the same command"):
        next(iter(replace(data, folder=folder_of).batches([torch.arange(5)])))
    path.write_bytes(kept)
    assert next(iter(replace(data, folder=folder_of).batches([torch.arange(5)]))) is not None


def test_a_split_is_drawn_once(root: Path):
    first, again = folder(root), folder(root)
    assert torch.equal(first.test, again.test)
    assert first.test.numel()
    assert set(first.sample(0)[0].tolist()).isdisjoint(first.test.tolist())


def test_images_that_fit_are_decoded_once(root: Path, monkeypatch: pytest.MonkeyPatch):
    decoded = decodings(monkeypatch)
    found = folder(root).images
    first = found.read(torch.arange(10))
    again = found.read(torch.arange(20))
    assert isinstance(first, torch.Tensor)
    assert isinstance(again, torch.Tensor)
    assert torch.equal(first, again[:10])
    assert len(decoded) == len(set(decoded)) == 20


@pytest.mark.parametrize("threads_from", [0, 10**9])
def test_batches_in_any_order_are_those_of_one_thread(root: Path, monkeypatch: pytest.MonkeyPatch, threads_from: int):
    monkeypatch.setattr(images, "THREADS_FROM", threads_from)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    whole = folder(root).images.read(torch.arange(80))
    image_folder.cache_clear()
    parts = torch.cat([torch.arange(79, -1, -1), torch.arange(10)]).split(7)
    read = list(limited(folder(root, max_pixels=1000), workers_from=10**9).batches(parts))
    assert isinstance(whole, torch.Tensor)
    assert all(torch.equal(pixels, whole[part]) for part, pixels in zip(parts, read, strict=True))


def test_images_are_decoded_when_their_batch_is_asked_for(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(images, "AT_ONCE", 4)
    found = limited(folder(root))
    batches = found.batches(torch.arange(80).split(4))
    next(batches)
    assert found._memory is not None
    assert int(found._memory[1].sum()) == 4


@pytest.mark.parametrize("workers_from", [0, 10**9])
def test_images_that_do_not_fit_into_memory_are_streamed(root: Path, workers_from: int):
    data = folder(root)
    split, streamed = (SmallDataModule(data, [3, 4], batch_size=4) for _ in range(2))
    split.setup("fit")
    stream = limited(data, memory_limit=1000, workers_from=workers_from).read(streamed.images)
    assert isinstance(stream, ImageStream)
    streamed = streamed.with_inputs(Inputs(stream, stored=False, shape=data.images.shape))
    for _ in range(2):  # epochs
        batches = zip(split.train_dataloader(), streamed.train_dataloader(), strict=True)
        for (pixels, labels, *_), (same_pixels, same_labels, *_) in batches:
            assert pixels.shape == (2, 4, 1, 28, 28)
            assert torch.equal(pixels, same_pixels)
            assert torch.equal(labels, same_labels)
    (test,) = streamed.test_dataloader()
    assert sum(batch.labels.shape[1] for batch in test) == len(data.test)


def test_images_with_stored_features_are_not_decoded(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    decoded = decodings(monkeypatch)
    found = limited(folder(root), memory_limit=1000)
    store = FeatureStore(tmp_path / "store", torch.device("cpu"))
    frozen = torch.nn.Sequential(InputSpec().preprocess(found.shape))
    first = store.features(frozen, found, torch.arange(30))
    image_folder.cache_clear()
    again = limited(folder(root), memory_limit=1000)
    assert torch.equal(store.features(frozen, again, torch.arange(30)), first)
    assert len(decoded) == 30


@pytest.mark.parametrize("memory_limit", [1000, 10**9])
@pytest.mark.parametrize("workers_from", [0, 10**9])
def test_a_file_that_cannot_be_decoded_is_named_before_training(root: Path, memory_limit: int, workers_from: int):
    noise = torch.randint(0, 256, (28, 28), dtype=torch.uint8)
    (root / "one" / "00.png").unlink()
    path = root / "one" / "00.jpg"  # Pillow decodes a PNG file to read its EXIF data, and would fail at the listing
    Image.fromarray(noise.numpy()).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    found = limited(folder(root), memory_limit=memory_limit, workers_from=workers_from)
    with pytest.raises(
        GraftError,
        match=r"1 of the 80 files.*: one/00.jpg \(image file is truncated .*; repair .*exclude.*skip_unreadable=true",
    ):
        found.read(torch.arange(80))
    assert len(folder(root, skip_unreadable=True).images.labels) == 79


def test_different_shapes_need_a_size(root: Path):
    Image.new("L", (50, 60)).save(root / "one" / "large.png")
    with pytest.raises(GraftError, match=r"have 2 shapes, from 28x28 to 60x50 pixels; try dataset.size=64"):
        folder(root)
    assert folder(root, size=20).images.shape == (1, 20, 20)


def test_large_images_are_stored_at_the_size_and_smaller_ones_unchanged(root: Path):
    assert folder(root, size=16).images.shape == (1, 16, 16)
    assert folder(root, size=64).images.shape == (1, 28, 28)
    assert InputSpec(size=64).preprocess(folder(root, size=64).images.shape).output_shape == (1, 64, 64)


def test_one_color_image_makes_all_images_rgb(root: Path):
    Image.new("RGB", (28, 28), (255, 0, 0)).save(root / "one" / "red.png")
    data = folder(root)
    assert data.images.shape == (3, 28, 28)
    red = data.images.read(torch.tensor([40]))
    assert isinstance(red, torch.Tensor)
    assert red[0, :, 5, 5].tolist() == [255, 0, 0]


def test_the_fingerprint_changes_with_the_size(root: Path):
    found = {folder(root).images.fingerprint, folder(root, size=20).images.fingerprint}
    assert found == {folder(root).images.fingerprint, folder(root, size=20).images.fingerprint}
    assert len(found) == 2
    assert isinstance(folder(root).images, ImageFiles)


@pytest.mark.parametrize(
    ("option", "differ"), [({"fit": "pad"}, True), ({"bits": 12}, True), ({"max_pixels": 10**9}, False)]
)
def test_the_fingerprint_changes_with_what_changes_the_pixels(root: Path, option: dict, differ: bool):
    values = np.random.default_rng(0).integers(0, 1000, (20, 28), dtype=np.uint16)
    Image.fromarray(values).save(root / "one" / "deep.png")
    found = {folder(root, size=28, **each).images.fingerprint for each in ({}, option)}
    assert len(found) == 1 + differ


def test_another_version_of_the_decoder_makes_features_anew(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    Image.fromarray(np.full((28, 28), 77, dtype=np.uint8)).save(root / "one" / "00.png")  # contents of this test's own
    decoded = decodings(monkeypatch)
    store = FeatureStore(tmp_path / "store", torch.device("cpu"))
    for version, expected in (
        (images.DECODER_VERSION, 30),
        (images.DECODER_VERSION, 30),
        (images.DECODER_VERSION + 1, 60),
    ):
        monkeypatch.setattr(images, "DECODER_VERSION", version)
        image_folder.cache_clear()
        found = limited(folder(root), memory_limit=1000)
        store.features(torch.nn.Sequential(InputSpec().preprocess(found.shape)), found, torch.arange(30))
        assert len(decoded) == expected


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_photos_of_one_shape_keep_their_sides_unless_they_are_cropped(tmp_path: Path, fit: str):
    photo = np.full((30, 60), 10, dtype=np.uint8)
    photo[:, :10] = photo[:, -10:] = 250  # what a crop of the middle loses
    for name in NAMES:
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.fromarray(photo).save(tmp_path / name / f"{number}.png")
    for size in (24, 48):  # smaller and larger than the photos
        data = folder(tmp_path, small_per_class=1, size=size, fit=fit, duplicates="keep")
        pixels = data.images.read(torch.arange(1))
        assert isinstance(pixels, torch.Tensor)
        seen = InputSpec("byte", size=size).preprocess(data.images.shape)(pixels)[0, 0].numpy()
        short, left = round(size / 2), (size - round(size / 2)) // 2
        whole, inner = (
            Image.fromarray(photo).resize(each, Image.Resampling.BILINEAR) for each in ((size, size), (size, short))
        )
        expected = {
            "squash": np.asarray(whole),
            "pad": np.pad(np.asarray(inner), ((left, size - short - left), (0, 0))),
        }
        assert seen.shape == (size, size)
        assert np.abs(seen - expected.get(fit, np.full((size, size), 10))).max() <= 1


@pytest.mark.parametrize("memory_limit", [1000, 10**9])
@pytest.mark.parametrize("workers_from", [0, 10**9])
def test_pictures_above_pillow_s_limit_are_read_where_a_key_allows_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, memory_limit: int, workers_from: int
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(
        GraftError, match=r"80 of the 80 files.*00.png \(784 pixels, above the limit of 200; dataset.max_pix"
    ):
        folder(root)
    found = limited(folder(root, max_pixels=784), memory_limit=memory_limit, workers_from=workers_from)
    for batch in found.batches([torch.arange(80)]):
        assert batch.any(-1).any(-1).all()
    with pytest.raises(GraftError, match="80 of the 80 files"):
        folder(root)


def test_validation_and_test_folders_are_used_as_such(root: Path):
    for part in ("train", "val", "test"):
        (root / part).mkdir()
    for name in NAMES:
        for part, numbers in (("val", range(5)), ("test", range(5, 12)), ("train", range(12, 40))):
            (root / part / name).mkdir()
            for number in numbers:
                (root / name / f"{number:02}.png").rename(root / part / name / f"{number:02}.png")
        (root / name).rmdir()
    data = folder(root)
    train, val = data.sample(0)
    assert (len(train), len(val), len(data.test)) == (20, 10, 14)
    assert torch.equal(val, data.sample(1)[1])
    assert SmallDataModule(data, [0, 1], 4).rows["val"].shape == (2, 10)
    assert len(folder(root, test_per_class=3).test) == 6
    with pytest.raises(
        GraftError, match=r"val_per_class must be 0 for data with validation images of their own, here 10, got 2"
    ):
        folder(root, val_per_class=2)
    with pytest.raises(GraftError, match=r"test_per_class must be at most 7, the test images of class one, got 8"):
        folder(root, test_per_class=8)


def test_files_that_are_resized_when_they_are_read_have_the_interpolation_and_another_identity(root: Path):
    def found(size: int | None, interpolation: str) -> Images:
        return folder(root, size=size, interpolation=interpolation).images

    for size, resized in ((None, False), (56, False), (20, True)):  # 56: preprocessing enlarges them
        linear, cubic = found(size, "bilinear"), found(size, "bicubic")
        assert isinstance(cubic, ImageFiles)
        assert cubic.resizes == resized
        assert (linear.fingerprint != cubic.fingerprint) == resized
        assert linear.originals == cubic.originals
    first = sorted((root / "one").iterdir())[0]
    for read, method in ((linear, Image.Resampling.BILINEAR), (cubic, Image.Resampling.BICUBIC)):
        expected = np.asarray(Image.open(first).resize((20, 20), method))
        np.testing.assert_array_equal(next(read.batches([torch.tensor([0])]))[0, 0], expected)
