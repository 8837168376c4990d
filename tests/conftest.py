"""What several tests need: the bundled digits, jobs run in this process, and the command line."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, open_dict

from graft import process
from graft.data.dataset import MNIST5k
from graft.own_code import forget_own_code
from graft.run import job
from graft.stack import trial_stack
from graft.sweeps.check_sweep import check_sweep

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"

torch.set_num_threads(1)  # CI's machines are shared
os.environ["OMP_NUM_THREADS"] = "1"  # of what tests start


@pytest.fixture
def digits() -> MNIST5k:
    return MNIST5k(big=[0, 2, 4, 6, 8], small=[1, 3, 5, 7, 9], test_per_class=250)


@pytest.fixture(autouse=True)
def seed() -> None:
    """Let a network that a test builds have the same weights each time."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test turn off the bars of the next one."""
    monkeypatch.setattr(process, "_hide_job_bars", False)


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Write the user's own module `ours`, as a new process finds it after an edit."""
    (tmp_path / "code").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "code")

    def edit(source: str) -> None:
        (tmp_path / "code/ours.py").write_text(source)
        sys.modules.pop("ours", None)
        importlib.invalidate_caches()
        forget_own_code()

    yield edit
    sys.modules.pop("ours", None)
    forget_own_code()


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., DictConfig]:
    """Compose the real configuration, with a cache of the test's own."""

    def configure(*overrides: str) -> DictConfig:
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return compose("train", ["name=test", f"cache={tmp_path}/cache", "keep_weights=all", *overrides])

    return configure


@pytest.fixture
def run(configure: Callable[..., DictConfig], tmp_path: Path) -> Callable[..., dict]:
    """Run one job in this process; its folder is `tmp_path / name`."""

    def run(*overrides: str, name: str = "job", resume: bool = False) -> dict:
        (tmp_path / name).mkdir(exist_ok=True)
        result = job.run(configure(*overrides), tmp_path / name, resume)
        assert result is not None  # as it is in ranks other than 0
        return result

    return run


@pytest.fixture(params=["vmap", "loop"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with both ways in which a stack runs its trials; its networks are too small to be looped over."""
    monkeypatch.setattr(trial_stack, "takes_turns", lambda *_: request.param == "loop")
    return request.param


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `python src/train.py` as a user does, in an empty folder."""

    def train(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "src" / "train.py"), *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

    return train


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[DictConfig]]:
    """Check a sweep as train.py -m does, in an empty folder; without baselines, unless these are asked for."""
    monkeypatch.chdir(tmp_path)

    def sweep(*words: str) -> list[DictConfig]:
        words = words if any(word.startswith("baseline=") for word in words) else (*words, "baseline=none")
        monkeypatch.setattr("sys.argv", ["train.py", "-m", *words])
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            fixed = [word for word in words if word.startswith(("name=", "hydra."))]
            config = compose("train", [*fixed, "hydra.mode=MULTIRUN"], return_hydra_config=True)
            with open_dict(config):
                config.hydra.overrides.task = [word for word in words if not word.startswith("hydra.")]
                config.hydra.overrides.hydra = [word for word in words if word.startswith("hydra.")]
            return check_sweep(config, Path(config.hydra.sweep.dir))

    return sweep
