"""Reads the results of finished, failed and pruned jobs from their folders; needs neither the data nor torch."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from graft.config.one_form import PLACES
from graft.config.values import BASELINE, CONTROL, THUMBNAIL
from graft.job_folder import FAILURE, OUTCOMES, PLANNED, PRUNED, TRIAL_RUN
from graft.results.job_files import check_pruning, check_result, check_trial_run, read_json, same_jobs
from graft.results.labels import job_label
from graft.results.measured import distinct_images, measured
from graft.results.metric import name_of
from graft.results.outcomes import StoredOutcomes, read_outcomes
from graft.results.refits import in_words, is_refit
from graft.results.rounds import SweepRounds, find_rounds
from graft.results.settings import Setting, backbone_of, complete_choices, is_solved, known_choices, swept_settings
from graft.results.unranked import (
    DamagedFile,
    FailedJob,
    PrunedJob,
    Refit,
    TrialRun,
    Unranked,
    existing,
    failed_job,
    job_files,
    reasons,
    skipped_jobs,
    unfinished_jobs,
)
from graft.statistics.accuracies import Accuracies
from graft.statistics.comparison import Spread, spread


@dataclass
class Record:
    """One finished job.

    Attributes:
        name: its folder, relative to the common parent of all folders that were searched.
        result: the content of its `result.json`.
        folder: its folder.
        choices: its option of each group.
        setting: its values of the swept keys.
        label: these in words; unique within a report.
        outcomes: what its trials said of each image; None in results of older versions.
        unreadable: why they are left out, if they are.
        by_metric: accuracies that have been asked for.
    """

    name: str
    result: dict
    folder: Path
    choices: dict[str, str] = field(default_factory=dict)
    setting: Setting = field(default_factory=dict)
    label: str = ""
    outcomes: StoredOutcomes | None = None
    unreadable: str = ""
    by_metric: dict[str, Accuracies] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def config(self) -> dict:
        return self.result.get("config") or {}

    @property
    def tested_on(self) -> str | None:
        """Text that is equal for jobs with the same test images; None in results of older versions."""
        contents = self.result.get("contents")
        tested_on = contents.get("tested_on") if isinstance(contents, dict) else None
        return tested_on if isinstance(tested_on, str) else None

    @property
    def solved(self) -> bool:
        """Whether its heads are fitted at once, without epochs."""
        return is_solved(self.config)

    @property
    def added(self) -> bool:
        """Whether its sweep has added it, as what the others have to beat."""
        return self.config.get("baseline") in (BASELINE, CONTROL)

    @property
    def control(self) -> bool:
        """Whether its features are mean colors and thumbnails, which every backbone has to beat."""
        return backbone_of(self.config) == THUMBNAIL

    @property
    def baseline(self) -> bool:
        """Whether its sweep has added it to heads that train, as what they have to beat."""
        return "baseline" in self.setting

    def accuracies(self, metric: str = "accuracy") -> Accuracies:
        """Return the finished trials' accuracies, or another metric, by seed, as `measured` does."""
        if metric not in self.by_metric:  # a report asks several times, and outcomes may be of many images
            self.by_metric[metric] = measured(self.result, self.outcomes, metric)
        return self.by_metric[metric]

    def spread(self, metric: str = "accuracy") -> Spread:
        """Return the summary of these accuracies, with the interval of their mean."""
        images = distinct_images(self.result, self.outcomes, metric) if name_of(metric) == "accuracy" else None
        return spread(self.accuracies(metric), images)


@dataclass
class Records:
    """All jobs below some folders.

    Attributes:
        finished: jobs with at least one finished trial.
        failed: reasons by name, of failed jobs, trial runs, and failed trials of finished jobs.
        damaged: reasons by file whose job is left out, and by job that is the same as another.
        pruned: epoch and accuracy at which jobs were pruned, by name.
        rounds: what the rounds of sweeps with trials=auto have found, by folder.
        refits: what jobs that were trained on every labeled image say of themselves, by name.
        read_without: reasons by file without which finished jobs were read.
        unfinished: what can be done, by name of a job that a sweep planned and that has left no file.
        num_jobs: number of all these jobs, without refits and copies.
        skipped: reasons by name of jobs whose weights could not be had, where another backbone has finished.
    """

    finished: list[Record]
    failed: dict[str, str]
    damaged: dict[str, str]
    pruned: dict[str, str]
    rounds: dict[Path, SweepRounds] = field(default_factory=dict)
    refits: dict[str, str] = field(default_factory=dict)
    read_without: dict[str, str] = field(default_factory=dict)
    unfinished: dict[str, str] = field(default_factory=dict)
    num_jobs: int = 0
    skipped: dict[str, str] = field(default_factory=dict)


def read_records(folders: Sequence[Path]) -> Records:
    """Read all jobs below some folders, at any depth.

    Raises:
        GraftError: a folder does not exist.
    """
    roots = existing(folders)
    paths: dict[Path, Path] = {}
    for path in sorted({path for folder in roots for path in job_files(folder)}, key=_links_last):
        # A file counts once if its folder is given twice, is inside another, or is linked to.
        paths.setdefault(path.parent.resolve() / path.name, path)
    root = Path(os.path.commonpath(roots))
    sweeps = [path.parent for path in paths.values() if path.name == PLANNED]
    jobs = [_read(path, root) for path in paths.values() if path.name != PLANNED]
    failed = reasons(jobs, FailedJob)
    # A job that ran twice may have left two files: a failure counts more than a result, a result more than a
    # trial run or a pruning.
    finished = [job for job in jobs if isinstance(job, Record) and job.name not in failed]
    names, again = {record.name for record in finished}, same_jobs({job.name: job.result for job in finished})
    finished = [job for job in finished if job.name not in again]
    skipped = skipped_jobs(jobs, {backbone_of(job.config) for job in finished if not job.added})
    failed = reasons(jobs, TrialRun, names) | {name: why for name, why in failed.items() if name not in skipped}
    _set_labels(finished)
    rounds, unread = find_rounds(roots, [job.folder for job in finished if job.config.get("trials") == "auto"])
    refits, unfinished = reasons(jobs, Refit), unfinished_jobs(sweeps, root)
    places = {place.parent for place in paths if place.name != PLANNED}
    without = {f"{job.name}/{OUTCOMES}": job.unreadable for job in finished if job.unreadable}
    return Records(
        finished=finished,
        failed=failed | _failed_trials(finished),
        damaged=reasons(jobs, DamagedFile) | again,
        pruned=reasons(jobs, PrunedJob, names),
        rounds=rounds,
        refits=refits,
        read_without=without | {path.relative_to(root).as_posix(): reason for path, reason in unread.items()},
        unfinished=unfinished,
        num_jobs=len(places) + len(unfinished) - len(refits) - len(again),
        skipped=skipped,
    )


def _links_last(path: Path) -> tuple[bool, Path]:
    return path.parent.is_symlink(), path


def _read(path: Path, root: Path) -> Record | Unranked:
    """Read one file that a job has left; `read_result` would not say why a file is left out."""
    folder = path.parent
    name = folder.name if folder == root else folder.relative_to(root).as_posix()
    try:
        content = read_json(path)
        if path.name == FAILURE:
            return failed_job(name, content)
        if path.name == TRIAL_RUN:
            check_trial_run(content)
            return TrialRun(name, f"a trial run: {'; '.join(content['trial_run'])}")
        if path.name == PRUNED:
            check_pruning(content)
            accuracy = f"{100 * content['val_accuracy']:.1f}"
            return PrunedJob(name, f"at epoch {content['epoch']}, validation accuracy {accuracy} %")
        if is_refit(content):
            return Refit(name, "; ".join(in_words(content)))
        check_result(content)
    except KeyError as error:
        return DamagedFile(f"{name}/{path.name}", f"it has no {error.args[0]}")
    except (ValueError, OSError) as error:
        return DamagedFile(f"{name}/{path.name}", str(error))
    record = Record(name, content, folder)
    try:
        record.outcomes = read_outcomes(folder)
    except (ValueError, OSError) as error:
        record.unreadable = str(error)
    return record if record.accuracies() else FailedJob(name, "none of its trials finished")


def _failed_trials(records: Sequence[Record]) -> dict[str, str]:
    return {
        f"{record.name}, trial of seed {trial['seed']}": str(trial["error"])
        for record in records
        for trial in record.result["trials"]
        if trial.get("error") is not None
    }


def _set_labels(records: Sequence[Record]) -> None:
    """Set each job's choices, its values of the swept keys, and its label."""
    known = [known_choices(record.result, Path(record.name).name) for record in records]
    configs = _told_apart_by_root(records)
    choices = complete_choices(list(zip(configs, known, strict=True)))
    settings = swept_settings(list(zip(configs, choices, strict=True)))
    labels = [job_label(setting, record.config) for setting, record in zip(settings, records, strict=True)]
    for index, record in enumerate(records):
        record.choices, record.setting, words = choices[index], settings[index], labels[index]
        record.label = " ".join((words or record.name).split())
        if words and labels.count(words) > 1:
            record.label += f" ({record.name})"


def _told_apart_by_root(records: Sequence[Record]) -> list[dict]:
    """Return the configurations, with the data set's folder or table only if jobs were tested on different images.

    The same images may be elsewhere on another machine. Results of older versions do not tell their images.
    """
    if len({record.tested_on for record in records if record.tested_on}) > 1:
        return [record.config for record in records]
    return [
        {
            **record.config,
            "dataset": {key: value for key, value in record.config["dataset"].items() if key not in PLACES},
        }
        if isinstance(record.config.get("dataset"), dict)
        else record.config
        for record in records
    ]
