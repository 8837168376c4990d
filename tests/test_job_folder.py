import json
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from graft.job_folder import finished_result, locked_job_folder, read_result


def test_a_result_is_read_back_unless_it_is_missing_or_damaged(tmp_path: Path):
    path = tmp_path / "result.json"
    assert read_result(tmp_path) is None
    path.write_text('{"trials": []}')
    assert read_result(tmp_path) == {"trials": []}
    for damaged in (b"", b'{"trials": [', b"[1]", b"\xff\xfe"):
        path.write_bytes(damaged)
        assert read_result(tmp_path) is None, damaged
    path.unlink()
    path.mkdir()
    assert read_result(tmp_path) is None


def test_a_result_is_finished_if_it_is_this_job_s_and_no_trial_failed(tmp_path: Path):
    def write(**content: object) -> None:
        (tmp_path / "result.json").write_text(json.dumps(content))

    assert finished_result(tmp_path, "this") is None
    whole = {"identity": "this", "trials": [{"seed": 0}, {"seed": 1}]}
    write(**whole)
    assert finished_result(tmp_path, "this") == whole
    assert finished_result(tmp_path, "another") is None
    write(identity="this", trials=[{"seed": 0}, {"seed": 1, "error": "the loss became NaN"}])
    assert finished_result(tmp_path, "this") is None
    write(trials=[{"seed": 0}])
    assert finished_result(tmp_path, "this") is None


def test_one_process_at_a_time_has_a_job_s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    entered = threading.Event()

    def enter() -> None:
        with locked_job_folder(tmp_path):
            entered.set()

    with FileLock(tmp_path / ".lock"):
        other = threading.Thread(target=enter)
        other.start()
        assert not entered.wait(0.3)
        monkeypatch.setenv("RANK", "1")
        with locked_job_folder(tmp_path):  # rank 0 has the lock for all ranks
            pass
    assert entered.wait(10)
    other.join()
