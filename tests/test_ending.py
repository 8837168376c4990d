"""How the program ends: signals, errors, a closed output, and names that the terminal cannot show."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from graft import ending
from graft.ending import known_reason, reason, stop_on_error
from graft.errors import GraftError


def python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a new process."""
    where = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=where, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_program_where_exceptions_are_ignored_too(number: signal.Signals):
    done = python(f"""
import os, time
from graft.ending import end_on_signals
class Ignoring:
    def __del__(self):
        os.kill(os.getpid(), {number})
        time.sleep(0.1)
end_on_signals(lambda: print("so far"), "; jobs run on")
ignoring = Ignoring()
del ignoring
time.sleep(20)
print("not ended")
""")
    assert done.returncode == 128 + number
    assert done.stdout == "so far\n"
    assert done.stderr == "stopped; jobs run on; the same command resumes with -m or resume=true\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_library_that_swallows_the_exit_does_not_keep_the_program(number: signal.Signals):
    done = python(f"""
import os, time
from graft import ending
ending.PATIENCE = 0.3
ending.end_on_signals(lambda: None)
try:
    os.kill(os.getpid(), {number})
    time.sleep(0.1)
except SystemExit:
    print("swallowed")
time.sleep(20)
print("not ended")
""")
    assert done.returncode == 128 + number
    assert done.stdout == "swallowed\n"


def test_an_exit_that_a_library_turned_into_an_error_is_no_error_of_the_job():
    done = python("""
import os, signal, time
from graft.ending import end_on_signals, exit_if_stopped, stop_on_error
end_on_signals(lambda: None)
with stop_on_error():
    exit_if_stopped()  # nothing came yet
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
    except SystemExit:
        raise ValueError("could not determine the shape of object type") from None
""")
    assert done.returncode == 143
    assert "could not determine" not in done.stderr


def test_last_words_that_fail_do_not_keep_the_program():
    done = python("""
import os, signal
from graft.ending import end_on_signals
end_on_signals(lambda: 1 / 0)
os.kill(os.getpid(), signal.SIGTERM)
""")
    assert done.returncode == 143
    assert "ZeroDivisionError" in done.stderr
    assert "stopped; the same command resumes" in done.stderr


def test_ctrl_c_ends_the_program_where_the_system_has_no_alarms():
    done = python("""
import signal
for name in ("SIGALRM", "setitimer"):  # as on Windows
    vars(signal).pop(name, None)
from graft.ending import end_on_signals
end_on_signals(lambda: print("so far"))
signal.raise_signal(signal.SIGINT)
print("not ended")
""")
    assert (done.returncode, done.stdout) == (130, "so far\n")
    assert done.stderr == "stopped; the same command resumes with -m or resume=true\n"


def test_ctrl_c_during_an_import_says_nothing():
    done = python("""
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # this test may itself run in the background
from graft.ending import prepare
prepare()
os.kill(os.getpid(), signal.SIGINT)
""")
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_a_background_process_keeps_ignoring_ctrl_c():
    done = python("""
import os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from graft.ending import prepare
prepare()
os.kill(os.getpid(), signal.SIGINT)
print("lives")
""")
    assert (done.returncode, done.stdout) == (0, "lives\n")


def test_only_a_fault_of_graft_s_own_has_a_traceback_and_says_where_to_report_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    for error, words in (
        (GraftError("dropout must be below 1"), "dropout must be below 1\n"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "outputs/x"), "No space left on device: outputs/x; finished"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/root"),
            "Permission denied: /root; finished work is kept",
        ),
        (
            FileExistsError(errno.EEXIST, "File exists", "a.txt"),
            "a.txt needs a folder where a file is (File exists); try",
        ),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory; try"),
        (MemoryError(), "out of memory; try trials_at_once=1"),
    ):
        with pytest.raises(SystemExit) as ended, stop_on_error():
            raise error
        said = capsys.readouterr().err
        assert (ended.value.code, said.startswith(words), said.count("\n")) == (1, True, 1), said
    assert known_reason(KeyError("a")) is None
    with pytest.raises(SystemExit), stop_on_error():
        raise KeyError("a")  # by code that is none of Graft's
    assert re.match(
        r"code of your own failed in .*test_ending\.py, line \d+; finished work is kept:", capsys.readouterr().err
    )
    monkeypatch.setattr(ending, "own_line", lambda _: "")
    with pytest.raises(SystemExit), stop_on_error():
        raise KeyError("a")
    said = capsys.readouterr().err
    assert said.startswith("this is most likely a fault of Graft's own; please report it with this text:\n")
    assert said.rstrip().endswith("KeyError: 'a'")


def test_an_error_in_graft_s_words_is_preferred(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit), stop_on_error(lambda error: f"mistyped {error}"):
        raise ValueError("x")
    assert capsys.readouterr().err == "mistyped x\n"
    assert "KeyError" in reason(KeyError("x"))


def test_a_closed_output_ends_the_program_quietly(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text("""
import sys
from graft.ending import stop_on_error
with stop_on_error():
    for i in range(100_000):
        print(i)
sys.exit("was not ended")
""")
    piped = f"{sys.executable} {script} | head -1; echo ${{PIPESTATUS[0]}}"
    where = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(["bash", "-c", piped], capture_output=True, text=True, timeout=60, check=True, env=where)
    assert (done.stdout, done.stderr) == ("0\n141\n", "")


def test_names_that_the_terminal_cannot_show_are_escaped():
    script = "from graft.ending import prepare; prepare(); print('K\\u00fcche \\udcff')"
    done = python(script, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (done.returncode, done.stdout) == (0, "K\\xfcche \\udcff\n")
