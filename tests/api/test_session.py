"""What Graft leaves behind in the program that calls it: nothing."""

import asyncio
import gc
import importlib
import logging
import os
import signal
import threading
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict

import graft
from graft.api.session import session
from graft.errors import GraftError

QUICK = {"source": "scratch", "trials": 2, "epochs": 1}


def state() -> dict[str, Any]:
    loggers = [logging.getLogger(name) for name in ("", "graft", "matplotlib", "pytorch_lightning.utilities.rank_zero")]
    return {
        "cwd": os.getcwd(),
        "environment": dict(os.environ),
        "logging": [(each.level, each.propagate, list(each.handlers), each.disabled) for each in loggers],
        "raise": logging.raiseExceptions,
        "warnings": list(warnings.filters),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)],
        "threads": torch.get_num_threads(),
        "random": (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()),  # type: ignore[index]
        "hydra": (GlobalHydra.instance().hydra, HydraConfig.instance().cfg),
        "frozen": gc.get_freeze_count() > 0,
        "defaults": (torch.get_default_dtype(), torch.get_default_device(), torch.is_inference_mode_enabled()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_program_is_as_it_was_after_a_job_a_sweep_and_a_mistake(capfd: pytest.CaptureFixture[str]):
    for name in ("graft.api.jobs", "graft.run.job"):  # imports are not undone
        importlib.import_module(name)

    before = state()
    one = graft.run(QUICK, name="one")
    assert state() == before
    two = graft.run({**QUICK, "dropout": [0, 0.5]}, name="two")
    assert state() == before
    with pytest.raises(GraftError, match="did you mean trials"):
        graft.run({"trails": 3})
    assert state() == before
    assert [len(answer.jobs) for answer in (one, two)] == [1, 2]
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "")


@pytest.mark.parametrize("default", ["float64", "bfloat16", "meta", "inference_mode", "autocast"])
def test_jobs_and_models_do_not_depend_on_what_the_program_has_set_in_pytorch(default: str):
    def trained(name: str) -> tuple[Any, Any]:
        answer = graft.run({**QUICK, "dataset.test_per_class": 20, "resume": False}, name=name)
        return answer.best.result["trials"], answer.best.model().predict(pixels)

    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    trials, predicted = trained("usual")
    with ExitStack() as stack:
        if default == "meta":
            stack.enter_context(torch.device("meta"))
        elif default == "inference_mode":
            stack.enter_context(torch.inference_mode())
        elif default == "autocast":
            stack.enter_context(torch.autocast("cpu", torch.bfloat16))
        else:
            stack.callback(torch.set_default_dtype, torch.get_default_dtype())
            torch.set_default_dtype(getattr(torch, default))
        before = state()
        others, other = trained(default)
        assert state() == before
    assert others == trials
    assert other.equals(predicted)


def test_inside_a_program_that_uses_hydra_itself(here: Path):
    (here / "conf").mkdir()
    (here / "conf" / "mine.yaml").write_text("x: 1\n")
    with initialize_config_dir(str(here / "conf"), version_base="1.2"):
        mine = compose("mine", return_hydra_config=True)
        with open_dict(mine):
            mine.hydra.runtime.output_dir, mine.hydra.job.num, mine.hydra.job.id = ".", 0, "0"
        HydraConfig.instance().set_config(mine)
        before = state()
        assert len(graft.run(QUICK).jobs) == 1
        assert state() == before
        assert compose("mine").x == 1
        assert HydraConfig.get().runtime.output_dir == "."
    HydraConfig.instance().cfg = None


@pytest.mark.slow
def test_in_a_running_event_loop_and_in_a_thread():
    async def notebook() -> int:
        return len(graft.run(QUICK, name="loop").jobs)

    found = [asyncio.run(notebook())]
    thread = threading.Thread(target=lambda: found.append(len(graft.run(QUICK, name="thread").jobs)))
    thread.start()
    thread.join()
    assert found == [1, 1]


def test_messages_are_shown_if_asked_for_and_warnings_name_the_caller_s_line(capfd: pytest.CaptureFixture[str]):
    with pytest.warns(UserWarning, match="width=7 has no effect") as caught:
        graft.run({**QUICK, "width": 7}, verbose=True)
    assert [Path(each.filename).name for each in caught] == ["test_session.py"]
    shown = capfd.readouterr().out
    assert "test accuracy" in shown
    assert "written to" in shown
    assert logging.getLogger("graft").handlers == []


def test_ctrl_c_is_ctrl_c_again():
    handler = signal.getsignal(signal.SIGINT)

    def interrupted_by_lightning() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            raise SystemExit(1) from None

    with pytest.raises(KeyboardInterrupt), session([], verbose=False):
        interrupted_by_lightning()
    assert signal.getsignal(signal.SIGINT) is handler
    assert not GlobalHydra.instance().is_initialized()


def test_the_tests_configuration_is_the_one_that_is_found():
    from graft.api.conf_folder import CONF

    assert CONF == ROOT / "conf"
