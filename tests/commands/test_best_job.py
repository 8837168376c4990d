import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from graft.commands.best_job import best_job
from graft.errors import GraftError

GOLDEN = Path(__file__).parent.parent / "golden" / "sweep"


def sweep(folder: Path, *names: str) -> Path:
    for name in names:
        shutil.copytree(GOLDEN / name, folder / name)
    return folder


def give_weights(folder: Path) -> None:
    for name in ("model.yaml", "weights.safetensors"):
        (folder / name).touch()


ONE, TWO = "source=big_dataset.small_per_class=10", "source=scratch_dataset.small_per_class=10"


def test_a_sweep_stands_for_its_winner_which_is_said(tmp_path: Path):
    folder = sweep(tmp_path / "sweep", ONE, TWO)
    with pytest.raises(GraftError, match=r"has no weights .*or name another job, such as run=.*source=scratch"):
        best_job(folder)
    give_weights(folder / ONE)
    choice = best_job(folder)
    assert choice.folder == folder / ONE
    assert "won among 2 jobs, ranked by test accuracy" in choice.why
    assert "look better than it is" in choice.why


def test_a_job_stands_for_itself_and_alone_in_a_folder_too(tmp_path: Path):
    folder = sweep(tmp_path / "sweep", ONE)
    assert best_job(folder / ONE) == best_job(folder) == (folder / ONE, "")
    assert best_job(tmp_path / "none.zip") == (tmp_path / "none.zip", "")  # `load` says what is wrong with it


def test_a_folder_without_a_finished_job_is_refused(tmp_path: Path):
    with pytest.raises(GraftError, match="has no finished job; try outputs/NAME"):
        best_job(tmp_path)
    with pytest.raises(GraftError, match=r"has no finished job \(1 failed\)"):
        best_job(sweep(tmp_path / "sweep", "source=big_dataset.small_per_class=999"))


def test_validation_accuracy_ranks_where_all_have_it(run: Callable[..., dict], tmp_path: Path):
    for dropout in ("0", "0.9"):
        run("trials=2", "epochs=2", "source.epochs=1", "dataset.val_per_class=10", f"dropout={dropout}", name=dropout)
    shutil.rmtree(tmp_path / "cache")
    choice = best_job(tmp_path)
    assert "ranked by validation accuracy" in choice.why
    assert "look better" not in choice.why
