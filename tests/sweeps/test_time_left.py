"""Where a sweep is: the number of the job, and the time left by the seconds of those that ran."""

import json
import logging
import time
from pathlib import Path

import pytest
from hydra.core.utils import JobReturn
from omegaconf import DictConfig, OmegaConf

from graft import bars
from graft.sweeps import time_left
from graft.sweeps.time_left import CountedLauncher, Jobs, counted_job


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def finish(folder: Path, trials: int = 3) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps({"trials": [{}] * trials}))


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [tmp_path / f"job{number}" for number in range(4)]


def test_the_time_left_is_the_mean_of_the_jobs_that_ran_for_those_that_wait(folders: list[Path]):
    clock, said = Clock(), []
    jobs = Jobs(folders, [], total=4, clock=clock)
    for folder, seconds in zip(folders, (100, 20, 30, 40), strict=True):
        with jobs.run(folder):
            said.append(jobs.place())
            clock.now += seconds / 2
            said.append(jobs.place())
            clock.now += seconds / 2
    assert said == [
        "job 1 of 4",
        "job 1 of 4",
        "job 2 of 4 (5 min left for all)",  # 100 each
        "job 2 of 4 (5 min left for all)",  # 90 + 200
        "job 3 of 4 (2 min left for all)",  # 60 each
        "job 3 of 4 (2 min left for all)",  # 45 + 60
        "job 4 of 4 (50 s left for all)",
        "job 4 of 4 (30 s left for all)",
    ]


def test_finished_jobs_count_as_done_and_tell_nothing_of_the_time(folders: list[Path], caplog):
    caplog.set_level(logging.INFO, "graft")
    finish(folders[0])
    finish(folders[2])
    clock, place = Clock(), ""
    jobs = Jobs(folders, [], total=4, clock=clock)
    for folder, seconds in zip(folders, (0.1, 60, 0.1, 60), strict=True):
        with jobs.run(folder):
            place = jobs.place()
            clock.now += seconds
    assert jobs.seconds == [60, 60]
    assert place == "job 4 of 4 (60 s left for all)"
    assert [record.getMessage() for record in caplog.records] == ["job 2 of 4", place]  # finished ones say so


def test_of_a_job_that_takes_longer_than_the_others_no_end_is_claimed(folders: list[Path]):
    clock = Clock()
    jobs = Jobs(folders[:2], [10.0], total=2, clock=clock)
    with jobs.run(folders[0]):
        clock.now += 50
        assert jobs.place() == "job 1 of 2 (30 s left after it)"  # the mean of 10 and 50
    with jobs.run(folders[1]):
        clock.now += 29
        assert jobs.place() == "job 2 of 2 (1 s left for all)"
        clock.now += 2
        assert jobs.place() == "job 2 of 2"


def test_a_round_says_that_it_is_one(folders: list[Path]):
    for folder in folders:
        finish(folder, trials=6)
        (folder / "round.json").write_text('{"trials": 12}')  # not finished, as far as this round goes
    jobs = Jobs(folders, [50.0])
    with jobs.run(folders[0]):
        assert jobs.place() == "job 1 of 4 of this round (3 min left for them)"


def test_a_search_counts_the_jobs_before_and_after_this_batch(folders: list[Path]):
    jobs = Jobs(folders[:2], [30.0], first=5, total=20, clock=Clock())
    with jobs.run(folders[0]):
        assert jobs.place() == "job 6 of 20 (8 min left for all)"  # 30 s, and 14 others


class Launcher:
    """Runs jobs, as the task says, and remembers them."""

    def __init__(self, task):
        self.task, self.launched = task, []

    def launch(self, job_overrides, initial_job_idx: int) -> list[JobReturn]:
        self.launched.append((list(job_overrides), initial_job_idx))
        for overrides in job_overrides:
            self.task(*overrides)
        return []


def config(folder: Path, target: str) -> DictConfig:
    return OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}, "launcher": {"_target_": target}}})


def subfolder(_: DictConfig, overrides) -> str:
    return overrides[0]


def test_jobs_in_this_process_say_where_they_are_on_their_bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bars, "_place", None)
    places: list[str] = []

    def task(name: str) -> None:
        with counted_job(tmp_path / name):
            assert bars._place is not None
            places.append(bars._place())

    launcher = Launcher(task)
    counted = CountedLauncher(launcher, config(tmp_path, "x.BasicLauncher"), subfolder, 3)  # type: ignore[arg-type]
    counted.launch([["a"], ["b"]], initial_job_idx=0)
    counted.number = 2
    counted.launch([["c"]], initial_job_idx=2)
    assert launcher.launched == [([["a"], ["b"]], 0), ([["c"]], 2)]
    assert places == ["job 1 of 3", "job 2 of 3 (0 s left for all)", "job 3 of 3 (0 s left for all)"]
    assert bars._place is None
    with counted_job(tmp_path / "alone"):
        assert bars._place is None


def test_a_single_job_has_no_place(tmp_path: Path):
    launcher = Launcher(lambda _: places.append(bars._place))
    places: list = []
    CountedLauncher(launcher, config(tmp_path, "x.BasicLauncher"), subfolder, 1).launch([["a"]], 0)  # type: ignore[arg-type]
    assert places == [None]


def test_jobs_in_other_processes_are_counted_by_their_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(time_left, "LOOK", 0.01)
    made: list[bars.Bar] = []

    class Kept(bars.Bar):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            made.append(self)

    monkeypatch.setattr(time_left, "Bar", Kept)
    finish(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "failure.json").write_text("{}")  # of an earlier run
    seen: dict[str, int] = {}

    def wait(name: str, expected: int) -> None:
        limit = time.monotonic() + 20
        while made[0].done != expected and time.monotonic() < limit:
            time.sleep(0.01)
        time.sleep(0.05)
        seen[name] = made[0].done

    def task(name: str) -> None:
        if name == "a":
            wait("at first", 1)
        elif name == "b":
            (tmp_path / name / "failure.json").unlink()
            wait("b has started", 1)
            finish(tmp_path / name)
            wait(name, 2)
        else:
            (tmp_path / name).mkdir()
            (tmp_path / name / "failure.json").write_text("{}")
            wait(name, 3)

    counted = CountedLauncher(Launcher(task), config(tmp_path, "joblib.JoblibLauncher"), subfolder, 3)  # type: ignore[arg-type]
    counted.launch([["a"], ["b"], ["c"]], 0)
    assert seen == {"at first": 1, "b has started": 1, "b": 2, "c": 3}
    assert made[0].total == 3
