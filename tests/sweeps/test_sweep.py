"""Sweeps resume: finished jobs are kept, killed ones continue, and a trial that fails leaves the others alone."""

import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pandas
import pytest
import torch
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from graft.errors import GraftError, OtherResult, UnavailableError
from graft.files import read_tensors, write_bytes
from graft.heads import head
from graft.run import job
from graft.seed import stream_seed
from graft.sweeps.sweep import SweepCallback, run_job

Run = Callable[..., dict]
Train = Callable[..., subprocess.CompletedProcess[str]]
TINY = ("trials=2", "epochs=2", "source.epochs=1", "baseline=none")
TIMES = ["seconds"]


@pytest.mark.slow
def test_a_finished_job_is_kept_and_another_one_is_not(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = run(*TINY, resume=True)
    written = (tmp_path / "job/result.json").stat().st_mtime_ns
    assert run(*TINY, resume=True) == first
    assert (tmp_path / "job/result.json").stat().st_mtime_ns == written
    assert run(*TINY)["trials"] == first["trials"]
    assert (tmp_path / "job/result.json").stat().st_mtime_ns != written
    monkeypatch.setattr("graft.config.identity.RESULTS_VERSION", "9.9")
    assert run(*TINY, resume=True)["identity"] != first["identity"]


def test_a_new_release_keeps_finished_jobs(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = run(*TINY)
    monkeypatch.setattr("graft.__version__", "9.9")
    assert run(*TINY, resume=True) == first


@pytest.mark.slow
def test_a_job_with_a_damaged_result_runs_again(run: Run, tmp_path: Path):
    first = run(*TINY, resume=True)
    (tmp_path / "job/result.json").write_text('{"config": {')
    assert run(*TINY, resume=True)["trials"] == first["trials"]


def poison(monkeypatch: pytest.MonkeyPatch, *seeds: int) -> None:
    """Initialize the heads of some trials with NaN."""
    linear = head.linear

    def poisoned(num_inputs: int, num_outputs: int) -> torch.nn.Linear:
        layer = linear(num_inputs, num_outputs)
        if torch.initial_seed() in [stream_seed(seed, "head") for seed in seeds]:
            torch.nn.init.constant_(layer.weight, float("nan"))
        return layer

    monkeypatch.setattr(head, "linear", poisoned)


@pytest.mark.slow
@pytest.mark.parametrize("at_once", ["auto", "1"])
def test_a_trial_with_a_nan_loss_stops_alone(run: Run, monkeypatch: pytest.MonkeyPatch, at_once: str):
    settings = ("trials=3", "epochs=3", "source.epochs=1", f"trials_at_once={at_once}", "keep_weights=best")
    fine = run(*settings)
    poison(monkeypatch, 1)
    result = run(*settings, name="poisoned", resume=True)
    assert result["trials"][1] == {
        **dict.fromkeys(fine["trials"][1]),
        "seed": 1,
        "epoch": 1,
        "error": "the loss became NaN or infinite in epoch 1",
    }
    for trial in (0, 2):
        assert result["trials"][trial] == pytest.approx(fine["trials"][trial], abs=1e-4)
    assert result["accuracy"]["mean"] == pytest.approx(
        (fine["trials"][0]["accuracy"] + fine["trials"][2]["accuracy"]) / 2, abs=0.01
    )
    monkeypatch.undo()
    assert run(*settings, name="poisoned", resume=True)["trials"] == fine["trials"]  # not finished: runs again


def test_a_job_without_a_good_trial_fails_and_says_why(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    poison(monkeypatch, 0, 1)
    with pytest.raises(GraftError, match=r"all trials failed: the loss .* in epoch 1; try a smaller lr=0.0001"):
        run(*TINY)
    assert not (tmp_path / "job/result.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("keep", "trials"), [("best", 1), ("all", 2), ("none", 0)])
def test_keep_weights_says_whose_weights_are_kept(run: Run, tmp_path: Path, keep: str, trials: int):
    result = run(*TINY, f"keep_weights={keep}", "dataset.val_per_class=10")
    tensors = read_tensors(tmp_path / "job/weights.safetensors")
    if not trials:
        assert tensors is None
        return
    assert tensors is not None
    assert len(tensors["trials.head.1.weight"]) == trials
    if keep == "best":
        best = max(result["trials"], key=lambda trial: trial["val_accuracy"])
        assert f"seeds:\n- {best['seed']}\n" in (tmp_path / "job/model.yaml").read_text()


def test_a_full_disk_is_an_error_and_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    (tmp_path / "result.json").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GraftError, match=r"no space left for .*result.json; finished work is kept"):
        write_bytes(tmp_path / "result.json", b"new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.slow
def test_two_processes_with_the_same_job_run_it_once(configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "job"
    folder.mkdir()
    cfg = configure(*TINY)
    first = job.main(cfg, folder, resume=True)
    monkeypatch.setattr(job, "Job", None)  # a second training would need it
    assert job.main(cfg, folder, resume=True) == first


@pytest.mark.parametrize(
    ("error", "written"),
    [
        (GraftError("all trials failed"), {"error": "all trials failed"}),
        (UnavailableError("no network"), {"error": "no network", "unavailable": "graft.backbone.CNN"}),
        (OtherResult("kept"), None),
    ],
)
def test_a_failure_is_written_unless_it_would_hide_another_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: GraftError, written: dict[str, str] | None
):
    """The check before the first job found no other result, which another process has written since."""

    def run(*_: object) -> None:
        raise error

    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose(
            "train", ["hydra.mode=MULTIRUN", f"hydra.runtime.output_dir={tmp_path}"], return_hydra_config=True
        )
    HydraConfig.instance().set_config(cfg)
    with nullcontext() if written else pytest.raises(OtherResult):
        run_job(run, cfg)
    path = tmp_path / "failure.json"
    assert (json.loads(path.read_text()) if path.exists() else None) == written


@pytest.mark.slow
@pytest.mark.parametrize("file", ["result.json", "trial_run.json"])
def test_a_single_job_and_a_sweep_do_not_share_a_folder(train: Train, tmp_path: Path, file: str):
    (tmp_path / "outputs/mine").mkdir(parents=True)
    (tmp_path / "outputs/mine" / file).write_text("{}")
    done = train("-m", "dropout=0,0.5", "name=mine")
    assert (done.returncode, "has a single job" in done.stderr) == (1, True)
    (tmp_path / "outputs/mine" / file).rename(tmp_path / "outputs/mine/multirun.yaml")
    done = train("dropout=0", "name=mine")
    assert (done.returncode, "has a sweep" in done.stderr) == (1, True)


@pytest.mark.slow
def test_each_job_is_composed_once_and_checked_as_it_then_runs(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    count = "import hydra._internal.config_loader_impl as h; c = h.ConfigLoaderImpl.load_sweep_config\n" + (
        "h.ConfigLoaderImpl.load_sweep_config = lambda *a: print('COMPOSED') or c(*a)\n"
    )
    (tmp_path / "sitecustomize.py").write_text(count)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = train("-m", "dropout=0,0.5", *TINY, "name=sweep")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("COMPOSED") == 2
    for dropout in ("0", "0.5"):
        result = json.loads((tmp_path / f"outputs/sweep/dropout={dropout}/result.json").read_text())
        assert result["config"]["dropout"] == float(dropout)
    kept = OmegaConf.load(tmp_path / "outputs/sweep/dropout=0.5/.hydra/hydra.yaml").hydra.job
    assert kept.num == 1
    assert kept.override_dirname == "baseline=none,dropout=0.5,epochs=2,name=sweep,source.epochs=1,trials=2"


def start(folder: Path, *words: str) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / "src" / "train.py"), "-m", *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_a_sweep_with_the_table_so_far_and_the_same_command_resumes(
    train: Train, tmp_path: Path, end: signal.Signals
):
    words = ("dropout=0,0.2,0.5", "trials=2", "epochs=100", "source.epochs=1", "name=sweep", "baseline=none")
    process = start(tmp_path, *words)
    finished = tmp_path / "outputs/sweep/dropout=0/result.json"
    until = time.monotonic() + 400  # of a machine that others use
    while not finished.exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert finished.exists()
    process.send_signal(end)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + end, said
    assert "Traceback" not in said
    assert "Received SIGTERM" not in said  # Lightning's words
    assert "stopped; the same command resumes with -m or resume=true" in said
    table = pandas.read_csv(tmp_path / "outputs/sweep/leaderboard.csv")
    assert "dropout=0" in set(table["job"])
    assert len(table) < 3
    missing = [f"dropout={value}" for value in ("0", "0.2", "0.5") if f"dropout={value}" not in set(table["job"])]
    page = (tmp_path / "outputs/sweep/report.html").read_text()
    assert f"{len(missing)} of 3 jobs {'has' if len(missing) == 1 else 'have'} not finished: {missing[0]}" in page
    assert all(f"not finished {name}: the same command goes on with it" in said for name in missing)
    written = finished.stat().st_mtime_ns
    done = train("-m", *words)
    assert done.returncode == 0, done.stderr
    assert "dropout=0 is finished" in done.stdout + done.stderr
    assert finished.stat().st_mtime_ns == written
    assert len(pandas.read_csv(tmp_path / "outputs/sweep/leaderboard.csv")) == 3
    assert (tmp_path / "outputs/sweep/curves.png").exists()
    assert "not finished" not in done.stdout + (tmp_path / "outputs/sweep/report.html").read_text()


@pytest.mark.slow
def test_a_sweep_killed_twenty_times_ends_in_the_same_table(train: Train, tmp_path: Path):
    words = ("head=plain,dense512", "dropout=0,0.5", "activation=relu,tanh", "trials=3", "epochs=20", "source.epochs=3")
    words = (*words, "baseline=none")
    done = train("-m", *words, "name=whole", "cache=other")
    assert done.returncode == 0, done.stderr
    chance = random.Random(0)
    kills = 0
    while kills < 20:
        process = start(tmp_path, *words, "name=killed")
        try:
            # From the first import to the last table; the later kills leave time for some progress.
            process.wait(chance.uniform(0, 12))
        except subprocess.TimeoutExpired:
            kills += 1
        process.kill()
        process.communicate()
        if process.returncode == 0:  # finished early: remove some results, or later kills would hit no job
            for result in sorted(tmp_path.glob("outputs/killed/*/result.json"))[::2]:
                result.unlink()
    done = train("-m", *words, "name=killed")
    assert done.returncode == 0, done.stderr
    whole, killed = (
        pandas.read_csv(tmp_path / "outputs" / name / "leaderboard.csv").drop(columns=TIMES)
        for name in ("whole", "killed")
    )
    pandas.testing.assert_frame_equal(whole, killed)
    results = [
        {path.parent.name: json.loads(path.read_text())["trials"] for path in tmp_path.glob(f"outputs/{name}/*/*.json")}
        for name in ("whole", "killed")
    ]
    assert results[0] == results[1]
    assert len(results[0]) == 8


def test_what_is_logged_while_a_refit_is_checked_goes_to_the_job_s_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    def check(config: DictConfig) -> None:
        logging.getLogger("graft").info("%s images", 180)
        if config.get("wrong"):
            raise GraftError("wrong")

    monkeypatch.setattr("graft.sweeps.check_sweep.check_run", check)
    monkeypatch.setattr(logging.getLogger("graft"), "filters", [])
    monkeypatch.setattr("graft.sweeps.sweep.end_on_signals", lambda _: None)
    caplog.set_level("INFO")
    callback, config = SweepCallback(), {"hydra": {"run": {"dir": "outputs/x"}, "mode": "RUN"}}
    callback.on_run_start(OmegaConf.create(config))
    assert not caplog.messages  # Hydra's own log would mark it
    callback.on_job_start(OmegaConf.create(config))
    logging.getLogger("graft").info("%s images", "180")  # the job finds them, too
    assert caplog.messages == ["180 images"]
    logging.getLogger("graft").filters.clear()  # as in a new process
    with pytest.raises(SystemExit):
        callback.on_run_start(OmegaConf.create(config | {"wrong": True}))
    assert capsys.readouterr().err.endswith("180 images\nwrong\n")
