"""The grid's jobs, against Hydra's own basic sweeper, and what a launcher gets."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from graft.errors import GraftError
from graft.sweeps.grid import grid, keep_composed, run_grid, with_composed


@pytest.fixture(autouse=True)
def loader() -> Iterator[ConfigLoader]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


def typed(*words: str) -> DictConfig:
    return OmegaConf.create({"hydra": {"overrides": {"task": list(words)}}})


@pytest.mark.parametrize(
    "words",
    [
        ["epochs=3"],
        ["dropout=0,0.5", "epochs=3", "head=plain,dense512"],
        ["dropout=range(0,0.9,0.3)", "width=range(16,64,16)"],
        ["head=glob(*,exclude=[ridge,log*])", "experiment=glob(lecture*)"],
        ["head=choice(plain,dense)", "+trainer.max_time='a b','c,d'"],
        ["head.widths=[512],[64,64],null", "dropout=0.5", "dropout=0,0.2"],
        ["~reference", "++seed=1,2", "name='x=y'"],
    ],
)
def test_the_jobs_are_those_of_hydra_s_basic_sweeper(loader: ConfigLoader, words: list[str]):
    (basic,) = [sweeper for sweeper in Plugins.instance().discover(Sweeper) if sweeper.__name__ == "BasicSweeper"]
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(words)
    (jobs,) = basic.split_arguments(overrides, max_batch_size=None)  # type: ignore[attr-defined]
    assert grid(typed(*words)) == jobs


def test_an_interval_is_refused():
    with pytest.raises(GraftError, match=r"lr=interval\(1e-4,1\) is an interval, .*; try sweep=optuna"):
        grid(typed("lr=interval(1e-4,1)"))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("trials=range(1,5,0)", r"trials=range\(1,5,0\) cannot be listed; try range\(1,5\), or range\(1,5,2\)"),
        ("lr=range(0.1,0.5,0.0)", "cannot be listed"),
        ("lr=range(nan,1)", "cannot be listed"),
        ("lr=range(0.001,0.01)", r"lists 0.001 only, because its step is 1; try range\(0.001,0.01,0.0023\)"),
        ("trials=range(5,1)", r"this sweep has no jobs: trials=range\(5,1\) lists nothing"),
        ("head=glob(x*)", "this sweep has no jobs"),
        ("dropout=glob(*)", "this sweep has no jobs"),
        ("seed=range(0,1e9)", "and at most 10,000 are allowed; try shorter lists"),
        ("seed=range(0,inf)", "and at most 10,000 are allowed"),
    ],
)
def test_lists_that_cannot_be_made_are_refused(word: str, message: str):
    with pytest.raises(GraftError, match=message):
        grid(typed("epochs=3,4", word))


def test_a_sweep_of_too_many_jobs_is_refused():
    with pytest.raises(GraftError, match="this sweep has 1,000,000 jobs"):
        grid(typed("seed=range(0,1000)", "trials=range(0,1000)"))


class Recorder(Launcher):
    """Runs no job, but records what it was asked for."""

    def __init__(self):
        self.batches: list[tuple[int, list]] = []

    def setup(self, **_: Any) -> None: ...

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list:
        self.batches.append((initial_job_idx, list(job_overrides)))
        return [SimpleNamespace(return_value=None)] * len(job_overrides)


@pytest.mark.parametrize(("size", "starts"), [(None, [0]), (2, [0, 2, 4]), (10, [0])])
def test_batches_are_numbered_through_and_the_sweep_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None, starts: list[int]
):
    words = ["dropout=0,0.1,0.2,0.3,0.4", "epochs=3"]
    monkeypatch.setattr("graft.sweeps.grid.job_subfolder", lambda config, overrides: overrides[0])
    here = {"sweep": {"dir": str(tmp_path / "s")}, "launcher": {"_target_": "hydra.BasicLauncher"}}
    config = OmegaConf.merge(typed(*words), {"hydra": here})
    assert isinstance(config, DictConfig)
    launcher = Recorder()
    batches = run_grid(config, launcher, size)
    assert [start for start, _ in launcher.batches] == starts
    assert [job for _, jobs in launcher.batches for job in jobs] == grid(config)
    assert [len(batch) for batch in batches] == [len(jobs) for _, jobs in launcher.batches]
    assert OmegaConf.load(tmp_path / "s" / "multirun.yaml") == config


def test_a_launcher_gets_each_composed_job_once_and_composes_others_itself(loader: ConfigLoader, tmp_path: Path):
    config = compose("train", ["hydra.mode=MULTIRUN", "name=s"], return_hydra_config=True)
    kept = loader.load_sweep_config(config, ["dropout=0.1", "name=s"])
    keep_composed([kept])
    composed = with_composed(HydraContext(loader, None)).config_loader  # type: ignore[arg-type]
    assert composed.load_sweep_config(config, ["dropout=0.1", "name=s"]) is kept
    again, other = (composed.load_sweep_config(config, [f"dropout={rate}", "name=s"]) for rate in (0.1, 0.2))
    assert again == kept
    assert again is not kept
    assert other.dropout == 0.2
