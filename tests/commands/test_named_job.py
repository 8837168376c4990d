"""The job that `run=` names; zip files are tested with the commands that take them."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from stored_jobs import store_job

from graft.commands.named_job import named_job
from graft.errors import GraftError

GOLDEN = Path(__file__).parent.parent / "golden" / "sweep"
ONE, TWO = "source=big_dataset.small_per_class=10", "source=scratch_dataset.small_per_class=10"


def sweep(folder: Path, *names: str) -> Path:
    for name in names:
        shutil.copytree(GOLDEN / name, folder / name)
    return folder


def test_a_job_is_its_own_folder_and_no_table_is_read_for_it(tmp_path: Path):
    (tmp_path / "model.yaml").touch()
    assert named_job(tmp_path) == tmp_path
    code = (
        f"from pathlib import Path; from graft.commands.named_job import named_job; named_job(Path({str(tmp_path)!r}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print('pandas' in sys.modules)"], capture_output=True
    )
    assert loaded.stdout.split() == [b"False"]


def test_a_sweep_stands_for_its_winner_which_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = sweep(tmp_path / "sweep", ONE, TWO)
    with pytest.raises(GraftError, match=r"has no weights .*or name another job, such as run=.*source=scratch"):
        named_job(folder)
    (folder / ONE / "weights.safetensors").touch()
    assert named_job(folder) == folder / ONE
    said = capsys.readouterr().err
    assert "won among 2 jobs, ranked by test accuracy" in said
    assert "look better than it is" in said


def test_a_job_stands_for_itself_and_alone_in_a_folder_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = sweep(tmp_path / "sweep", ONE)
    assert named_job(folder / ONE) == named_job(folder) == folder / ONE
    assert named_job(tmp_path / "none.zip") == tmp_path / "none.zip"  # `load` says what is wrong with it
    assert capsys.readouterr().err == ""


def test_a_folder_without_a_finished_job_is_refused(tmp_path: Path):
    with pytest.raises(GraftError, match="has no finished job; try outputs/NAME"):
        named_job(tmp_path)
    with pytest.raises(GraftError, match=r"no finished job \(1 failed, such as source=.*999: .+\); try outputs/NAME"):
        named_job(sweep(tmp_path / "sweep", "source=big_dataset.small_per_class=999"))


def test_of_jobs_that_cannot_be_ranked_the_folders_are_listed(tmp_path: Path):
    for name, dropouts in (("cats", ("0", "0.1")), ("pets", ("0.2", "0.3"))):
        for dropout in dropouts:
            store_job(tmp_path / name, {"dropout": dropout}, contents={"tested_on": name})
    with pytest.raises(GraftError) as error:
        named_job(tmp_path)
    assert str(error.value) == (
        f"run={tmp_path} has 4 jobs that cannot be ranked, because they are tested on different images, or of data "
        f"sets that differ; name one of its folders, such as run={tmp_path}/cats: cats, pets"
    )


def test_of_jobs_that_failed_when_they_ran_again_one_with_its_earlier_result_is_named(tmp_path: Path):
    folder = sweep(tmp_path / "sweep", ONE)
    (folder / ONE / "failure.json").write_text('{"error": "photos is not a folder"}')
    said = re.escape(f"(1 failed, such as {ONE}: photos is not a folder); try run={folder / ONE}, whose earlier result")
    with pytest.raises(GraftError, match=said):
        named_job(folder)
    assert named_job(folder / ONE) == folder / ONE


def test_validation_accuracy_ranks_where_all_have_it(
    run: Callable[..., dict], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for dropout in ("0", "0.9"):
        run("trials=2", "epochs=2", "source.epochs=1", "dataset.val_per_class=10", f"dropout={dropout}", name=dropout)
    shutil.rmtree(tmp_path / "cache")
    named_job(tmp_path)
    said = capsys.readouterr().err
    assert "ranked by validation accuracy" in said
    assert "look better" not in said
