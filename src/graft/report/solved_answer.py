"""The sentence that compares heads that train with what is solved at once on the same features."""

from collections import Counter

from graft.nouns import counted
from graft.report.leaderboard import Leaderboard
from graft.results.labels import label
from graft.results.records import Record
from graft.statistics.margin import Verdict

NOT_SHOWN = "is not shown to be better than"


def solved_answer(board: Leaderboard) -> list[str]:
    """Say whether the best head that trains is better than the best baseline, in a sentence if a sweep has added any.

    Both are compared with the best job of the table, by its tests: no pair is chosen for its result.

    Args:
        board: ranked jobs.
    """
    baseline = next((record for record in board.records if record.baseline), None)
    trained = next((record for record in board.records if not record.solved), None)
    if baseline is None or trained is None:
        return []
    best, solved = board.records[0], f"what is solved at once{_which(baseline)}"
    if best is trained:
        verdict = board.answer.verdicts[baseline.label]
        words = {Verdict.WORSE: "is better than", Verdict.EQUAL: "is equal within the margin to"}
        said = words.get(verdict, NOT_SHOWN) if verdict else NOT_SHOWN
        return [f"{trained.label} {said} {solved}, whose difference to it is {_difference(board, baseline.label)}."]
    if best is not baseline:
        solved = f"the solved head {best.label}"
    verdict = board.answer.verdicts[trained.label] or "not tested"
    return [
        f"No head that trains is shown to be better than {solved}. The best of those that train, {trained.label}, is "
        f"{verdict} ({_difference(board, trained.label)})."
    ]


def _difference(board: Leaderboard, name: str) -> str:
    """Return a job's difference to the best one, with its interval if it was tested."""
    difference = board.comparison.differences[name] if board.comparison else None
    if difference is None or difference.mean is None:
        return "unknown"
    unit = board.measure.unit
    low, high = difference.interval or (None, None)
    return unit.difference(difference.mean, low, high, unit.points)


def _which(baseline: Record) -> str:
    """Return on what a baseline is solved, and which heads its trials have chosen inside their training images."""
    place = label({key: value for key, value in baseline.setting.items() if key != "baseline"})
    found = Counter(trial["head"] for trial in baseline.result["trials"] if isinstance(trial.get("head"), str))
    most = found.most_common(1)
    times = f" in {most[0][1]} of {counted(sum(found.values()), 'trial')}" if len(found) > 1 else ""
    words = ", ".join([*([place] if place else []), *(f"{head}{times}" for head, _ in most)])
    return f" ({words})" if words else ""
