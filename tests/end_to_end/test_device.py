"""Jobs on a device that stands for a GPU: nothing mixes its tensors with the CPU's, and the numbers are the CPU's."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
import torch
from conftest import ROOT
from PIL import Image
from torch.utils.cpp_extension import is_ninja_available

from graft.data.dataset import MNIST5k

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None or not is_ninja_available(), reason="no C++ compiler, or no ninja"),
]

TINY = ("trials=2", "epochs=2", "source.epochs=1", "source.batch_size=64")
ON_DEVICE = "trainer.accelerator=stand_in"


class Device:
    """Runs programs with the device, in one folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def run(self, program: str, *words: str) -> tuple[int, str]:
        """Return the number of operations on the device, and what the program prints."""
        command = [sys.executable, str(ROOT / "tests/stand_in/device.py"), "built", str(ROOT / f"src/{program}.py")]
        done = subprocess.run([*command, *words], cwd=self.folder, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        *_, last = done.stderr.splitlines()
        return int(last.removesuffix(" operations on stand_in")), done.stdout

    def accuracies(self, name: str) -> list[float]:
        result = json.loads((self.folder / "outputs" / name / "result.json").read_text())
        return [trial["accuracy"] for trial in result["trials"]]


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Device:
    return Device(tmp_path_factory.mktemp("device"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("solved", ("head=solved",)),
        ("points", ("head=knn", "dataset.val_per_class=10")),
        (
            "thawed",
            (
                *("head=dense", "dropout=0.5", "tune=thaw", "augment=digits", "lr=auto", "tune.lr=auto"),
                *("regularize.mixup=0.2", "regularize.cutmix=1", "regularize.ema=0.5"),
            ),
        ),
        ("stopped", ("dataset.val_per_class=10", "stop.patience=1", "weights=best", "trials_at_once=1")),
        (
            "views",
            (
                "dataset.folds=2",
                "dataset.test_per_class=null",
                "augment=digits",
                "augment.test_views=2",
                "report.explain=1",
            ),
        ),
        ("mixed", ("trainer.precision=bf16-mixed", "tune=full", "class_weights=balanced")),
    ],
)
def test_a_job_has_the_cpu_s_numbers(device: Device, name: str, words: tuple[str, ...]):
    assert device.run("train", *TINY, *words, f"name={name}", ON_DEVICE)[0] > 1000
    assert device.run("train", *TINY, *words, f"name={name}_cpu")[0] == 0
    # Sums have another order, because on a GPU all trials take each step at once.
    assert device.accuracies(name) == pytest.approx(device.accuracies(f"{name}_cpu"), abs=0.01)


@pytest.mark.parametrize("head", ["dense", "logistic", "knn"])
def test_a_finished_job_predicts_as_on_the_cpu(device: Device, tmp_path: Path, digits: MNIST5k, head: str):
    pixels = digits.images.read(torch.arange(0, 5000, 100))
    assert isinstance(pixels, torch.Tensor)
    for number, image in enumerate(pixels):
        Image.fromarray(image[0].numpy()).save(tmp_path / f"{number}.png")
    device.run(
        *("train", *TINY, "keep_weights=all", "dataset.val_per_class=20"), f"head={head}", f"name={head}", ON_DEVICE
    )
    rows = {}
    for kind in ("stand_in", "cpu"):
        words = (f"run=outputs/{head}", f"images={tmp_path}", "coverage=0.8", "novelty=true")
        operations, _ = device.run("predict", *words, f"device={kind}", f"output={tmp_path}/{kind}.csv")
        assert (operations > 0) == (kind == "stand_in")
        rows[kind] = pandas.read_csv(tmp_path / f"{kind}.csv")
    assert len(rows["cpu"]) == 50
    pandas.testing.assert_frame_equal(rows["stand_in"], rows["cpu"], rtol=1e-3)


def test_a_sweep_s_winner_is_trained_again_on_the_device(device: Device):
    device.run("train", *TINY, "-m", "head=plain,dense", "name=sweep", ON_DEVICE)  # with a baseline that is solved
    operations, printed = device.run("train", "run=outputs/sweep", "refit=all", ON_DEVICE)
    assert operations > 0
    assert "written to" in printed
