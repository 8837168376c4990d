"""Jobs in this process: what each is given, and what becomes of their errors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobStatus
from hydra.types import RunMode
from omegaconf import DictConfig

from graft.api.job_launcher import InThisProcess, run_alone
from graft.api.jobs import _compose
from graft.api.session import session
from graft.errors import GraftError, OtherResult


@pytest.fixture
def hydra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.chdir(tmp_path)
    with session([], False) as hydra:
        yield hydra


@pytest.mark.parametrize(("typed", "resume"), [([], True), (["resume=false"], False), (["resume=true"], True)])
def test_a_job_alone_is_resumed_unless_it_is_told_otherwise(hydra: Any, tmp_path: Path, typed: list[str], resume: bool):
    given = []

    def run(config: DictConfig, folder: Path, resumed: bool) -> None:
        given.append((config.dropout, folder, resumed))

    config = _compose(hydra, ["dropout=0.25", "name=job", *typed], RunMode.RUN)
    assert run_alone(config, hydra.config_loader, run).absolute() == tmp_path / "outputs" / "job"
    assert given == [(0.25, tmp_path / "outputs" / "job", resume)]
    assert (tmp_path / "outputs" / "job" / ".hydra" / "config.yaml").is_file()


def test_the_error_of_a_job_alone_is_raised_as_it_is(hydra: Any):
    def run(*_: object) -> None:
        raise GraftError("no images")

    with pytest.raises(GraftError, match="no images"):
        run_alone(_compose(hydra, ["name=job"], RunMode.RUN), hydra.config_loader, run)


def launcher_of(hydra: Any, run: Any) -> InThisProcess:
    launcher = InThisProcess(hydra.config_loader, run)
    config = _compose(hydra, ["hydra.sweep.dir=sweep", "dropout=0,0.5"], RunMode.MULTIRUN)
    launcher.setup(hydra_context=None, task_function=run, config=config)  # type: ignore[arg-type]
    return launcher


def test_jobs_of_a_sweep_run_one_after_another_with_their_numbers(hydra: Any, tmp_path: Path):
    given = []

    def run(config: DictConfig, folder: Path, resumed: bool) -> None:
        given.append((config.dropout, HydraConfig.get().job.num, folder.parent.absolute(), resumed))

    found = launcher_of(hydra, run).launch([["dropout=0"], ["dropout=0.5"]], 4)
    assert given == [(0, 4, tmp_path / "sweep", True), (0.5, 5, tmp_path / "sweep", True)]
    assert [each.status for each in found] == [JobStatus.COMPLETED] * 2


def test_a_failed_job_is_written_and_the_next_one_runs(hydra: Any, tmp_path: Path):
    ran = []

    def run(config: DictConfig, folder: Path, resumed: bool) -> None:
        ran.append(folder)
        if config.dropout == 0:
            raise GraftError("no images")

    launcher = launcher_of(hydra, run)
    launcher.launch([["dropout=0"], ["dropout=0.5"]], 0)
    assert len(ran) == 2
    assert [path.read_text() for path in tmp_path.glob("sweep/*/failure.json")] == ['{"error": "no images"}\n']
    assert launcher.refused is None


def test_a_job_that_would_overwrite_another_result_is_remembered(hydra: Any, tmp_path: Path):
    def run(*_: object) -> None:
        raise OtherResult("it has another configuration")

    launcher = launcher_of(hydra, run)
    launcher.launch([["dropout=0"]], 0)
    assert str(launcher.refused) == "it has another configuration"
    assert not list(tmp_path.glob("sweep/*/failure.json"))
