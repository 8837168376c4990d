"""Where a sweep is: job 3 of 12, and the time left for all, by the seconds of the jobs that have ended.

Jobs in this process say it at their starts and on their bars. For jobs in other processes, a bar or a line each half
minute counts those that have ended.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from graft.bars import Bar, duration, set_place
from graft.job_folder import FAILURE, PRUNED, RESULT, ROUND, TRIAL_RUN, read_result
from graft.sweeps.launcher import runs_in_this_process

log = logging.getLogger("graft")

ENDS = (RESULT, FAILURE, PRUNED, TRIAL_RUN)  # files of which one is written when a job ends
LOOK = 1.0  # seconds between two looks at jobs in other processes

Subfolder = Callable[[DictConfig, Sequence[str]], str]

_jobs: "Jobs | None" = None  # that this process runs now


class Jobs:
    """The jobs of one launch. Jobs that were finished before it count as done, and not for the time left.

    Args:
        folders: theirs, in their order.
        seconds: of jobs of the same sweep that have ended; those of this launch are added.
        first: number of the sweep's jobs before this launch.
        total: number of jobs in all; None: unknown, because trials=auto decides after each round who goes on.
        clock: returns seconds.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        seconds: list[float],
        first: int = 0,
        total: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.seconds, self.first, self.total, self._clock = seconds, first, total, clock
        self.folders = list(folders)
        self.later = 0 if total is None else max(0, total - first - len(folders))
        self.waiting = [folder for folder in folders if not _is_finished(folder)]
        self.number, self._started = 0, clock()

    @contextmanager
    def run(self, folder: Path) -> Iterator[None]:
        """Count the job that this block runs, say where the sweep is, and measure it."""
        self.number, self._started = self.number + 1, self._clock()
        waited = folder in self.waiting
        if waited:
            self.waiting.remove(folder)
            log.info("%s", self.place())
        yield
        if waited:
            self.seconds.append(self._clock() - self._started)

    def place(self) -> str:
        """Return where the sweep is: job 3 of 12 (4 min left for all)."""
        if self.total is None:
            words, what = f"job {self.number} of {len(self.folders)} of this round", "them"
        else:
            words, what = f"job {self.first + self.number} of {self.total}", "all"
        if not self.seconds:
            return words
        each, now, waiting = mean(self.seconds), self._clock() - self._started, len(self.waiting) + self.later
        if now >= each + 1:  # nobody knows how long this job still takes, only that it takes longer than the others
            each = mean([*self.seconds, now])
            return f"{words} ({duration(each * waiting)} left after it)" if waiting else words
        return f"{words} ({duration(max(0.0, each - now) + each * waiting)} left for {what})"


class CountedLauncher(Launcher):
    """A launcher whose jobs are counted.

    Args:
        launcher: launches them.
        config: the sweep's configuration, with `hydra`.
        subfolder: returns the folder of a job, by its overrides, within the sweep's.
        total: number of jobs in all; None: it is not known.

    Attributes:
        number: of the sweep's jobs before the next launch.
    """

    def __init__(self, launcher: Launcher, config: DictConfig, subfolder: Subfolder, total: int | None):
        super().__init__()
        self.launcher, self.sweep, self.subfolder = launcher, config, subfolder
        self.total, self.number = total, 0
        self.seconds: list[float] = []

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        raise NotImplementedError("the launcher is set up already")

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        root = Path(self.sweep.hydra.sweep.dir)
        folders = [(root / self.subfolder(self.sweep, overrides)).resolve() for overrides in job_overrides]
        jobs = Jobs(folders, self.seconds, self.number, self.total)
        with _here(jobs) if runs_in_this_process(self.sweep.hydra.launcher) else _elsewhere(jobs):
            returns = self.launcher.launch(job_overrides, initial_job_idx=initial_job_idx)
        self.number += len(folders)
        return returns


@contextmanager
def counted_job(folder: Path) -> Iterator[None]:
    """Count a job, if this process runs the jobs of a sweep one after another."""
    if _jobs is None:
        yield
        return
    with _jobs.run(folder.resolve()):
        yield


@contextmanager
def _here(jobs: Jobs) -> Iterator[None]:
    """Let the jobs that this process runs say where the sweep is."""
    global _jobs
    _jobs = jobs if len(jobs.folders) + jobs.first + jobs.later > 1 else None
    set_place(None if _jobs is None else _jobs.place)
    try:
        yield
    finally:
        _jobs = None
        set_place(None)


@contextmanager
def _elsewhere(jobs: Jobs) -> Iterator[None]:
    """Watch the folders of jobs that other processes run."""
    before = {folder: _ends(folder) for folder in jobs.waiting}
    done = len(jobs.folders) - len(jobs.waiting)  # of these jobs; with rounds it is not known how many follow
    bar = Bar(jobs.total or len(jobs.folders), "sweep", "job", done=done + (jobs.first if jobs.total else 0))
    over = threading.Event()

    def watch() -> None:
        ended = 0
        while not over.wait(LOOK):
            now = sum(bool(_ends(folder) - known) for folder, known in before.items())
            bar.update(max(0, now - ended))
            ended = max(ended, now)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        bar.close()


def _ends(folder: Path) -> set[tuple[str, int]]:
    """Return the files that a job has ended with, and when they were written."""
    found = set()
    for name in ENDS:
        try:
            found.add((name, (folder / name).stat().st_mtime_ns))
        except OSError:
            continue
    return found


def _is_finished(folder: Path) -> bool:
    """Return whether a job has a result, of as many trials as the round that starts now asks for."""
    result, asked = read_result(folder), read_result(folder, ROUND) or {}
    return result is not None and len(result.get("trials", [])) >= asked.get("trials", 0)
