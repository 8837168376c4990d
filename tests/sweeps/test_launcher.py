"""Launchers: which are refused, what their workers share, and that no process of theirs is left."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas
import pytest
import torch
from conftest import ROOT
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from graft import process
from graft.errors import GraftError, OtherResult
from graft.files import read_tensors
from graft.run import job
from graft.sweeps import launcher

Train = Callable[..., subprocess.CompletedProcess[str]]
TINY = ("trials=2", "epochs=3", "source.epochs=1", "baseline=none")
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


@pytest.fixture(autouse=True)
def locks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list]:
    """Release after a test the locks that processes hold until their end."""
    locks = []
    monkeypatch.setattr(launcher, "_locks", locks)
    monkeypatch.setattr(process, "_hide_bars", False)
    yield locks
    for lock in locks:
        lock.release()


def job_config(mode: RunMode, folder: Path, target: str = launcher.JOBLIB) -> DictConfig:
    of_launcher = {"_target_": f"{target}.x.Launcher"}
    return OmegaConf.create({"hydra": {"mode": mode, "launcher": of_launcher, "sweep": {"dir": str(folder)}}})


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="needs a Python without Ray")
def test_a_launcher_that_is_not_installed_is_refused_and_nothing_is_written(train: Train, tmp_path: Path):
    done = train("-m", "hydra/launcher=ray", "dropout=0,0.5")
    assert done.returncode == 1
    assert done.stderr == 'hydra/launcher=ray needs hydra-ray-launcher; try pip install -e ".[ray]"\n'
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "extra"), [("joblib", "joblib"), ("submitit_slurm", "slurm"), ("submitit_local", "slurm"), ("ray", "ray")]
)
def test_each_launcher_names_its_extra(monkeypatch: pytest.MonkeyPatch, name: str, extra: str):
    launcher.check_launcher(["-m", "hydra/launcher=basic", "head=joblib"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(GraftError, match=rf'try pip install -e "\.\[{extra}\]"'):
        launcher.check_launcher(["-m", f"hydra/launcher={name}"])
    assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text()


def test_a_folder_has_one_sweep_at_a_time(tmp_path: Path, locks: list):
    launcher.lock_sweep_folder(tmp_path / "a")
    launcher.lock_sweep_folder(tmp_path / "b")
    with pytest.raises(GraftError, match=r"another process is running the sweep in .*a; wait for its end, or try"):
        launcher.lock_sweep_folder(tmp_path / "a")
    locks[0].release()
    launcher.lock_sweep_folder(tmp_path / "a")


def test_a_worker_takes_the_gpu_with_the_fewest_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: list):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    def claim(given: str = "") -> str:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        launcher.claim_gpu(tmp_path / "gpus")
        return os.environ["CUDA_VISIBLE_DEVICES"]

    assert [claim() for _ in range(5)] == ["0", "1", "0", "1", "0"]
    locks.pop(1).release()  # a worker ended, and another takes its place
    assert claim() == "1"
    assert [claim("4,GPU-ab") for _ in range(2)] == ["4", "GPU-ab"]
    assert claim("7") == "7"


def test_only_workers_of_joblib_reset_signals_and_hide_bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    before, sigterm = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    launcher.enter_worker(job_config(RunMode.RUN, tmp_path))
    launcher.enter_worker(job_config(RunMode.MULTIRUN, tmp_path, launcher.RAY))
    launcher.lock_sweep_folder(tmp_path)
    launcher.enter_worker(job_config(RunMode.MULTIRUN, tmp_path))  # the sweep's own process
    assert signal.getsignal(signal.SIGINT) is before
    assert process.hidden_bars() is None
    monkeypatch.setattr(launcher, "_locks", [])
    try:
        launcher.enter_worker(job_config(RunMode.MULTIRUN, tmp_path))
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        assert process.hidden_bars() is True
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, sigterm)


def test_jobs_of_several_devices_are_refused_where_each_sees_one(tmp_path: Path):
    one, several = (OmegaConf.create({"trainer": {"devices": devices}}) for devices in (1, "auto"))
    config = job_config(RunMode.MULTIRUN, tmp_path)
    launcher.check_devices(config, [one])
    launcher.check_devices(job_config(RunMode.MULTIRUN, tmp_path, launcher.RAY), [several])
    with pytest.raises(GraftError, match=r"one device, got trainer.devices=auto; try trainer=default"):
        launcher.check_devices(config, [one, several])


def test_a_launcher_that_fails_leaves_the_answer_so_far(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    golden = ROOT / "tests" / "golden" / "sweep"
    shutil.copytree(golden, tmp_path / "s")
    config = OmegaConf.create(
        {"hydra": {"sweep": {"dir": str(tmp_path)}}, "report": {"baseline": None}, "logger": ["csv"]}
    )
    with pytest.raises(SystemExit) as stopped, launcher.launching(config):
        raise RuntimeError("A worker was killed.\nand more")
    assert stopped.value.code == 1
    said = capsys.readouterr()
    assert "the launcher failed (RuntimeError: A worker was killed.); finished jobs are kept" in said.err
    assert "to the best" in said.out
    assert (tmp_path / "leaderboard.csv").exists()
    with pytest.raises(SystemExit), launcher.launching(config):
        raise OtherResult("outputs/x has the result of another configuration")
    said = capsys.readouterr()
    assert said.err == "outputs/x has the result of another configuration\n"
    assert "to the best" in said.out


@pytest.mark.slow
def test_a_process_that_waited_for_a_folder_does_not_overwrite_its_result(configure, tmp_path: Path):
    """Both processes passed the check of the folder when it had no result yet."""
    folder = tmp_path / "job"
    folder.mkdir()
    job.main(configure(*TINY), folder, resume=False)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(GraftError, match="has the result of another configuration"):
        job.main(configure(*TINY, "lr=0.1"), folder, resume=False)
    assert before == {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}


class Started:
    """`python src/train.py -m ...`, whose descendants can be counted, whatever session they are in.

    Args:
        folder: where to run it.
        words: what to type.
    """

    def __init__(self, folder: Path, *words: str):
        self.mark = f"GRAFT_TEST={uuid.uuid4().hex}"
        name, _, value = self.mark.partition("=")
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "src" / "train.py"), "-m", *words],
            cwd=folder,
            env={**os.environ, name: value, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def processes(self) -> dict[int, str]:
        """Return the command lines, by number, of those that live."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (path / "environ").read_bytes().split(b"\0"):
                    found[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue  # it ended, or is another user's
        return found

    def wait_for(self, path: Path, seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        while not path.exists() and time.monotonic() < until and self.process.poll() is None:
            time.sleep(0.1)
        assert path.exists(), self.end()

    def end(self) -> str:
        """Return the output until the end; assert that no process is left 10 seconds later."""
        try:
            said, _ = self.process.communicate(timeout=240)
            until = time.monotonic() + 10
            while self.processes() and time.monotonic() < until:
                time.sleep(0.2)
            assert not self.processes()
            return said
        finally:
            for number in self.processes():
                os.kill(number, signal.SIGKILL)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a sweep in which one job fails, one job after another."""
    folder = tmp_path_factory.mktemp("alone")
    sweep = Started(folder, *SWEEP)
    sweep.end()
    assert sweep.process.returncode == 1
    return folder / "outputs" / "s"


SWEEP = ("name=s", "dataset.small_per_class=5,20,999", *TINY)


def results(folder: Path) -> dict[str, list]:
    return {path.parent.name: json.loads(path.read_text())["trials"] for path in folder.glob("*/result.json")}


def assert_same(folder: Path, alone: Path) -> None:
    one, other = (pandas.read_csv(sweep / "leaderboard.csv").drop(columns="seconds") for sweep in (folder, alone))
    pandas.testing.assert_frame_equal(one, other)
    assert results(folder) == results(alone)
    assert len(results(folder)) == 2
    failures = [
        {path.parent.name: path.read_text() for path in sweep.glob("*/failure.json")} for sweep in (folder, alone)
    ]
    assert failures[0] == failures[1]
    assert len(failures[0]) == 1


LAUNCHERS = [
    pytest.param("hydra_joblib_launcher", JOBLIB, id="joblib"),
    pytest.param("hydra_submitit_launcher", ("hydra/launcher=submitit_local",), id="submitit"),
    pytest.param("hydra_ray_launcher", ("hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"), id="ray"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("package", "words"), LAUNCHERS)
def test_every_launcher_ends_in_the_table_of_one_process(tmp_path: Path, alone: Path, package: str, words: tuple):
    if importlib.util.find_spec(f"hydra_plugins.{package}") is None:
        pytest.skip(f"needs {package}")
    sweep = Started(tmp_path, *SWEEP, *words)
    said = sweep.end()
    assert sweep.process.returncode == 1, said
    assert "Traceback" not in said
    assert "failed dataset.small_per_class=999: " in said
    folder = tmp_path / "outputs" / "s"
    assert_same(folder, alone)
    logs = [path.read_text() for path in folder.glob("*/train.log")]
    assert sum(log.count("pre-trained on") for log in logs) == 1
    files = [read_tensors(path) for path in (tmp_path / "outputs/cache/features").rglob("*.safetensors")]
    images = torch.cat([tensors["images"] for tensors in files if tensors is not None])
    assert len(images) == len(images.unique()) > 1250  # no job computed features that another job had stored

    written = {path: path.stat().st_mtime_ns for path in folder.glob("*/result.json")}
    again = Started(tmp_path, *SWEEP, *words)
    again.end()
    assert again.process.returncode == 1
    assert written == {path: path.stat().st_mtime_ns for path in folder.glob("*/result.json")}
    assert_same(folder, alone)


LONG = ("name=s", "dropout=0,0.5", "lr=0.001,0.003", "trials=2", "source=scratch", *JOBLIB)


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("whom", ["group", "parent", "worker"])
def test_an_ended_parallel_sweep_leaves_no_process_and_the_same_command_resumes(
    tmp_path: Path, whom: str, end: signal.Signals
):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    sweep = Started(tmp_path, *LONG, "epochs=15")
    finished = tmp_path / "outputs/s/dropout=0_lr=0.001/result.json"
    sweep.wait_for(finished)
    workers = [number for number, line in sweep.processes().items() if "LokyProcess" in line]
    assert len(workers) == 2
    if whom == "worker":
        os.kill(workers[0], signal.SIGKILL if end == signal.SIGINT else end)
    elif whom == "group":  # as a terminal does at Ctrl-C
        os.killpg(sweep.process.pid, end)
    else:
        sweep.process.send_signal(end)
    said = sweep.end()
    assert "Traceback" not in said
    assert sweep.process.returncode == (1 if whom == "worker" else 128 + end), said
    assert ("the launcher failed (TerminatedWorkerError" if whom == "worker" else "stopped; the same command") in said
    assert len(pandas.read_csv(tmp_path / "outputs/s/leaderboard.csv")) < 4
    written = finished.stat().st_mtime_ns
    if whom == "parent" or end == signal.SIGTERM:
        return

    (tmp_path / "outputs/s/multirun.yaml").unlink()
    again = Started(tmp_path, *LONG, "epochs=15")
    again.wait_for(tmp_path / "outputs/s/multirun.yaml")
    second = Started(tmp_path, *LONG, "epochs=15")
    assert "another process is running the sweep in outputs/s; wait for its end" in second.end()
    assert second.process.returncode == 1
    said = again.end()
    assert again.process.returncode == 0, said
    assert finished.stat().st_mtime_ns == written
    assert len(pandas.read_csv(tmp_path / "outputs/s/leaderboard.csv")) == 4
