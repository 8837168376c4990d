from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from graft.data import images
from graft.data.datamodule import Inputs, SmallDataModule
from graft.data.dataset import ImageFolder, MNIST5k
from graft.data.images import ImageFiles, ImageStream, InMemoryImages
from graft.data.load import image_folder
from graft.data.preprocess import InputSpec
from graft.errors import GraftError
from graft.training.features import FeatureStore

NAMES = ("one", "three")
Folder = Callable[..., ImageFolder]


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


def decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that grows by each file that is decoded in this process."""
    decoded: list[Path] = []
    decode = images.decode
    monkeypatch.setattr(images, "decode", lambda path, shape: (decoded.append(path), decode(path, shape))[1])
    return decoded


def test_files_are_the_images_that_were_written(root: Path, digits: MNIST5k):
    data = folder(root)
    assert data.images.shape == (1, 28, 28)
    assert data.class_names == list(NAMES)
    assert isinstance(digits.images, InMemoryImages)
    expected = torch.cat([digits.images.pixels[digits.images.labels == label][:40] for label in (1, 3)])
    assert torch.equal(data.images.read(torch.arange(80)), expected)  # type: ignore[arg-type]


def test_a_split_is_drawn_once(root: Path):
    first, again = folder(root), folder(root)
    assert torch.equal(first.test, again.test)
    assert len(first.test) == 16  # a fifth of each class
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


@pytest.mark.parametrize("workers_from", [0, 10**9])
def test_images_that_do_not_fit_are_streamed(root: Path, monkeypatch: pytest.MonkeyPatch, workers_from: int):
    data = folder(root)
    split, streamed = (SmallDataModule(data, [3, 4], batch_size=4) for _ in range(2))
    split.setup("fit")
    monkeypatch.setattr(images, "IN_MEMORY", 1000)
    monkeypatch.setattr(images, "WORKERS_FROM", workers_from)
    stream = data.images.read(streamed.images)
    assert isinstance(stream, ImageStream)
    streamed = streamed.with_inputs(Inputs(stream, stored=False, shape=data.images.shape))
    for held, read in ((split, streamed), (split, streamed)):  # two epochs
        batches = zip(held.train_dataloader(), read.train_dataloader(), strict=True)
        for (pixels, labels, *_), (same_pixels, same_labels, *_) in batches:
            assert pixels.shape == (2, 4, 1, 28, 28)
            assert torch.equal(pixels, same_pixels)
            assert torch.equal(labels, same_labels)
    (test,) = streamed.test_dataloader()
    assert sum(batch.labels.shape[1] for batch in test) == 16


def test_stored_features_spare_decoding(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    decoded = decodings(monkeypatch)
    monkeypatch.setattr(images, "IN_MEMORY", 1000)
    data = folder(root)
    store, front = (
        FeatureStore(tmp_path / "store", torch.device("cpu")),
        torch.nn.Sequential(InputSpec().preprocess(data.images.shape)),
    )
    first = store.features(front, data.images, torch.arange(30))
    image_folder.cache_clear()
    assert torch.equal(store.features(front, folder(root).images, torch.arange(30)), first)
    assert len(decoded) == 30


@pytest.mark.parametrize("in_memory", [1000, 10**9])
@pytest.mark.parametrize("workers_from", [0, 10**9])
def test_a_file_that_breaks_on_decoding_is_named_before_training(
    root: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int, workers_from: int
):
    noise = torch.randint(0, 256, (28, 28), dtype=torch.uint8)
    path = root / "one" / "00.png"
    Image.fromarray(noise.numpy()).save(path)
    path.write_bytes(path.read_bytes()[:-200])  # its header stands
    monkeypatch.setattr(images, "IN_MEMORY", in_memory)
    monkeypatch.setattr(images, "WORKERS_FROM", workers_from)
    with pytest.raises(GraftError, match=r"1 of the 80 files.*: one/00.png; mend .*skip_unreadable=true"):
        folder(root).images.read(torch.arange(80))
    assert len(folder(root, skip_unreadable=True).images.labels) == 79


def test_different_shapes_need_a_size(root: Path):
    Image.new("L", (50, 60)).save(root / "one" / "large.png")
    with pytest.raises(GraftError, match=r"have 2 shapes, from 28x28 to 60x50 pixels; try dataset.size=64"):
        folder(root)
    assert folder(root, size=20).images.shape == (1, 20, 20)


def test_large_images_are_held_at_the_size_they_are_fitted_to_and_small_ones_as_they_are(root: Path):
    assert folder(root, size=16).images.shape == (1, 16, 16)
    assert folder(root, size=64).images.shape == (1, 28, 28)
    assert InputSpec(size=64).preprocess(folder(root, size=64).images.shape).output_shape == (1, 64, 64)


def test_one_picture_in_colour_makes_all_of_them_so(root: Path):
    Image.new("RGB", (28, 28), (255, 0, 0)).save(root / "one" / "red.png")
    data = folder(root)
    assert data.images.shape == (3, 28, 28)
    red = data.images.read(torch.tensor([40]))
    assert isinstance(red, torch.Tensor)
    assert red[0, :, 5, 5].tolist() == [255, 0, 0]


def test_another_size_or_another_file_is_another_data_set(root: Path):
    found = {folder(root).images.fingerprint, folder(root, size=20).images.fingerprint}
    assert found == {folder(root).images.fingerprint, folder(root, size=20).images.fingerprint}
    assert len(found) == 2
    assert isinstance(folder(root).images, ImageFiles)


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
    with pytest.raises(GraftError, match=r"val_per_class=2, but the data have 10 validation images of their own"):
        folder(root, val_per_class=2)
    with pytest.raises(GraftError, match=r"test_per_class=8, but class one has 7 test images"):
        folder(root, test_per_class=8)
