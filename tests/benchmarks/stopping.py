"""Trials as needed: how often a round's test is wrong, and how many trials it saves.

python tests/benchmarks/stopping.py [MATRICES.npz ...] [--sweeps N] simulates sweeps of trials=auto. Each file has an
array (fits, images) of right (1) and wrong (0) for each configuration, of which sweeps draw trials without replacement
and images with replacement; without files, outcomes are drawn from a model of trials and images. A configuration is
ended wrongly if it is called worse although none has a higher mean over all images and trials, or equal within the
margin although it is not.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graft.statistics.accuracies import Measured
from graft.statistics.margin import Verdict
from graft.statistics.outcomes import Outcomes
from graft.statistics.stopping import Rounds, looks

LEAST, MOST = 6, 60
Draw = Callable[[np.random.Generator], np.ndarray]  # outcomes of one sweep, (configurations, MOST, images)


@dataclass
class Course:
    """How one sweep went.

    Attributes:
        rounds: at their end.
        first_wrong: the look that ended a configuration wrongly; 0: none.
    """

    rounds: Rounds
    first_wrong: int = 0

    @property
    def trials(self) -> int:
        return sum(self.rounds.trials.values())


def course(values: np.ndarray, truth: np.ndarray, margin: float = 0.0) -> Course:
    """Run one sweep.

    Args:
        values: (configurations, MOST, images), 1 right and 0 wrong.
        truth: (configurations,), each one's mean for all trials and images.
        margin: as `report.margin`, in [0, 1].
    """
    names = [str(index) for index in range(len(values))]
    images = np.arange(values.shape[2]).astype(str)
    rounds = Rounds(looks(LEAST, MOST), len(names) * (len(names) - 1) // 2, margin, dict.fromkeys(names, LEAST))
    found = Course(rounds)
    while not rounds.ended:
        rounds.look(
            {
                name: Measured(Outcomes(tuple(range(count)), images, values[int(name), :count].astype(float)))
                for name, count in rounds.trials.items()
            }
        )
        behind = {name: truth.max() - truth[int(name)] for name in rounds.out}
        wrong = {Verdict.WORSE: lambda gap: gap <= 1e-12, Verdict.EQUAL: lambda gap: gap >= margin}
        if not found.first_wrong and any(wrong[how](behind[name]) for name, how in rounds.out.items()):
            found.first_wrong = rounds.number
    return found


def modeled(means: list[float], images: int, draw: float = 0.25, image: float = 1.5, pair: float = 0.4) -> Draw:
    """Return a source of sweeps in which a trial is right on an image if a sum of normal variates is positive.

    Args:
        means: of each configuration's sum.
        images: number of test images.
        draw: standard deviation between training draws, half of whose variance the configurations share.
        image: between images, for all configurations alike; the rest has 1.
        pair: between images, for each configuration its own.
    """

    def sweep(generator: np.random.Generator) -> np.ndarray:
        normal, count = generator.standard_normal, len(means)
        total = np.array(means)[:, None, None] + normal((count, MOST, images), dtype=np.float32)
        total += draw / 2**0.5 * (normal((1, MOST, 1)) + normal((count, MOST, 1)))
        return total + image * normal((1, 1, images)) + pair * normal((count, 1, images)) > 0

    return sweep


def stored(path: Path, names: list[str], images: int) -> tuple[Draw, np.ndarray]:
    """Return a source of sweeps from stored outcomes, and each configuration's mean."""
    with np.load(path) as file:
        fits = min(len(file[name]) for name in names)
        matrices = np.stack([file[name][:fits] for name in names])

    def sweep(generator: np.random.Generator) -> np.ndarray:
        rows = generator.choice(matrices.shape[1], MOST, replace=False)
        columns = generator.choice(matrices.shape[2], images)
        return matrices[:, rows][:, :, columns]

    return sweep, matrices.mean((1, 2))


def null(path: Path, name: str, count: int, images: int) -> Draw:
    """Return a source of sweeps of one stored configuration under several names, each with its own trials."""
    with np.load(path) as file:
        matrix = file[name]

    def sweep(generator: np.random.Generator) -> np.ndarray:
        rows = generator.permutation(len(matrix))[: count * MOST].reshape(count, MOST)
        return matrix[rows][:, :, generator.choice(matrix.shape[1], images)]

    return sweep


def line(title: str, draw: Draw, truth: np.ndarray, sweeps: int, margin: float = 0.0) -> float:
    """Print what several sweeps do; return the share of them that end a configuration wrongly."""
    generator = np.random.default_rng(0)
    courses = [course(draw(generator), truth, margin) for _ in range(sweeps)]
    wrong = np.mean([one.first_wrong > 0 for one in courses])
    trials = np.mean([one.trials for one in courses]) / len(truth)
    ended = np.mean([len(one.rounds.out) for one in courses])
    most = np.mean([one.rounds.number == len(one.rounds.sizes) for one in courses])
    print(
        f"{title:44} wrong {wrong:6.1%}  trials each {trials:5.1f}  "
        f"ended {ended:4.1f} of {len(truth)}  at trials_max {most:4.0%}",
        flush=True,
    )
    return float(wrong)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("matrices", nargs="*", type=Path)
    parser.add_argument("--sweeps", type=int, default=400)
    parser.add_argument("--images", type=int, nargs="+", default=[150, 450, 1250])
    parser.add_argument("--margin", type=float, default=0.0)
    args = parser.parse_args()
    equal, steps = np.zeros(8), np.linspace(0, -0.7, 8)
    for images in args.images:
        if not args.matrices:
            line(f"8 equal, {images} images", modeled([1.5] * 8, images), equal, args.sweeps, args.margin)
            hard = modeled([1.5] * 8, images, draw=0.6, image=0.7)
            line(f"8 equal, draws matter, {images} images", hard, equal, args.sweeps, args.margin)
            line(f"8 in steps, {images} images", modeled(list(1.5 + steps), images), steps, args.sweeps)
        for path in args.matrices:
            with np.load(path) as file:
                names = [name for name in file if file[name].ndim == 2]
            draw, truth = stored(path, names, images)
            line(f"{path.stem}, all {len(names)}, {images} images", draw, truth, args.sweeps, args.margin)
            for name in names[:3]:
                with np.load(path) as file:
                    count = min(8, len(file[name]) // MOST)
                source = null(path, name, count, images)
                line(f"{path.stem}, {count} times {name}, {images} images", source, np.zeros(count), args.sweeps)


if __name__ == "__main__":
    main()
