"""The comparison of all jobs below some folders: ranked, with effects and the answer in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from graft.errors import GraftError
from graft.nouns import counted, few
from graft.report.as_needed import ended_otherwise, method
from graft.report.control_answer import control_answer
from graft.report.effect_sentences import budget_answers, effects_answer, front_answer
from graft.report.effects import Effects, sweep_effects
from graft.report.leaderboard import Leaderboard, rank_jobs
from graft.report.sentences import (
    answer,
    baseline_answer,
    baseline_gaps,
    best_answer,
    copies_answer,
    deciding_answers,
    images_answer,
    join_words,
    name_first,
    skipped_answer,
    unfinished_answer,
)
from graft.report.solved_answer import solved_answer
from graft.report.verdicts import claim_of, epochs_answer
from graft.results.baseline import common_baseline, common_margin, common_metric
from graft.results.metric import split_of
from graft.results.records import Record, Records, read_records
from graft.statistics.accuracies import num_folds
from graft.statistics.comparison import describe_method
from graft.statistics.cross_validation import unequal_folds

MOST_NAMED = 5  # jobs that a sentence names


@dataclass(frozen=True)
class Report:
    """What a comparison of jobs comes to.

    Attributes:
        records: all jobs that were found.
        board: the finished ones, ranked.
        effects: of the keys in which they differ.
        sentences: the answer in words; none if the jobs are not ranked.
        claim: for what the interval of the best job's mean holds; empty if the jobs are not ranked.
        folders: that were searched.
        options: that were asked for, as words of `src/report.py`.
    """

    records: Records
    board: Leaderboard
    effects: Effects
    sentences: list[str]
    claim: str = ""
    folders: Sequence[Path] = ()
    options: Sequence[str] = ()

    @property
    def missing(self) -> list[str]:
        """Which jobs have not finished, in sentences that belong before the answer; none if all have."""
        records = self.records
        unfinished = unfinished_answer(list(records.unfinished), records.num_jobs)
        return [*unfinished, *skipped_answer(len(records.skipped), records.num_jobs)]

    @property
    def skipped(self) -> dict[str, str]:
        """Why jobs were skipped, by their names; those of one reason are together."""
        names: dict[str, list[str]] = {}
        for name, reason in self.records.skipped.items():
            names.setdefault(reason, []).append(name)
        return {name_first(jobs): reason for reason, jobs in names.items()}


def compare_jobs(
    folders: Sequence[Path],
    baseline: str | None = None,
    required: bool = True,
    margin: float | None = None,
    metric: str | None = None,
) -> Report:
    """Compare all jobs below some folders; the arguments and errors are those of `show_jobs`."""
    records = read_records(folders)
    if not (records.finished or records.failed or records.refits):
        raise GraftError(_no_results(records, folders))
    configs = [record.config for record in records.finished]
    asked = baseline or common_baseline(configs)
    points, name = common_margin(configs) if margin is None else margin, metric or common_metric(configs)
    board = rank_jobs(records.finished, asked, required and baseline is not None, points / 100, records.rounds, name)
    if metric is not None and board.lacking:
        raise GraftError(f"{board.lacking}; try --metric accuracy")
    ranked, key = board.records if board.comparison is not None else [], board.metric
    values, spreads = [job.accuracies(key) for job in ranked], [job.spread(key) for job in ranked]
    effects = sweep_effects([job.setting for job in ranked], values, spreads)
    claim = claim_of(board.best, key) if board.best else ""
    given = _options(baseline if required else None, margin, metric)
    sentences = [*_sentences(board, effects, claim), *_ends(records)]
    return Report(records, board, effects, sentences, claim, folders, given)


def _no_results(records: Records, folders: Sequence[Path]) -> str:
    """Say that no result is below some folders, and why those that are there cannot be read."""
    what = f"{'readable ' if records.damaged else ''}result.json below {', '.join(map(str, folders))}"
    reasons = [f"{name}: {reason}" for name, reason in list(records.damaged.items())[:3]]
    return f"there is no {what}; {'; '.join(reasons) or 'try outputs'}"


def _options(baseline: str | None, margin: float | None, metric: str | None) -> list[str]:
    """Return what was asked for as words of `src/report.py`."""
    options = {"--baseline": baseline, "--margin": margin, "--metric": metric}
    return [word for name, value in options.items() if value is not None for word in (name, str(value))]


def _sentences(board: Leaderboard, effects: Effects, claim: str) -> list[str]:
    """Return the sentences about ranked jobs; none if the jobs are not ranked."""
    if board.comparison is None:
        return []
    configurations = {record.label: record.accuracies(board.metric) for record in board.records}
    best, found, unit = board.records[0], board.answer, board.measure.unit
    sentences = [answer(configurations, board.comparison, found, board.measure), *copies_answer(configurations)]
    sentences.append(best_answer(best.label, best.spread(board.metric), claim, found, board.measure))
    sentences += epochs_answer({record.label: record.config for record in board.records}, split_of(board.metric))
    sentences += [*solved_answer(board), *control_answer(board)]
    sentences += [*_failed_trials(board.records), *_unequal_folds(board), *_one_class(board.records)]
    sentences += [*deciding_answers(best.label, board.comparison, found), *ended_otherwise(found.ended)]
    if board.baseline:
        sentences.append(baseline_answer(board.baseline, board.versus_baseline, found.least, unit))
    sentences += baseline_gaps(board.missing_baseline, board.without_counterpart)
    if "front" in board.table and any(board.table["front"]):
        labels = [record.label for record in board.records]
        sentences.append(front_answer(labels, list(board.table["front"]), board.measure.words))
    if len(effects.main):
        sentences.append(effects_answer(effects.main, unit, effects.left_out))
    if effects.budget:
        sentences += budget_answers(effects.budget, effects.curves)
    if found.shared is not None:
        others = {
            "main effects": len(effects.main) > 0,
            "comparisons with the baseline": bool(board.baseline),
            "those with the control": any(record.control for record in board.records),
        }
        fixed = ["intervals of means", *(what for what, shown in others.items() if shown)]
        sentences.append(method(found.shared, join_words(fixed)))
    elif len(board.records) > 1:
        pairs = f"with the best of {len(board.records)} configurations"
        sentences.append(describe_method(board.comparison.num_tested, pairs, found.least))
    if split_of(board.metric) == "test":
        sentences += images_answer(board.comparison.differences.values())
    tested = sum(difference.p is not None for difference in board.versus_baseline.values())
    if tested:
        corrected = f"corrected for {counted(tested, 'comparison')}"
        sentences.append(f"Comparisons with the baseline: the same tests, {corrected}.")
    return sentences


def _failed_trials(records: Sequence[Record]) -> list[str]:
    """Say which jobs have means without trials that failed, in a sentence if there are any."""
    numbers = [(record, len(record.accuracies()), len(record.result["trials"])) for record in records]
    found = [(record, f"{record.label} ({count} of {every})") for record, count, every in numbers if count < every]
    if not found:
        return []
    ended = any(record.config.get("trials") == "auto" for record, _ in found)
    names, more = few([name for _, name in found], MOST_NAMED), "; trials=auto gives no more to such jobs" * ended
    return [f"Means are over the trials that finished, as if others had never failed: {names}{more}."]


def _unequal_folds(board: Leaderboard) -> list[str]:
    """Say which jobs' means weigh the images of some folds less, because fewer trials have tested these, if any."""
    records = board.records if split_of(board.metric) == "test" else ()
    said = [(record.label, unequal_folds(record.accuracies(), num_folds(record.result))) for record in records]
    found = [f"{label} ({words})" for label, words in said if words]
    return found and [f"Means count each trial once, intervals each image: {few(found, MOST_NAMED)}."]


def _one_class(records: Sequence[Record]) -> list[str]:
    """Say which jobs have trials that predict one class for every test image, in a sentence if there are any."""
    known = [(record.label, record.outcomes) for record in records if record.outcomes is not None]
    counts = [(label, outcomes.test.one_class, counted(len(outcomes.seeds), "trial")) for label, outcomes in known]
    found = [f"{label} ({count} of {trials})" for label, count, trials in counts if count]
    return found and [
        f"Networks that predict one class for every test image have learned nothing: {few(found, MOST_NAMED)}."
    ]


def _ends(records: Records) -> list[str]:
    """Return why the jobs of sweeps with trials=auto got no more trials; of several folders with their names."""
    ends = {folder: sweep.ended for folder, sweep in sorted(records.rounds.items()) if sweep.ended}
    whole = all(job.folder.is_relative_to(folder) for job in records.finished for folder in ends)
    return [ended if whole else f"{folder}: {ended}" for folder, ended in ends.items()]
