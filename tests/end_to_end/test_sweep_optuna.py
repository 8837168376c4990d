"""Searches through the command line, as a user runs them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
from conftest import ROOT

Train = Callable[..., subprocess.CompletedProcess[str]]
TINY = ("source=scratch", "backbone.keep=0", "trials=2", "epochs=2", "val_every=1", "dataset.val_per_class=5")


@pytest.mark.slow
def test_a_search_runs_ends_in_the_table_and_resumes(train: Train, tmp_path: Path):
    words = ("-m", "sweep=random", "lr=tag(log,interval(1e-4,1e-1))", "dropout=0,0.5", "sweep.jobs=2", "name=s", *TINY)
    done = train(*words)
    assert done.returncode == 0, done.stderr
    assert "ranked by validation accuracy" in done.stdout
    folder = tmp_path / "outputs" / "s"
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}
    assert [path.name for path in before] == ["result.json"] * 2
    jobs = list(pandas.read_csv(folder / "leaderboard.csv")["job"])
    assert sorted(jobs) == sorted(path.parent.name for path in before)
    assert all(job.startswith("lr=0.0") and "_dropout=0" in job and "epochs" not in job for job in jobs)

    again = train(*words)
    assert again.returncode == 0, again.stderr
    assert "2 jobs are finished already, 0 are left" in again.stdout + again.stderr
    assert list(pandas.read_csv(folder / "leaderboard.csv")["job"]) == jobs
    assert before == {path: path.read_bytes() for path in folder.rglob("*.json")}


def test_hydra_starts_without_optuna():
    script = f"""
import runpy, sys
sys.modules["optuna"] = None
sys.argv = ["train.py", "sweep=optuna", "--cfg", "hydra"]
runpy.run_path({str(ROOT / "src/train.py")!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "hydra_plugins.graft_sweeper.OptunaSweeper" in done.stdout
    assert done.stderr == ""
