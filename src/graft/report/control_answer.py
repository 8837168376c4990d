"""The sentence that says which backbones are better than a control: mean color and a thumbnail of each image."""

from graft.nouns import counted
from graft.report.leaderboard import Leaderboard
from graft.report.sentences import join_words
from graft.results.records import Record
from graft.results.settings import PREPARED
from graft.statistics.comparison import differences

CONTROL = "mean color and an 8x8 thumbnail"


def control_answer(board: Leaderboard) -> list[str]:
    """Say which backbones are not shown to be better than the control, in a sentence if there is one.

    A backbone is better if one of its jobs is, each compared with the control on the same data. The correction is for
    all these comparisons, so that it does not matter that the job was chosen for its result.

    Args:
        board: ranked jobs.
    """
    controls: dict[str, Record] = {}
    for record in board.records:
        if record.control:
            controls.setdefault(_data(record), record)  # the best of several
    jobs = [record for record in board.records if not record.control and _data(record) in controls]
    if not jobs:
        return []
    pairs = [(job.accuracies(board.metric), controls[_data(job)].accuracies(board.metric)) for job in jobs]
    tested = differences(pairs)
    better = {_name(job) for job, it in zip(jobs, tested, strict=True) if it.significant and (it.mean or 0) > 0}
    not_better = [name for name in dict.fromkeys(map(_name, jobs)) if name not in better]
    means = [board.measure.value(control.spread(board.metric).mean) for control in controls.values()]
    control = f"a control, {CONTROL}" + (f" ({means[0]})" if len(means) == 1 else "")
    return [_sentence(sorted(better), not_better, control, sum(it.p is not None for it in tested))]


def _sentence(better: list[str], not_better: list[str], control: str, count: int) -> str:
    """Return the sentence about backbones that are better than a control and those that are not, by `count` tests."""
    if not count:
        return f"Nothing was tested against {control}: too few common trials."
    corrected = f"paired tests, corrected for {counted(count, 'comparison')}"
    if not_better:
        return f"Not shown to be better than {control}: {join_words(not_better)} ({corrected})."
    which = join_words(better) if len(better) < 3 else f"All {len(better)} backbones"
    return f"{which} {'is' if len(better) == 1 else 'are'} better than {control} ({corrected})."


def _data(record: Record) -> str:
    """Return a text that is equal for jobs with the same data, however their images are prepared."""
    dataset = record.config.get("dataset") or {}
    return str({key: value for key, value in dataset.items() if key not in PREPARED})


def _name(record: Record) -> str:
    """Return a backbone's name: its option, or its network's where the option takes any."""
    option = record.choices.get("backbone", "")
    model = (record.config.get("backbone") or {}).get("model")
    return str(model) if model and option in ("timm", "torchvision", "") else option.replace("_", " ")
