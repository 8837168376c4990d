import dataclasses
import gzip
import hashlib
import pickle
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from folders import write_classes

from graft.data import load
from graft.data.dataset import CIFAR10, CIFAR100, MNIST, Dataset, FashionMNIST, ImageFolder
from graft.data.images import InMemoryImages
from graft.errors import GraftError
from graft.reading.decode import Reading

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
LABELS = np.array([7, 3, 7, 3, 3, 7], dtype=np.uint8)


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    load.torchvision.cache_clear()
    yield
    load.torchvision.cache_clear()


def write(path: Path, content: dict[str, Any]) -> list[str]:
    """Write a pickle as CIFAR's authors do, and return its name and checksum as torchvision lists them."""
    path.write_bytes(pickle.dumps(content))
    return [path.name, hashlib.md5(path.read_bytes()).hexdigest()]


def cifar(root: Path, monkeypatch: pytest.MonkeyPatch, name: str, key: str, classes: list[str]) -> np.ndarray:
    """Write a small data set in CIFAR's layout: 4 training images, 2 test images."""
    kind = getattr(torchvision.datasets, name)
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
    parts = {"train_list": (pixels[:4], [0, 1, 0, 1]), "test_list": (pixels[4:], [1, 0])}
    for part, (images, labels) in parts.items():
        content = {"data": images.reshape(len(images), -1), key: labels}
        monkeypatch.setattr(kind, part, [write(folder / part, content)])
    file, checksum = write(folder / "meta", {kind.meta["key"]: classes})
    monkeypatch.setattr(kind, "meta", {"filename": file, "key": kind.meta["key"], "md5": checksum})
    return pixels


@pytest.mark.parametrize(
    ("name", "key", "dataset"), [("CIFAR10", "labels", CIFAR10), ("CIFAR100", "fine_labels", CIFAR100)]
)
def test_cifar_is_read_from_torchvision_s_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, key: str, dataset: type[Dataset]
):
    pixels = cifar(tmp_path, monkeypatch, name, key, ["frog", "dog"])
    data = dataset(big="rest", small="all", root=str(tmp_path), small_per_class=2, draw="first")
    assert isinstance(data.images, InMemoryImages)
    assert torch.equal(data.images.pixels, torch.from_numpy(pixels))
    assert data.images.labels.tolist() == [0, 1, 0, 1, 1, 0]
    assert data.class_names == ["frog", "dog"]
    assert data.test.tolist() == [4, 5]
    assert data.sample(0)[0].tolist() == [0, 2, 1, 3]
    assert data.big.numel() == 0


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write bytes in MNIST's format: two zeros, the type (8: bytes), the number of axes, their lengths, the values."""
    path.write_bytes(bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes() + values.tobytes())


def write_mnist(folder: Path) -> None:
    """Write a small data set in MNIST's format: 4 training images, 2 test images."""
    folder.mkdir(parents=True)
    for name, part in (("train", slice(0, 4)), ("t10k", slice(4, 6))):
        write_idx(folder / f"{name}-images-idx3-ubyte", PIXELS[part])
        write_idx(folder / f"{name}-labels-idx1-ubyte", LABELS[part])


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve a folder of packed files, from which torchvision downloads MNIST; return the folder."""
    folder, resources = tmp_path / "mirror", []
    write_mnist(folder)
    for path in sorted(folder.iterdir()):
        packed = path.with_suffix(".gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        resources.append((packed.name, hashlib.md5(packed.read_bytes()).hexdigest()))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def check_images(data: Dataset) -> None:
    assert isinstance(data.images, InMemoryImages)
    assert torch.equal(data.images.pixels, torch.from_numpy(PIXELS)[:, None])
    assert data.images.labels.tolist() == LABELS.tolist()
    assert data.images.test.tolist() == [False] * 4 + [True] * 2
    assert not data.images.val.any()


@pytest.mark.parametrize(("dataset", "classes"), [(MNIST, ["3", "7"]), (FashionMNIST, ["Dress", "Sneaker"])])
def test_mnist_is_read_from_torchvision_s_layout(tmp_path: Path, dataset: type[Dataset], classes: list[str]):
    write_mnist(tmp_path / dataset.__name__ / "raw")
    data = dataset(big=[], small=classes, root=str(tmp_path), small_per_class=1, draw="first")
    check_images(data)
    assert data.class_names == classes
    assert data.test.tolist() == [4, 5]
    assert data.sample(0)[0].tolist() == [1, 0]


@pytest.mark.usefixtures("mirror")
def test_missing_files_are_downloaded_into_root_and_found_there_again(tmp_path: Path):
    for download in (True, False):
        load.torchvision.cache_clear()
        check_images(MNIST(big=[], small=[3, 7], root=str(tmp_path), small_per_class=1, download=download))


@pytest.mark.parametrize(
    ("damage", "reason"), [("absent", "HTTP Error 404"), ("damaged", "File not found or corrupted")]
)
def test_a_failed_download_gives_its_reason_and_what_to_try(tmp_path: Path, mirror: Path, damage: str, reason: str):
    for path in mirror.iterdir():
        path.unlink() if damage == "absent" else path.write_bytes(b"x")
    with pytest.raises(GraftError) as caught:
        load.torchvision("MNIST", str(tmp_path), True)
    message = str(caught.value)
    assert f"no MNIST under dataset.root={tmp_path}, and it could not be downloaded (" in message
    assert reason in message
    assert "\n" not in message
    assert "try dataset.root=DIR with torchvision's MNIST in it, or dataset=mnist5k" in message


@pytest.mark.parametrize("name", ["MNIST", "CIFAR10"])
def test_without_download_missing_files_are_refused(tmp_path: Path, name: str):
    with pytest.raises(GraftError, match=rf"no {name} under dataset.root=.*, and dataset.download=false \(Dataset not"):
        load.torchvision(name, str(tmp_path), False)
    assert list(tmp_path.iterdir()) == []


def test_one_class_folder_is_refused(tmp_path: Path):
    write_classes(tmp_path, photos=3)
    with pytest.raises(GraftError, match=r"one class only, photos; add a folder of images for each other class$"):
        load.image_folder(load.Where(str(tmp_path), False, False, None, Reading()))


@pytest.mark.parametrize("inside", [{"photos_cat": 2, "photos_dog": 2}, {"photos_train_cat": 2}])
def test_a_folder_above_the_class_folders_is_refused_with_the_one_below(tmp_path: Path, inside: dict[str, int]):
    write_classes(tmp_path, **inside)
    with pytest.raises(GraftError, match=rf"one class only, photos; .*, or try dataset.root={tmp_path}/photos if its"):
        load.image_folder(load.Where(str(tmp_path), False, False, None, Reading()))


def test_the_user_s_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_classes(tmp_path / "photos", cat=3, dog=3)
    assert ImageFolder(big=[], small="all", root="~/photos", small_per_class=1).class_names == ["cat", "dog"]
    write_mnist(tmp_path / "data" / "MNIST" / "raw")
    check_images(MNIST(big=[], small=[3, 7], root="~/data", small_per_class=1))


@pytest.mark.parametrize("part", ["train", "t10k"])
@pytest.mark.parametrize("kind", ["images-idx3", "labels-idx1"])
@pytest.mark.parametrize("length", [0, 2, 7, 8, 15, 16, -1])
def test_truncated_files_of_mnist_are_one_line(tmp_path: Path, part: str, kind: str, length: int):
    folder = tmp_path / "MNIST" / "raw"
    write_mnist(folder)
    path = folder / f"{part}-{kind}-ubyte"
    path.write_bytes(path.read_bytes()[: length if len(path.read_bytes()) > length else -1])
    with pytest.raises(GraftError, match=r"^MNIST under dataset.root=.* is damaged \(.+\); remove .*raw, and try"):
        load.torchvision("MNIST", str(tmp_path), False)


def test_files_of_mnist_that_are_not_each_other_s_are_refused(tmp_path: Path):
    folder = tmp_path / "MNIST" / "raw"
    write_mnist(folder)
    write_idx(folder / "train-labels-idx1-ubyte", LABELS[4:])
    with pytest.raises(GraftError, match="not as many labels as images"):
        load.torchvision("MNIST", str(tmp_path), False)


def test_a_truncated_file_of_the_small_digits_is_one_line(tmp_path: Path):
    (tmp_path / "mnist_5k.csv.gz").write_bytes(gzip.compress(b"0,1,2\n" * 5000)[:-9])
    with pytest.raises(GraftError, match=r"has a damaged mnist_5k.csv.gz, .* \(.+\); try dataset.root=null"):
        load.mnist5k(str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"pixels": torch.rand(4, 1, 8, 8)},
            r"pixels of float32 of the shape \(4, 1, 8, 8\) for 4 labels; expected are",
        ),
        ({"pixels": torch.zeros(4, 8, 8, dtype=torch.uint8)}, r"of the shape \(4, 8, 8\)"),
        ({"pixels": torch.zeros(5, 1, 8, 8, dtype=torch.uint8)}, r"of the shape \(5, 1, 8, 8\) for 4 labels"),
        ({"labels": torch.tensor([0, 1, 2, 0])}, "labels of int64 for 2 classes"),
        ({"labels": torch.tensor([0.0, 1, 1, 0])}, "labels of float32"),
        ({"test": torch.zeros(3, dtype=torch.bool)}, r"lengths of \[3, 4\]"),
    ],
)
def test_images_that_do_not_fit_together_are_refused(changes: dict[str, torch.Tensor], message: str):
    none = torch.zeros(4, dtype=torch.bool)
    pixels = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    images = InMemoryImages(torch.tensor([0, 1, 1, 0]), none, none, ("cat", "dog"), pixels)
    assert load.checked(images) is images
    with pytest.raises(GraftError, match=message):
        load.checked(dataclasses.replace(images, **changes))  # type: ignore[arg-type]


def test_what_is_no_data_set_s_images_is_refused():
    class Own(Dataset):
        def load(self, where: load.Where) -> Any:
            return [where]

    with pytest.raises(GraftError, match=r"the data set's load gives a list; expected are graft\.data\.images"):
        Own(big=[], small=[0])
