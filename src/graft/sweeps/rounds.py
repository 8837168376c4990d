"""Rounds of a sweep with trials=auto: `run_rounds` launches its jobs for more and more trials, until more tell nothing.

Each round's number of trials is written into the folders of the jobs that it launches (`round.json`), because a job's
configuration and identity are the same in all rounds. graft.statistics.stopping decides which jobs go on, from the
trials of the round that has ended: a sweep that starts again repeats these decisions, and runs only what is missing.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from graft.files import write_text
from graft.job_folder import ROUND, is_finished
from graft.report.leaderboard import not_comparable, ranked_by
from graft.report.sentences import name_first
from graft.results.baseline import common_metric
from graft.results.records import Record, read_records
from graft.results.rounds import EndedJob, SweepRounds
from graft.statistics.margin import Verdict
from graft.statistics.pairs import MIN_TRIALS
from graft.statistics.stopping import ONLY_DRAWS, ONLY_IMAGES, ONLY_TRIALS, Rounds, looks

log = logging.getLogger("graft")

Launch = Callable[[Sequence[Path]], None]  # runs the jobs of these folders


@dataclass(frozen=True)
class Settings:
    """Of the rounds of one sweep.

    Attributes:
        sizes: number of trials at the end of each round.
        margin: `report.margin`, in [0, 1].
        pairs: number of pairs of jobs that the sweep may compare; None: all pairs of its jobs.
    """

    sizes: list[int]
    margin: float = 0.0
    pairs: int | None = None


def settings(config: DictConfig, pairs: int | None = None) -> Settings:
    """Return the settings of a sweep's rounds, from its configuration."""
    sizes = looks(config.trials_min, config.trials_max, config.dataset.get("folds"))
    return Settings(sizes, config.report.margin / 100, pairs)


def run_rounds(
    chosen: Settings, folders: Sequence[Path], launch: Launch, first: Sequence[Path] | None = None
) -> SweepRounds:
    """Run jobs for as many trials as the answer needs.

    Jobs that are ranked are compared with the best of them. Jobs that answer different questions, such as those tested
    on different images, each get trials until the interval of their mean becomes no narrower.

    Args:
        chosen: the settings of the rounds.
        folders: the jobs' folders.
        launch: runs the jobs of some of these folders.
        first: the folders of the first round's jobs; None: all, of which finished ones only say so.

    Returns:
        What the rounds have found, and why no job gets more trials.
    """
    folders = [folder.resolve() for folder in folders]
    trials = dict.fromkeys(folders, chosen.sizes[0])
    _launch(folders if first is None else [folder.resolve() for folder in first], launch, trials)
    contests: list[Rounds] | None = None
    number = 0
    while True:
        records = _complete(folders, trials)
        contests = _contests(chosen, list(records.values())) if contests is None else contests
        metric = metric_of(list(records.values()))
        for contest in contests:
            found = {name: records[Path(name)].accuracies(metric) for name in contest.trials if Path(name) in records}
            if not contest.ended:
                contest.look(found)
        trials |= {Path(name): count for contest in contests for name, count in contest.trials.items()}
        log.info("%s", _round(chosen.sizes, number, contests, len(folders)))
        if all(contest.ended for contest in contests):
            return _found(chosen, contests, _ended(chosen, contests, records))
        _launch([folder for folder in records if _num_trials(records[folder]) < trials[folder]], launch, trials)
        number += 1


def metric_of(records: Sequence[Record]) -> str:
    """Return the key of the metric by which jobs are ranked."""
    return ranked_by(records, common_metric([record.config for record in records]))[0]


def _launch(folders: Sequence[Path], launch: Launch, trials: Mapping[Path, int]) -> None:
    """Run one round of some jobs."""
    for folder in folders:
        write_text(folder / ROUND, json.dumps({"trials": trials[folder]}) + "\n")
    if folders:
        launch(folders)
    for folder in folders:
        (folder / ROUND).unlink(missing_ok=True)


def _complete(folders: Sequence[Path], trials: Mapping[Path, int]) -> dict[Path, Record]:
    """Return the jobs all of whose trials finished, as many as they should have, by folder."""
    finished = read_records(folders).finished
    return {record.folder: record for record in finished if _num_trials(record) >= trials[record.folder]}


def _num_trials(record: Record) -> int:
    """Return how many trials a job has finished; none if one of them failed."""
    return len(record.result["trials"]) if is_finished(record.result) else 0


def _contests(chosen: Settings, records: Sequence[Record]) -> list[Rounds]:
    """Return the rounds of all jobs together, or of each by itself if they are not ranked."""
    names = [str(record.folder) for record in records]
    groups = [[name] for name in names] if not_comparable(records) else [names] if names else []
    least = chosen.sizes[0]
    return [
        Rounds(
            chosen.sizes,
            len(group) * (len(group) - 1) // 2 if chosen.pairs is None else chosen.pairs,
            chosen.margin,
            dict.fromkeys(group, least),
        )
        for group in groups
    ]


def _found(chosen: Settings, contests: Sequence[Rounds], ended: str) -> SweepRounds:
    """Return what the rounds have found; jobs that are not ranked have no best."""
    jobs = {
        Path(name): EndedJob(verdict, Path(contest.than[name]), contest.trials[name])
        for contest in contests
        for name, verdict in contest.out.items()
    }
    if len(contests) != 1:
        return SweepRounds(0, chosen.margin, ended, None, jobs)
    best = contests[0].best
    return SweepRounds(contests[0].pairs, chosen.margin, ended, Path(best) if best else None, jobs)


def _round(sizes: Sequence[int], number: int, contests: Sequence[Rounds], num_jobs: int) -> str:
    """Say what one round has found."""
    first, last = sizes[number - 1] if number else 0, sizes[number] - 1
    trials = f"trials {first} to {last}" if first < last else f"trial {last}"
    verdicts = [verdict for contest in contests for verdict in contest.out.values()]
    going = sum(len(contest.going) for contest in contests if not contest.ended)
    counts = [(verdicts.count(Verdict.WORSE), "worse"), (verdicts.count(Verdict.EQUAL), "equal within the margin")]
    found = [
        f"{count} of {num_jobs} configurations {'is' if count == 1 else 'are'} {word}"
        for count, word in counts
        if count
    ]
    tested = sizes[number] >= MIN_TRIALS or num_jobs == 1
    why = "" if tested else f", because a test needs {MIN_TRIALS} trials"
    found = found or [f"none of {num_jobs} configurations is decided{why}"]
    found += [f"{going or 'none'} go{'es' if going == 1 else ''} on"]
    return f"round {number + 1} of {trials}: {', '.join(found)}"


def _ended(chosen: Settings, contests: Sequence[Rounds], records: Mapping[Path, Record]) -> str:
    """Say why no job gets more trials."""
    most = chosen.sizes[-1]
    if not contests:
        return "trials=auto: no job has finished."
    used, planned = sum(sum(contest.trials.values()) for contest in contests), most * len(records)
    further = sum(map(_num_trials, records.values())) - used  # of an earlier command, whose rounds went on for longer
    got = f"trials=auto: {used} of at most {planned} trials{f', beside {further} earlier ones' if further > 0 else ''}"
    if len(contests) != 1 or len(contests[0].trials) == 1:
        return f"{got}; more would not narrow the intervals of the means by a tenth, or trials_max={most} is reached."
    (contest,) = contests
    labels = {name: records[Path(name)].label for name in contest.trials if Path(name) in records}
    open_pairs = {**dict.fromkeys(contest.going[1:], ONLY_TRIALS), **contest.undecided}
    reasons = []
    for what, words in (
        (ONLY_IMAGES, "more trials are unlikely to"),  # what could is said of the closest: perhaps nothing
        (ONLY_DRAWS, "neither more trials nor more test images are likely to"),
        (ONLY_TRIALS, f"only more than trials_max={most} trials could"),
    ):
        names = [labels[name] for name, could in open_pairs.items() if could == what]
        if names:
            reasons.append(f"{words} tell {name_first(names)} from the best, {labels[contest.best]}")
    found = {Verdict.WORSE: "worse than", Verdict.EQUAL: "equal within the margin to"}
    verdicts = " or ".join(words for verdict, words in found.items() if verdict in contest.out.values())
    if verdicts and not reasons:
        reasons = [f"all others are {verdicts} the best, {labels[contest.best]}"]
    return f"{got}; {'; '.join(reasons) or f'no other job is left to compare with {labels[contest.best]}'}."
