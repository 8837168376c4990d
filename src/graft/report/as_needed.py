"""Jobs with trials=auto: compared by the test of their rounds, so that a table says what has ended their trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from graft.nouns import counted
from graft.results.records import Record
from graft.results.rounds import SweepRounds
from graft.statistics.accuracies import Accuracies
from graft.statistics.comparison import Comparison, Difference, with_level
from graft.statistics.intervals import LEVEL, TOLERANCE
from graft.statistics.margin import Verdict
from graft.statistics.pairs import MIN_TRIALS, pair
from graft.statistics.stopping import best_of, levels, looks


@dataclass(frozen=True)
class EndedLabel:
    """Why a job got no more trials: worse than the job of another label or equal to it, after so many trials."""

    verdict: Verdict
    than: str
    trials: int


@dataclass(frozen=True)
class AsNeeded:
    """How the jobs of a table share the level of 5 %.

    Attributes:
        num_looks: number of looks at which a job could have been ended; 0 if all had too few trials for a test.
        pairs: number of pairs that share the level of a look.
        best: the label of the best job, as the rounds have found it; None: unknown.
        ended: the verdicts by which rounds ended jobs, by label.
        margin: of these rounds, the largest one.
    """

    num_looks: int
    pairs: int
    best: str | None = None
    ended: dict[str, EndedLabel] = field(default_factory=dict)
    margin: float = 0.0


def as_needed(records: Sequence[Record], sweeps: Mapping[Path, SweepRounds]) -> AsNeeded | None:
    """Return how jobs share the level; None if results have decided the number of trials of none of them.

    Args:
        records: the jobs of a table.
        sweeps: what the rounds of sweeps have found, by folder.
    """
    planned = [_num_looks(record.config) for record in records if record.config.get("trials") == "auto"]
    if not planned or len(records) < 2:
        return None
    pairs, best = len(records) * (len(records) - 1) // 2, None
    labels = {record.folder: record.label for record in records}
    if len(sweeps) == 1:
        ((folder, only),) = sweeps.items()
        if all(job.is_relative_to(folder) for job in labels):
            pairs, best = max(1, only.pairs), labels.get(only.best or folder)
    ended = {
        labels[job]: EndedLabel(it.verdict, labels[it.than], it.trials)
        for sweep in sweeps.values()
        for job, it in sweep.jobs.items()
        if job in labels and it.than in labels
    }
    return AsNeeded(max(planned), pairs, best, ended, max((sweep.margin for sweep in sweeps.values()), default=0.0))


def _num_looks(config: Mapping) -> int:
    """Return the number of looks that test."""
    sizes = looks(config["trials_min"], config["trials_max"], (config.get("dataset") or {}).get("folds"))
    return sum(level > 0 for level in levels(sizes))


def compare_as_needed(configurations: Mapping[str, Accuracies], shared: AsNeeded) -> tuple[Comparison, dict[str, int]]:
    """Compare every configuration with the best one by the test of the rounds, over the trials that both have.

    The intervals are repeated ones (Jennison and Turnbull, J. R. Stat. Soc. B 51, 305, 1989): those of all pairs and
    looks hold together with 95 % probability, whatever has ended the trials of a configuration.

    Returns:
        The comparison, and ranks by the difference to the best: means of other trials are of other draws.
    """
    best, level = shared.best, LEVEL / max(1, shared.num_looks) / shared.pairs
    if best is None:
        worse = {name for name, it in shared.ended.items() if it.verdict is Verdict.WORSE}
        left = {name: values for name, values in configurations.items() if name not in worse}
        best = _leading(left or configurations)
    found = {
        name: _repeated(values, configurations[best], level) for name, values in configurations.items() if name != best
    }
    means = {best: 0.0} | {name: -1.0 if it.mean is None else it.mean for name, it in found.items()}
    placed: dict[str, int] = {}
    for name in sorted(means, key=lambda name: (name != best, -means[name])):
        last = next(reversed(placed), name)
        placed[name] = placed[last] if last != name and abs(means[last] - means[name]) <= TOLERANCE else len(placed) + 1
    tied = [name for name, rank in placed.items() if rank == 1 and name != best]
    tested = sum(it.p is not None for it in found.values())
    return Comparison(best, {name: found[name] for name in placed if name != best}, tested, tied), placed


def _leading(configurations: Mapping[str, Accuracies]) -> str:
    """Return the configuration that no other one leads in common trials, starting with the best of the most trials."""
    best, seen = best_of(configurations), set()
    while best not in seen:
        seen.add(best)
        own = configurations[best]
        ahead = {
            name: sum(values[seed] - own[seed] for seed in common) / len(common)
            for name, values in configurations.items()
            if (common := values.keys() & own.keys())
        }
        leader = max(ahead, key=lambda name: (ahead[name], name == best))
        best = leader if ahead[leader] > TOLERANCE else best
    return best


def _repeated(first: Accuracies, second: Accuracies, level: float) -> Difference:
    compared = pair(first, second)
    p = compared.p if len(first.keys() & second.keys()) >= MIN_TRIALS else None
    return with_level(compared, None if p is None else min(1.0, p * LEVEL / level), level)


def with_ended(
    verdicts: Mapping[str, Verdict | None], shared: AsNeeded, margin: float
) -> tuple[dict[str, Verdict | None], dict[str, EndedLabel]]:
    """Return the verdicts, of undecided jobs those by which their sweep ended them, by a comparison of its own.

    Args:
        verdicts: compared with the best.
        shared: of the same jobs.
        margin: the largest difference that does not matter, in [0, 1].

    Returns:
        The verdicts, and the jobs whose verdict is their sweep's.
    """
    other = {
        name: job
        for name, job in shared.ended.items()
        if verdicts.get(name, Verdict.WORSE) in (None, Verdict.UNDECIDED)
        and (job.verdict is Verdict.WORSE or margin >= shared.margin)
    }
    return {**verdicts, **{name: job.verdict for name, job in other.items()}}, other


def method(shared: AsNeeded, also_fixed: str) -> str:
    """Say what the numbers of a table of such jobs count.

    Args:
        shared: how the jobs share the level.
        also_fixed: what in the report does not count that results have decided the numbers of trials, in words.
    """
    if not shared.num_looks:
        return (
            f"Differences, with trials=auto: no round tests any, because a test needs {MIN_TRIALS} trials (trials_max)."
        )
    rounds, pairs = counted(shared.num_looks, "round"), counted(shared.pairs, "pair")
    return (
        "Differences, with trials=auto: verdicts, p and repeated 95 % intervals are those of the rounds, and hold "
        f"whenever a job's trials ended (alpha spending: 5 % over {rounds} and {pairs}). "
        f"{also_fixed[0].upper()}{also_fixed[1:]} count numbers of trials as if they had been fixed."
    )


def ended_otherwise(jobs: Mapping[str, EndedLabel]) -> list[str]:
    """Say which jobs have the verdict of their sweep, by a comparison with another job or among fewer jobs."""
    words = {Verdict.WORSE: "worse than", Verdict.EQUAL: "equal within the margin to"}
    return [
        f"{name} was ended by its sweep after {counted(job.trials, 'trial')}: {words[job.verdict]} {job.than}."
        for name, job in jobs.items()
    ]
