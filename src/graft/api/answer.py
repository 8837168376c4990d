"""The answer of a sweep, or of one job, as Python objects."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas
from rich.console import Console

from graft.api.html import page
from graft.errors import GraftError
from graft.job_folder import HISTORY
from graft.page.show import print_table
from graft.report.compare import Report, compare_jobs
from graft.results.job_files import read_history
from graft.results.records import Record

if TYPE_CHECKING:
    from graft.api.model import Model


def read(*folders: str | Path) -> "Answer":
    """Return the answer of all finished jobs below some folders; nothing is run or written.

    Args:
        folders: of jobs, of sweeps, or of several of them.

    Raises:
        GraftError: a folder is missing, or has no finished job.
    """
    if not folders:
        raise GraftError('read() needs a folder; try graft.read("outputs")')
    wrong = [folder for folder in folders if not isinstance(folder, str | Path)]
    if wrong:
        kind = type(wrong[0]).__name__
        raise GraftError(f'read() takes folders, got {kind}; try graft.read("outputs/a", "outputs/b")')
    return answer_of([Path(folder) for folder in folders])


def answer_of(folders: Sequence[Path]) -> "Answer":
    """Return the answer of all jobs below some folders.

    Raises:
        GraftError: no job finished.
    """
    report = compare_jobs(folders, required=False)
    if not report.board.records:
        if report.records.refits:
            words = "; ".join(report.records.refits.values())
            raise GraftError(
                f"there is nothing to compare: {words}; graft.refit returns its model, and trains none again"
            )
        reasons = "; ".join(f"{name}: {reason}" for name, reason in report.records.failed.items())
        raise GraftError(f"no job finished: {reasons}")
    return Answer(report, folders)


class JobResult:
    """One finished job.

    Args:
        record: what its files say.

    Attributes:
        folder: its folder.
        name: its folder's name, relative to what was read.
        label: its values of the swept keys, in words.
    """

    def __init__(self, record: Record):
        self._record = record
        self.folder: Path = record.folder
        self.name: str = record.name
        self.label: str = record.label

    @property
    def result(self) -> dict[str, Any]:
        """The content of its `result.json`."""
        return self._record.result

    @property
    def config(self) -> dict[str, Any]:
        """Its configuration."""
        return self._record.config

    @property
    def accuracy(self) -> float:
        """Mean of its trials on the test images, in [0, 1]."""
        return self._record.spread().mean

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of its accuracy; None if nothing can be said, as of one trial without outcomes."""
        return self._record.spread().interval

    @property
    def parameters(self) -> dict[str, int]:
        """Numbers of parameters: total, trainable and frozen."""
        return self.result.get("parameters") or {}

    def trials(self) -> pandas.DataFrame:
        """Return a row for each trial, with what `result.json` says of it."""
        return pandas.DataFrame(self.result["trials"])

    def history(self) -> pandas.DataFrame:
        """Return its curves: a row for each trial, epoch, split and metric.

        Raises:
            GraftError: they cannot be read.
        """
        path = self.folder / HISTORY
        try:
            return read_history(path)
        except (OSError, ValueError) as error:
            raise GraftError(f"{path} cannot be read ({error}); run the job again with resume=false") from None

    def model(self, modules: Sequence[str] = ()) -> "Model":
        """Return its trained model: the best trial, or with `keep_weights=all` all of them.

        Args:
            modules: packages of your own whose networks may be built.

        Raises:
            GraftError: it has no weights, or they are damaged.
        """
        from graft.api.model import Model
        from graft.inference.load import load  # imports torch

        return Model(load(self.folder, modules))

    def __repr__(self) -> str:
        return f"JobResult({self.label!r}, accuracy={self.accuracy:.4f}, folder={str(self.folder)!r})"


class Answer:
    """A comparison of finished jobs. In a notebook it is shown as a table, sentences and pictures.

    Args:
        report: the comparison.
        folders: that it was read from.

    Attributes:
        folders: the same.
    """

    def __init__(self, report: Report, folders: Sequence[Path] = ()):
        self._report, self.folders = report, list(folders)
        self._html = ""

    @property
    def table(self) -> pandas.DataFrame:
        """A row for each job, as `leaderboard.csv` has it: the best first, accuracies in [0, 1]."""
        return self._report.board.table.drop(columns="label")

    @property
    def jobs(self) -> list[JobResult]:
        """The finished jobs, the best first; sorted by name if they cannot be ranked."""
        return [JobResult(record) for record in self._report.board.records]

    @property
    def best(self) -> JobResult:
        """The best job.

        Raises:
            GraftError: the jobs cannot be ranked.
        """
        best = self._report.board.best
        if best is None:
            raise GraftError(f"there is no best job, because they are {self._report.board.order}; try .jobs")
        return JobResult(best)

    @property
    def sentences(self) -> list[str]:
        """The answer in words, after the jobs that have not finished; of jobs that cannot be ranked, why."""
        board = self._report.board
        unranked = [f"{board.order[0].upper()}{board.order[1:]}."] if board.comparison is None else []
        return [*self._report.missing, *self._report.sentences, *unranked]

    @property
    def failed(self) -> dict[str, str]:
        """Why jobs and trials failed, or files could not be read, by name."""
        records = self._report.records
        return records.failed | records.damaged | records.read_without

    @property
    def skipped(self) -> dict[str, str]:
        """Why jobs were skipped whose backbone's weights could not be had, by name, where another backbone ran."""
        return self._report.records.skipped

    @property
    def unfinished(self) -> list[str]:
        """The jobs that a sweep was to run and that have not finished, by name."""
        return list(self._report.records.unfinished)

    def trials(self) -> pandas.DataFrame:
        """Return a row for each job and trial."""
        return self._each(JobResult.trials)

    def history(self) -> pandas.DataFrame:
        """Return all curves: a row for each job, trial, epoch, split and metric."""
        return self._each(JobResult.history)

    def _each(self, table: Callable[[JobResult], pandas.DataFrame]) -> pandas.DataFrame:
        parts = []
        for job in self.jobs:
            parts.append(table(job))
            parts[-1].insert(0, "job", job.name)
        return pandas.concat(parts, ignore_index=True)

    def __repr__(self) -> str:
        output = io.StringIO()
        print_table(self._report.board, Console(file=output, width=120, markup=False, emoji=False, highlight=False))
        failed = [f"failed {name}: {reason}" for name, reason in self.failed.items()]
        skipped = [f"skipped {name}: {reason}" for name, reason in self._report.skipped.items()]
        return "\n".join([output.getvalue().rstrip(), *self.sentences, *skipped, *failed])

    def _repr_html_(self) -> str:
        self._html = self._html or page(self._report, self.sentences, self.failed)
        return self._html
