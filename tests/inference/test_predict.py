"""Predictions of files that are what they seem, and of those that are not."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from graft.backbones.backbone import CNN
from graft.data.preprocess import Preprocess
from graft.errors import GraftError
from graft.heads.head import Plain
from graft.inference import predict
from graft.inference.image_list import Item
from graft.inference.predict import Predictor, Row
from graft.inference.trained_model import TrainedModel

CLASSES = ["cat", "dog", "hen"]


def make_model(trials: int = 3, channels: int = 3, frozen: int = 1, **config: object) -> TrainedModel:
    backbone = CNN(Preprocess([channels, 16, 16]))
    front, _ = backbone.split(frozen)
    networks = []
    for _ in range(trials):
        rest = CNN(Preprocess([channels, 16, 16])).split(frozen)[1]
        networks.append(nn.Sequential(rest, Plain(backbone.num_features(), len(CLASSES))))
    about = {"classes": CLASSES, "seeds": list(range(trials)), "image": [channels, 16, 16], "frozen_stages": frozen}
    return TrainedModel(front, networks, {**about, **config}, Path("job"))


def write_pictures(folder: Path, count: int) -> list[Item]:
    noise = np.random.default_rng(0)
    items = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.fromarray(noise.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
        items.append(Item(path.name, path))
    return items


@pytest.mark.parametrize("batch_size", [1, 4, 7, None])
@pytest.mark.parametrize("threads", [1, 3])
def test_rows_are_the_mean_of_the_trials_in_the_order_of_the_images(tmp_path: Path, batch_size: int, threads: int):
    model, items = make_model(), write_pictures(tmp_path, 10)
    pixels = torch.stack([torch.from_numpy(np.array(Image.open(item.path))).permute(2, 0, 1) for item in items])
    expected = model.probabilities(pixels)
    found = [row for _, row in Predictor(model, torch.device("cpu"), None, batch_size, threads).rows(items)]
    mean = expected.mean(0)
    assert [row.file for row in found] == [item.name for item in items]
    assert [row.class_name for row in found] == [CLASSES[index] for index in mean.argmax(1)]
    assert [row.second for row in found] == [CLASSES[index] for index in mean.topk(2).indices[:, 1]]
    np.testing.assert_allclose(np.array([row.probability for row in found]), mean.amax(1), atol=1e-6)
    votes = (expected.argmax(2) == mean.argmax(1)).float().mean(0)
    np.testing.assert_allclose(np.array([row.agreement for row in found]), votes)


def test_an_output_that_is_no_number_is_no_class(tmp_path: Path):
    model, items = make_model(), write_pictures(tmp_path, 2)
    next(model.networks[1].parameters()).data.fill_(float("nan"))
    rows = [row for _, row in Predictor(model, torch.device("cpu")).rows(items)]
    assert rows == [Row(item.name, error="the network's output for it is NaN or infinite") for item in items]


def test_one_trial_agrees_with_nobody(tmp_path: Path):
    (_, row), *_ = Predictor(make_model(trials=1)).rows(write_pictures(tmp_path, 1))
    assert row.agreement is None
    assert row.class_name


def test_images_are_read_as_in_training(tmp_path: Path):
    picture = Image.new("L", (32, 16))
    picture.paste(255, (0, 0, 8, 16))  # its left quarter, which a crop loses
    picture.save(tmp_path / "wide.png")
    Image.fromarray(np.full((16, 16), 4095, np.uint16)).save(tmp_path / "deep.png")
    seen = []
    whites = ({"whole": 65535, "real": 1}, {"whole": 4095, "real": 1})
    for reading in ({"fit": "crop", "white": whites[0]}, {"fit": "squash", "white": whites[1]}):
        predictor = Predictor(make_model(channels=1, reading=reading), torch.device("cpu"))
        original = predictor.features
        predictor.features = lambda pixels, original=original: seen.append(pixels) or original(pixels)
        list(predictor.rows([Item(name, tmp_path / name) for name in ("wide.png", "deep.png")]))
    crop, squash = seen
    assert crop[0].float().mean() == 0
    assert squash[0].float().mean() == pytest.approx(64, abs=2)
    assert crop[1].unique().tolist() == [16]  # 4,095 of 65,535
    assert squash[1].unique().tolist() == [255]


@pytest.mark.parametrize(
    ("values", "kept", "said"),
    [
        (np.full((16, 16), 4096, np.uint16), 4095, "its values reach 4,096, but 4,095 is white in the job's images"),
        (np.full((16, 16), 200, np.float32), 1.5, "its values reach 200, but 1 is white in the job's images"),
    ],
)
def test_values_above_white_are_refused_unless_the_job_has_cut_them_off(
    tmp_path: Path, values: np.ndarray, kept: float, said: str
):
    Image.fromarray(values).save(tmp_path / "above.tif")
    Image.fromarray(np.full_like(values, kept)).save(tmp_path / "like.tif")
    reading = {"fit": "crop", "white": {"whole": 4095, "real": 1}}
    for bits, error in (("auto", f"{said}; convert it"), (12, "")):
        model = make_model(channels=1, reading=reading | {"bits": bits})
        rows = list(Predictor(model).rows([Item(name, tmp_path / name) for name in ("above.tif", "like.tif")]))
        assert [row.error for _, row in rows] == [error, ""]
        if not error:
            for name in ("above.tif", "like.tif"):
                pixels = model.read(tmp_path / name)
                assert isinstance(pixels, torch.Tensor)
                assert (pixels == 255).all()


def test_memory_holds_a_few_batches_however_many_images_there_are(tmp_path: Path):
    (item,) = write_pictures(tmp_path, 1)
    drawn = 0

    def endless() -> Iterator[Item]:
        nonlocal drawn
        while True:
            drawn += 1
            yield item

    rows = Predictor(make_model(), torch.device("cpu"), batch_size=5).rows(endless())
    for _ in range(12):
        next(rows)
    assert drawn <= 5 * (3 + predict.AHEAD + 1)
    rows.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("precision", ["bf16-mixed", None])
def test_half_precision_is_that_of_the_test_or_of_the_whole_pass(
    tmp_path: Path, precision: str | None, monkeypatch: pytest.MonkeyPatch
):
    model, pixels = make_model(precision="bf16-mixed"), torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    types = []
    model.frozen.register_forward_hook(lambda *values: types.append(values[-1].dtype))
    model.networks[0].register_forward_hook(lambda *values: types.append(values[-1].dtype))
    found = Predictor(model, torch.device("cpu"), precision).probabilities(pixels)
    assert types == [torch.bfloat16 if precision else torch.float32, torch.bfloat16]
    torch.testing.assert_close(found, model.probabilities(pixels), atol=0.02, rtol=0)


def test_a_device_or_precision_that_is_not_there_is_refused():
    with pytest.raises(GraftError, match="needs a GPU"):
        Predictor(make_model(), torch.device("cpu"), "16-mixed")
    assert Predictor(make_model(precision="16-mixed"), torch.device("cpu")).precision == "32-true"
    if not torch.cuda.is_available():
        with pytest.raises(GraftError, match="device=cuda:7 cannot be used"):
            Predictor(make_model(), torch.device("cuda:7"))


SCRIPTS = (
    *("фото", "照片"),
    *("صورة", "תמונה", "चित्र", "é", "🐈", "a b", "a,b", 'a"b', "a\nb", "-x", "x=y", "[1]", "%s", "$x", "~"),
)
STARTS = [b"", b"\x00", b"GIF89a", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"<svg/>", b"BM"]
MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "I;16", "F"]


def hostile(folder: Path, number: int, random: random.Random) -> Path:
    """Write the next of many files that are hardly images, or none."""
    kind = number % 10
    path = (
        folder
        / f"{SCRIPTS[number % len(SCRIPTS)]}{number}{random.choice(['.png', '.jpg', '.tif', '', '.txt', '.PNG'])}"
    )
    mode = MODES[number % len(MODES)]
    formats = [each for each in ("PNG", "TIFF", "JPEG", "GIF", "WEBP", "BMP") if _saves(mode, each)]
    picture = Image.new(mode, (random.choice([1, 2, 16, 300]), random.choice([1, 16, 500])))
    if kind in (0, 1, 2) and formats:
        picture.save(path, random.choice(formats))
    elif kind in (3, 4) and formats:  # cut off, or with other bytes inside
        picture.save(path, random.choice(formats))
        content = bytearray(path.read_bytes())
        if kind == 3:
            del content[random.randrange(len(content)) :]
        else:
            for _ in range(8):
                content[random.randrange(len(content))] = random.randrange(256)
        path.write_bytes(content)
    elif kind == 5:
        path.write_bytes(
            random.choice([b"", b"\x00", b"GIF89a", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"<svg/>", b"BM"])
        )
    elif kind == 6:
        path.mkdir()
    elif kind == 7:
        os.mkfifo(path) if number % 20 == 7 else path.symlink_to(folder / "gone.png")
    elif kind == 8:  # a header that claims 4 billion pixels
        path.write_bytes(b"P5 65535 65535 255\n" + bytes(100))
    elif kind == 9 and number % 20 == 9:
        path = folder / random.choice(["missing.png", "x" * 300, "null\x00byte.png", "bytes\udcff.png"])
    else:
        path.write_bytes(random.randbytes(random.randrange(2000)))
    return path


def _saves(mode: str, kind: str) -> bool:
    import io

    try:
        Image.new(mode, (2, 2)).save(io.BytesIO(), kind)
    except (OSError, ValueError, KeyError):
        return False
    return True


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")
def test_two_hundred_hostile_files_are_two_hundred_rows(tmp_path: Path):
    numbers = random.Random(0)
    items = [Item(str(number), hostile(tmp_path, number, numbers)) for number in range(200)]
    rows = [row for _, row in Predictor(make_model(), torch.device("cpu"), batch_size=16).rows(items)]
    assert [row.file for row in rows] == [item.name for item in items]
    read = [row for row in rows if not row.error]
    assert 40 < len(read) < 160
    for row in rows:
        assert (row == Row(row.file, error=row.error)) if row.error else row.class_name in CLASSES
        assert "\n" not in row.error
        assert len(row.error) < 300
    said = {row.error for row in rows}
    assert {"it is a folder", "it is no regular file", "there is no such file", "empty file"} <= said
    assert any("above the limit" in reason for reason in said)
    assert not any("dataset." in reason for reason in said)


def test_a_file_without_permission_has_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object):
        raise PermissionError(13, "Permission denied")

    items = write_pictures(tmp_path, 1)
    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, who may read every file
    (_, row), *_ = Predictor(make_model()).rows(items)
    assert row.error == "Permission denied"
