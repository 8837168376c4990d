"""A sweep's checks before its first job: what its jobs are, and where they write."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, open_dict

from graft.errors import ConfigError, GraftError
from graft.sweeps import check_sweep as module
from graft.sweeps.check_sweep import check_sweep, check_writable

Sweep = Callable[..., list[DictConfig]]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Check a sweep as train.py -m does, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    module._warn.cache_clear()

    def sweep(*words: str) -> list[DictConfig]:
        monkeypatch.setattr("sys.argv", ["train.py", "-m", *words])
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            fixed = [word for word in words if word.startswith(("name=", "hydra."))]
            config = compose("train", [*fixed, "hydra.mode=MULTIRUN"], return_hydra_config=True)
            with open_dict(config):
                config.hydra.overrides.task = [word for word in words if not word.startswith("hydra.")]
                config.hydra.overrides.hydra = [word for word in words if word.startswith("hydra.")]
            return check_sweep(config, Path(config.hydra.sweep.dir))

    return sweep


def test_two_files_whose_names_differ_in_a_separator_have_two_folders(sweep: Sweep):
    jobs = sweep("source=file", "source.path=w/a/x.safetensors,w/a_x.safetensors", "dropout=0,0.5", "name=s")
    folders = [job.hydra.sweep.subdir for job in jobs]
    assert len({folder.casefold() for folder in folders}) == 4
    assert all(folder.startswith("source.path=w_a_x.safetensors-") for folder in folders)


def test_two_jobs_in_one_folder_are_refused_before_anything_is_made(sweep: Sweep, tmp_path: Path):
    with pytest.raises(GraftError, match=r"^same would be the folder of two jobs, dropout=0 and dropout=0.5; try"):
        sweep("dropout=0,0.5", "name=s", "hydra.sweep.subdir=same")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["dropout=0,0.0"],
        ["lr=0.001,1e-3"],
        ["lr=1,1.0"],
        ["regularize.ema=0,0.0"],
        ["head=plain,plain"],
        ["head=dense,dense512"],
        ["+optimizer.amsgrad=true,True"],
    ],
)
def test_two_jobs_of_one_configuration_are_said(sweep: Sweep, capsys: pytest.CaptureFixture[str], words: list[str]):
    assert len(sweep(*words, "name=s")) == 2
    assert "are one configuration, and their results are equal: leave one of them out" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["dropout=0,0.5"], ["trials_at_once=1,2"], ["+trainer.limit_train_batches=1,1.0"]])
def test_jobs_that_differ_are_not_called_equal(sweep: Sweep, capsys: pytest.CaptureFixture[str], words: list[str]):
    sweep(*words, "name=s")
    assert "one configuration" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["name=../../evil", "name=/abs"])
def test_a_name_that_leads_out_is_refused_before_anything_is_made(sweep: Sweep, tmp_path: Path, name: str):
    with pytest.raises(ConfigError, match=r"^name must be the name of a folder inside outputs/, got .*hydra\.run\.dir"):
        sweep("dropout=0,0.5", name)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named_with_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    expected = rf"cannot write to file/run \(Not a directory\), seen from {tmp_path}; try another working directory"
    with pytest.raises(GraftError, match=expected):
        check_writable(Path("file/run"))


def test_all_working_directories_may_share_a_cache(sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert sweep("dropout=0,0.5", "name=s")[0].cache == "outputs/cache"
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "mine"))
    assert sweep("dropout=0,0.5", "name=s")[0].cache == str(tmp_path / "mine")
    for wrong in ("", "~/cache"):
        monkeypatch.setenv("GRAFT_CACHE", wrong)
        with pytest.raises(ConfigError, match=r"^cache must be the path of a folder \(~ works"):
            sweep("dropout=0,0.5", "name=s")
