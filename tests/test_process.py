import os
import platform
import subprocess
import sys

import pytest
import torch
from conftest import ROOT

from graft import process
from graft.process import environment_rank, hidden_bars, hide_bars, let_threads_sleep, stop_looking_for_gpus


def in_a_new_process(script: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({}, 0),
        ({"RANK": "3"}, 3),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "2"}, 2),
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "2"}, 0),
        ({"SLURM_PROCID": "2"}, 0),
        ({"SLURM_NTASKS": "4"}, 0),
        ({"RANK": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, 1),  # torchrun or Graft, started by srun
    ],
)
def test_the_rank_is_that_of_the_innermost_launcher(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], rank: int
):
    for name in ("RANK", "SLURM_NTASKS", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert environment_rank() == rank


def test_bars_are_left_to_the_terminal_until_they_are_hidden(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "_hide_bars", False)
    assert hidden_bars() is None
    hide_bars()
    assert hidden_bars() is True


def test_a_process_is_prepared_once_and_hides_intended_warnings_only():
    found = in_a_new_process("""
import atexit, gc, os, warnings
from graft.process import prepare_for_training
atexit.register(lambda: print(gc.get_freeze_count()))  # after those that are registered later
print(gc.get_freeze_count(), "CUDA_VISIBLE_DEVICES" in os.environ)
prepare_for_training()
frozen = gc.get_freeze_count()
with warnings.catch_warnings(record=True) as caught:
    warnings.warn("The number of training batches (2) is smaller than the logging interval")
    warnings.warn("Found 3 module(s) in eval mode at the start of training.")
    warnings.warn("number_of_training_batches")
print(frozen > 10_000, len(caught), caught[0].message)
objects = [[] for _ in range(1000)]
prepare_for_training()
print(gc.get_freeze_count() <= frozen)
""")
    assert found == ["0", "False", "True", "1", "number_of_training_batches", "True", "0"]


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other allocators")
def test_the_memory_of_large_tensors_is_used_again():
    usual, kept = in_a_new_process("""
import resource, torch
from graft.process import keep_memory

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(30):
        torch.ones(2**24)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(page_faults())
keep_memory()
print(page_faults())
""")
    assert int(kept) < int(usual) / 2


@pytest.mark.parametrize(
    ("gpus", "before", "after"), [(False, None, ""), (False, "1", "1"), (True, None, None), (True, "1", "1")]
)
def test_gpus_are_hidden_only_if_there_are_none(
    monkeypatch: pytest.MonkeyPatch, gpus: bool, before: str | None, after: str | None
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    if before is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    stop_looking_for_gpus()
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == after


@pytest.mark.parametrize(
    ("given", "count"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_threads_sleep_soon_unless_the_environment_says_how_they_wait(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], count: str | None
):
    monkeypatch.setattr(os, "environ", dict(given))
    let_threads_sleep()
    assert os.environ.get("GOMP_SPINCOUNT") == count
