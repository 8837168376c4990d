"""A job's model, loaded from its folder, says of the test images what the job stored of them."""

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from graft.data.dataset import MNIST5k
from graft.errors import GraftError
from graft.inference import frozen_weights
from graft.inference.load import load
from graft.inference.trained_model import TrainedModel
from graft.results.outcomes import read_outcomes
from graft.run import model_writer
from graft.run.job import run as train

Run = Callable[..., dict]
TINY = ("trials=2", "epochs=1", "source.epochs=1")


def check_same(model: TrainedModel, folder: Path, images: torch.Tensor) -> None:
    """Compare a model's probabilities of test images with those that its job stored."""
    stored = read_outcomes(folder)
    assert stored is not None
    rows = [stored.seeds.index(seed) for seed in model.seeds]
    found = model.probabilities(images)
    assert found.shape == (len(rows), len(images), len(model.classes))
    assert (found.argmax(2).numpy() == stored.test.prediction[rows]).all()
    assert stored.test.probability is not None
    np.testing.assert_allclose(found.numpy(), stored.test.probability[rows], atol=1e-3)


@pytest.mark.parametrize(
    "overrides",
    [
        ("head=dense512", "keep_weights=all"),
        ("tune.thaw=1", "keep_weights=best"),
        ("source=scratch", "backbone.keep=1"),
        ("head=ridge", "keep_weights=whole"),
        ("head=knn", "keep_weights=best"),
        ("head=kernel_ridge", "keep_weights=all"),
        ("backbone=cnn5", "tune=full", "source=scratch"),  # batch norm of each trial's own
        ("head=solved", "backbone.pool=concat", "backbone.features=[1,2]", "keep_weights=all"),
        ("backbone=thumbnail", "source=scratch", "keep_weights=all"),
    ],
)
def test_a_loaded_model_says_what_its_job_said(run: Run, tmp_path: Path, digits: MNIST5k, overrides: tuple[str, ...]):
    scratch = "source=scratch" in overrides
    run(*[word for word in TINY if not (scratch and word.startswith("source"))], *overrides)
    model = load(tmp_path / "job")
    assert len(model.seeds) == len(model.networks) == (1 if overrides[-1].endswith(("best", "whole")) else 2)
    assert model.classes == ["1", "3", "5", "7", "9"]
    assert model.image_shape == (1, 28, 28)
    images = digits.images.read(digits.test)
    assert isinstance(images, torch.Tensor)
    check_same(model, tmp_path / "job", images)
    torch.testing.assert_close(model.logits(list(images[:2])), model.logits(images[:2]))
    assert not any(module.training for module in model.train().modules())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a job and its cache, which has its frozen stages, as it has those of large backbones."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "job").mkdir()
    with pytest.MonkeyPatch.context() as patch, initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        patch.setattr(model_writer, "MAX_FROZEN_BYTES", 0)
        cfg = compose("train", ["name=job", f"cache={folder}/cache", "keep_weights=best", *TINY])
        train(cfg, folder / "job")
    return folder


@pytest.fixture
def job(trained: Path, tmp_path: Path) -> Path:
    """A copy of the job, beside a copy of its cache."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    model = (tmp_path / "job" / "model.yaml").read_text().replace(str(trained), str(tmp_path))
    (tmp_path / "job" / "model.yaml").write_text(model)
    return tmp_path / "job"


def test_frozen_weights_are_found_by_their_content_wherever_they_are(
    job: Path, digits: MNIST5k, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    images = digits.images.read(digits.test)
    assert isinstance(images, torch.Tensor)
    check_same(load(job), job, images)
    (stored,) = (tmp_path / "cache" / "frozen").iterdir()
    moved = tmp_path / "elsewhere" / "sent"
    shutil.copytree(job, moved)
    elsewhere = tmp_path / "my.safetensors"
    shutil.move(stored, elsewhere)
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(GraftError) as refused:
        load(moved)
    for said in (stored.name, str(moved / "frozen.safetensors"), "weights=FILE", "keep_weights=whole"):
        assert said in str(refused.value)
    check_same(load(moved, weights=elsewhere), job, images)
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "mine"))
    (tmp_path / "mine" / "frozen").mkdir(parents=True)
    shutil.copy(elsewhere, tmp_path / "mine" / "frozen" / stored.name)
    check_same(load(moved), job, images)
    shutil.rmtree(tmp_path / "mine")
    shutil.copy(elsewhere, moved / "frozen.safetensors")
    check_same(load(moved), job, images)


def test_other_weights_under_the_right_name_are_not_taken(job: Path, tmp_path: Path):
    (stored,) = (tmp_path / "cache" / "frozen").iterdir()
    tensors = frozen_weights.read_tensors(stored)
    assert tensors is not None
    name = next(iter(tensors))
    frozen_weights.write_tensors(stored, {**tensors, name: tensors[name] + 1e-6})
    with pytest.raises(GraftError, match=f"{stored.name}: other weights"):
        load(job)


def test_a_folder_of_version_0_1_names_its_frozen_weights_by_a_path(job: Path, tmp_path: Path, digits: MNIST5k):
    (stored,) = (tmp_path / "cache" / "frozen").iterdir()
    model = yaml.safe_load((job / "model.yaml").read_text())
    for key in ("frozen", "reading", "kept", "precision", "test_views"):
        del model[key]
    (job / "model.yaml").write_text(yaml.safe_dump({**model, "frozen_weights": str(stored)}))
    result = json.loads((job / "result.json").read_text())
    result["config"]["dataset"] |= {"fit": "pad", "bits": 12}
    (tmp_path / "padded").mkdir()
    for name in ("model.yaml", "weights.safetensors"):
        shutil.copy(job / name, tmp_path / "padded" / name)
    (tmp_path / "padded" / "result.json").write_text(json.dumps(result))
    reading = load(tmp_path / "padded").config["reading"]
    assert (reading["fit"], reading["bits"]) == ("pad", 12)
    images = digits.images.read(digits.test)
    assert isinstance(images, torch.Tensor)
    check_same(load(job), job, images)


@pytest.mark.parametrize("typed", ["bilinear", "bicubic"])
def test_files_are_read_with_the_job_s_interpolation(run: Run, tmp_path: Path, typed: str):
    random = np.random.default_rng(0)
    for place in range(12):
        path = tmp_path / "data" / ("cat", "dog")[place % 2] / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (30, 30 + place, 3), dtype=np.uint8)).save(path)
    words = ("dataset=image_folder", f"dataset.root={tmp_path}/data", "dataset.size=20", "dataset.small_per_class=2")
    run(*words, f"dataset.interpolation={typed}", "source=scratch", "epochs=1", "trials=1", "keep_weights=all")
    model = load(tmp_path / "job")
    Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "new.png")
    found = model.read(tmp_path / "new.png")
    assert isinstance(found, torch.Tensor)
    expected = Image.open(tmp_path / "new.png").resize((20, 20), Image.Resampling[typed.upper()])
    np.testing.assert_array_equal(found.permute(1, 2, 0), np.asarray(expected))


def test_a_zip_of_the_folder_is_as_good(job: Path, tmp_path: Path, digits: MNIST5k):
    (stored,) = (tmp_path / "cache" / "frozen").iterdir()
    shutil.move(stored, job / "frozen.safetensors")
    (job / "hub").mkdir()
    shutil.copy(job / "model.yaml", job / "hub")  # of an export for the hub, which is no second job
    shutil.make_archive(str(tmp_path / "sent"), "zip", tmp_path, "job")
    images = digits.images.read(digits.test)
    assert isinstance(images, torch.Tensor)
    check_same(load(tmp_path / "sent.zip"), job, images)


@pytest.mark.parametrize("name", ["../model.yaml", "/etc/model.yaml", "job\\..\\..\\x"])
def test_a_zip_whose_names_lead_out_of_it_is_not_unpacked(tmp_path: Path, name: str):
    with zipfile.ZipFile(tmp_path / "sent.zip", "w") as archive:
        archive.writestr("job/model.yaml", "x: 1")
        archive.writestr(name, "x: 1")
    with pytest.raises(GraftError, match="lead out of its folder"):
        load(tmp_path / "sent.zip")


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


def test_a_pickle_in_the_place_of_weights_runs_nothing(job: Path, tmp_path: Path):
    (stored,) = (tmp_path / "cache" / "frozen").iterdir()
    fuse = tmp_path / "ran"
    torch.save({"frozen.stage1.0.weight": Bomb(fuse)}, stored)
    (job / "frozen.safetensors").write_bytes(pickle.dumps(Bomb(fuse)))
    with pytest.raises(GraftError, match="weights of the frozen layers"):
        load(job)
    for place in (stored, job / "frozen.safetensors"):
        with pytest.raises(GraftError, match="weights of the frozen layers"):
            load(job, weights=place)
    for bomb in (stored, job / "frozen.safetensors"):
        shutil.copy(bomb, job / "weights.safetensors")
        with pytest.raises(GraftError, match="no safetensors file"):
            load(job)
    assert not fuse.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"head._target_": "os.system"}, "outside of graft, torchvision, timm"),
        ({"head._target_": "graft.files.os.system"}, "no network"),
        ({"head._target_": "graft.files.write_text", "head.path": "x"}, "no network"),
        ({"backbone._target_": "subprocess.Popen"}, "outside of"),
        ({"backbone.preprocess._target_": "builtins.exec"}, "outside of"),
        ({"head.activation": {"_target_": "os.system", "command": "true"}}, "outside of"),
        ({"head._target_": "graft.head.Dense", "head.widths": "wide"}, "cannot be built"),
        ({"frozen_stages": 9}, "frozen_stages must be at most 2"),
        ({"image": [1, 28]}, "image must be"),
        ({"classes": []}, "has no classes"),
        ({"classes": ["a", "b"]}, "head.num_classes of them"),
        ({"reading.fit": "../x"}, "reading.fit must be one of crop, squash, pad"),
        ({"reading.white": {"whole": 0, "real": 1}}, "reading.white must have positive numbers"),
        ({"reading.max_pixels": "all"}, "reading.max_pixels must be"),
        ({"reading.interpolation": "lanczos"}, "reading.interpolation must be bilinear or bicubic, got lanczos"),
        ({"test_views": "many"}, "test_views must be"),
        ({"frozen.cache": "/tmp/../etc"}, "without '..'"),
        ({"frozen.cache": "cache"}, "absolute path"),
        ({"frozen.cache": r"C:\a\..\etc"}, "without '..'"),
        ({"frozen.sha256": "../../x"}, "must be a SHA-256"),
        ({"backbone.keep": 1, "frozen_stages": 1}, "not as in model.yaml"),
    ],
)
def test_a_model_file_that_names_something_else_is_refused(job: Path, change: dict[str, object], said: str):
    model = OmegaConf.load(job / "model.yaml")
    for key, value in change.items():
        OmegaConf.update(model, key, value, merge=False, force_add=True)
    OmegaConf.save(model, job / "model.yaml")
    with pytest.raises(GraftError, match=said):
        load(job)


@pytest.mark.parametrize("cache", ["/data/cache", r"C:\Users\me\outputs\cache", r"\\server\share\cache"])
def test_a_job_is_loaded_on_another_system_than_it_was_trained_on(job: Path, cache: str):
    model = OmegaConf.load(job / "model.yaml")
    OmegaConf.update(model, "frozen.cache", cache, force_add=True)
    OmegaConf.save(model, job / "model.yaml")
    assert load(job).classes


@pytest.mark.parametrize(
    "text",
    ["!!python/object/apply:os.system ['touch ran']", "a: &a [1]\nb: *a", "{", "[1]", "x: 1", "a: ${oc.env:HOME}"],
)
def test_a_model_file_is_plain_yaml(job: Path, text: str):
    (job / "model.yaml").write_text(text)
    with pytest.raises(GraftError, match=r"model.yaml"):
        load(job)
    assert not Path("ran").exists()


def test_a_network_of_the_user_s_own_needs_their_word(job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "own_heads.py").write_text("from graft.heads.head import Plain\n\n\nclass Mine(Plain): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = (job / "model.yaml").read_text().replace("graft.head.Plain", "own_heads.Mine")
    (job / "model.yaml").write_text(text)
    with pytest.raises(GraftError, match="modules=own_heads"):
        load(job)
    assert load(job, ["own_heads"]).networks[0].get_submodule("head").__class__.__name__ == "Mine"


def test_a_folder_without_a_model_says_what_it_is(job: Path, tmp_path: Path):
    with pytest.raises(GraftError, match=r"there is no .*nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(GraftError, match="is no folder of a finished job"):
        load(tmp_path)
    (job / "weights.safetensors").unlink()  # as keep_weights=none does
    with pytest.raises(GraftError, match="keep_weights=none has left them out"):
        load(job)
