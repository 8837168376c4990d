"""Bars: a bar on a terminal, a line each half minute elsewhere, and nothing where nobody looks."""

import io
import logging
import os
import select
from types import SimpleNamespace

import pytest

from graft import bars, process
from graft.bars import Bar, bar, duration, set_place


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(bars, "clock", found)
    return found


@pytest.fixture(autouse=True)
def no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "_place", None)
    monkeypatch.setattr(process, "_hide_bars", False)
    monkeypatch.setattr(process, "_hide_job_bars", False)
    monkeypatch.delenv("RANK", raising=False)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    written = io.StringIO()
    monkeypatch.setattr(written, "isatty", lambda: True)
    monkeypatch.setattr(bars, "sys", SimpleNamespace(stderr=written))  # pytest puts its own stderr back
    return written


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def work(clock: Clock, seconds: list[float], **settings) -> None:
    for each in bar(seconds, "features", len(seconds), "image", **settings):
        clock.now += each


def test_a_line_each_half_minute_says_how_much_is_done_and_left(clock: Clock, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "graft")
    work(clock, [10.0] * 12)
    assert lines(caplog) == [
        "features: 3 of 12 images, 90 s left",
        "features: 6 of 12 images, 60 s left",
        "features: 9 of 12 images, 30 s left",
        "features: 12 of 12 images, 0 s left",
    ]


@pytest.mark.parametrize(
    ("seconds", "count"),
    [([29.9], 0), ([30.0], 1), ([1.0] * 29, 0), ([100.0], 1), ([100.0, 1.0, 1.0], 1), ([45.0, 45.0], 2), ([], 0)],
)
def test_work_of_less_than_half_a_minute_is_silent(
    clock: Clock, caplog: pytest.LogCaptureFixture, seconds: list[float], count: int
):
    caplog.set_level(logging.INFO, "graft")
    work(clock, seconds)
    assert len(lines(caplog)) == count


def test_parts_count_by_their_sizes_and_earlier_ones_tell_nothing_of_the_speed(
    clock: Clock, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "graft")
    shown = Bar(100, "sweep", "job", done=80)
    clock.now += 60
    shown.update(0)
    shown.update(5)
    clock.now += 60
    shown.note(train_accuracy="62.5 %")
    shown.update(5)
    assert lines(caplog) == [
        "sweep: 80 of 100 jobs",
        "sweep: 90 of 100 jobs, 2 min left, train accuracy 62.5 %",
    ]


def test_looking_again_and_again_before_the_first_part_tells_no_time(clock: Clock, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "graft")
    shown = Bar(3, "sweep", "job", done=1)
    for count in (0, 0, 0, 1, 0, 1):
        clock.now += 30
        shown.update(count)
    assert lines(caplog)[2:] == [
        "sweep: 1 of 3 jobs",
        "sweep: 2 of 3 jobs",
        "sweep: 2 of 3 jobs",
        "sweep: 3 of 3 jobs, 0 s left",
    ]


def test_what_has_no_known_end_is_counted(clock: Clock):
    said: list[str] = []
    shown = Bar(None, "predict", "image", say=said.append)
    clock.now += 31
    shown.update(1204)
    assert said == ["predict: 1,204 images"]


def test_a_line_begins_with_the_place_in_the_sweep(clock: Clock, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "graft")
    set_place(lambda: f"job 3 of 12 ({clock.now - 1000:.0f} s)")
    work(clock, [30.0, 30.0])
    assert lines(caplog) == [
        "job 3 of 12 (30 s), features: 1 of 2 images",
        "job 3 of 12 (60 s), features: 2 of 2 images, 0 s left",
    ]


def test_a_terminal_has_a_bar_and_no_lines(clock: Clock, caplog: pytest.LogCaptureFixture, terminal: io.StringIO):
    caplog.set_level(logging.INFO, "graft")
    set_place(lambda: "job 3 of 12")
    work(clock, [100.0] * 5)
    assert lines(caplog) == []
    assert "job 3 of 12, features:   0%" in terminal.getvalue()
    assert "0/5" in terminal.getvalue()


@pytest.mark.parametrize("why", ["worker", "job", "quiet", "rank", "asked"])
@pytest.mark.parametrize("on_terminal", [True, False])
def test_nothing_is_shown_where_nobody_looks(
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    why: str,
    on_terminal: bool,
):
    caplog.set_level(logging.INFO, "graft")
    written = request.getfixturevalue("terminal") if on_terminal else io.StringIO()
    if why == "rank":
        monkeypatch.setenv("RANK", "1")
    elif why == "quiet":
        inside = process.inside_a_program(print, quiet=True)
        inside.__enter__()
        request.addfinalizer(lambda: inside.__exit__(None, None, None))
    elif why != "asked":
        monkeypatch.setattr(process, "_hide_bars" if why == "worker" else "_hide_job_bars", True)
    work(clock, [100.0] * 3, hidden=why == "asked")
    assert lines(caplog) == []
    assert written.getvalue() == ""


def test_a_failure_inside_removes_the_bar(terminal: io.StringIO):
    shares = (1 / number for number in (1, 0))
    with pytest.raises(ZeroDivisionError):
        list(bar(shares, "features", 2, "image"))
    assert terminal.getvalue().endswith("\r")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (99.4, "99 s"), (99.6, "2 min"), (3569, "59 min"), (3571, "1 h 0 min"), (1e6, "11 d 14 h")],
)
def test_times_in_words(seconds: float, words: str):
    assert duration(seconds) == words


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no such terminals here")
def test_a_terminal_without_a_size_has_a_bar(monkeypatch: pytest.MonkeyPatch):
    ours, theirs = os.openpty()  # 0 columns, as `docker run -t` and `script` may leave it
    assert os.get_terminal_size(theirs).columns == 0
    with open(theirs, "w") as terminal, open(ours, "rb", buffering=0) as screen:
        monkeypatch.setattr("sys.stderr", terminal)
        for _ in bar(range(3), "reading", 3, "file"):
            pass
        terminal.flush()
        assert select.select([screen], [], [], 1)[0]
        assert b"reading:" in screen.read(1000)
