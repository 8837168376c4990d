import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import graft
from graft.data.dataset import MNIST5k
from graft.errors import GraftError
from graft.results.outcomes import read_outcomes


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> graft.JobResult:
    folder = tmp_path_factory.mktemp("model")
    overrides = {"source": "scratch", "trials": 2, "epochs": 1, "keep_weights": "all", "cache": folder / "cache"}
    return graft.run(overrides, folder=folder / "job").best


@pytest.fixture
def images(digits: MNIST5k) -> torch.Tensor:
    pixels = digits.images.read(digits.test)
    assert isinstance(pixels, torch.Tensor)
    return pixels


@pytest.mark.slow
def test_it_says_what_the_job_s_trials_said(job: graft.JobResult, images: torch.Tensor):
    model, stored = job.model(), read_outcomes(job.folder)
    assert stored is not None
    said = model.probabilities(images)
    assert said.shape == (2, 1250, 5)
    assert (said.argmax(2).numpy() == stored.test.prediction).mean() > 0.999  # ties, and rounding
    table = model.predict(images)
    assert list(table.columns) == ["class", "probability", "second", "agreement"]
    mean = said.mean(0)
    assert list(table["class"]) == [model.classes[each] for each in mean.argmax(1)]
    assert table["probability"].to_numpy() == pytest.approx(mean.amax(1).numpy())
    assert set(table["agreement"]) <= {0.0, 0.5, 1.0}  # 0: the mean of two trials may be a class of neither
    assert not set(zip(table["class"], table["second"], strict=True)) & {(name, name) for name in model.classes}


def test_files_folders_pictures_and_arrays_are_the_same_images(
    job: graft.JobResult, images: torch.Tensor, tmp_path: Path
):
    model, few = job.model(), images[::400]
    expected = model.predict(few)
    pictures = [Image.fromarray(image[0].numpy()) for image in few]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no image")
    paths = sorted(tmp_path.glob("*.png"))
    for same in (few.numpy(), few[:, 0].numpy() / 255, pictures):
        assert model.predict(same).equals(expected)
    for named in (paths, [str(path) for path in paths], tmp_path):
        table = model.predict(named)
        assert list(table.pop("file")) == list(map(str, paths))
        assert table.pop("error").isna().all()
        assert table.equals(expected)
    exif = Image.Exif()
    exif[0x0112] = 6  # as a camera that was held upright stores pictures: lying, to be turned by 90 degrees
    lying = tmp_path / "lying.png"
    pictures[0].transpose(Image.Transpose.ROTATE_90).save(lying, exif=exif)
    for same in ([Image.open(lying)], [lying]):
        # A batch of one image is computed in another order on some processors.
        assert model.predict(same)["probability"].tolist() == pytest.approx(expected["probability"].tolist()[:1])
    larger = np.repeat(np.repeat(few.numpy(), 2, axis=2), 2, axis=3)
    assert len(model.predict(larger)) == len(few)


def test_what_cannot_be_read_has_its_reason_in_its_row(job: graft.JobResult, images: torch.Tensor, tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    Image.fromarray(np.full((28, 28), 4000, np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(images[0, 0].numpy()).save(tmp_path / "good.png")
    table = job.model().predict([tmp_path / f"{name}.png" for name in ("broken", "deep", "good", "none")])
    assert [str(error).split(",")[0] for error in table["error"].fillna("")] == [
        "its content is no image that Pillow reads",
        "more than 8 bits a channel",
        "",
        "there is no such file",
    ]
    assert table["class"].isna().tolist() == [True, True, False, True]


def test_what_cannot_be_predicted_is_refused(job: graft.JobResult, images: torch.Tensor, tmp_path: Path):
    model = job.model()
    with pytest.raises(GraftError, match=r"no\.png"):
        model.predict("no.png")
    with pytest.raises(GraftError, match='images must be named, got ""'):
        model.predict("")
    with pytest.raises(GraftError, match="there are no images"):
        model.predict([])
    with pytest.raises(GraftError, match="coverage must be a number above 0 and below 1, got 95"):
        model.predict(images[:1], coverage=95)
    with pytest.raises(GraftError, match=r"got '0\.9'"):
        model.predict(images[:1], coverage="0.9")  # type: ignore[arg-type]
    with pytest.raises(GraftError, match=r"dataset\.val_per_class=20"):  # the job has no validation images
        model.predict(images[:1], coverage=0.9)


def test_three_gray_images_may_be_one_in_color(job: graft.JobResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = job.model()
    assert len(model.predict(np.zeros((3, 28, 28), np.uint8))) == 3  # its images are gray
    monkeypatch.setattr(model.trained, "image_shape", (3, 28, 28))
    for one in (np.zeros((3, 28, 28), np.uint8), torch.zeros(3, 28, 28, dtype=torch.uint8)):
        with pytest.raises(GraftError, match=r"\(3, 28, 28\) is one image .* or three gray ones; try images\[None\]"):
            model.predict(one)


def test_a_saved_model_is_a_job_s_folder(job: graft.JobResult, images: torch.Tensor, tmp_path: Path):
    model = job.model()
    saved = graft.read(model.save(tmp_path / "saved")).best.model()
    assert saved.predict(images[:9]).equals(model.predict(images[:9]))
    assert repr(saved) == f"Model(5 classes, 2 trials, folder={str(tmp_path / 'saved')!r})"
    with pytest.raises(GraftError, match="exists; try another folder"):
        model.save(tmp_path / "saved")
    with pytest.raises(GraftError, match=r"cannot be written \(.*\); try another folder"):
        model.save("/proc/saved")
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_novelty_of_a_job_that_froze_nothing_is_refused_with_what_would_have_it(
    job: graft.JobResult, images: torch.Tensor
):
    with pytest.raises(GraftError, match="the job has frozen none; try a job with tune=frozen"):
        job.model().predict(images[:1], novelty=True)


def test_bytes_that_look_black_are_told(job: graft.JobResult, images: torch.Tensor):
    model, few = job.model(), images[::400].numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(few // 2)
    for said in (model.predict, model.probabilities):
        with pytest.warns(UserWarning, match="the brightest of all pixels is 1 of 255") as caught:
            said((few > 127).astype(np.uint8))
        assert [Path(each.filename) for each in caught] == [Path(__file__)]
