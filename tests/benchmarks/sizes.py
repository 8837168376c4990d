"""Differences between two numbers of training images from one pool: how often their intervals cover, how wide they are.

    python tests/benchmarks/sizes.py OUT SHARED mnist 250 300

300 pools of 250 images a class are taken, with replacement, from one half of the images. From each, 15 trials draw as
many images a class as SIZES says, anew for each number, and are tested on 450 images of the other half. Printed for
each head: the mean difference, the share of the intervals that contain it, and their mean width; beside it those that
widen all of the variance by the larger share, as was done before. Data sets are those of overlap.py.
docs/statistics_overlap.md has the numbers.
"""

import sys
from pathlib import Path

import numpy as np
from overlap import TESTED, fit, population

from graft.statistics.accuracies import Measured
from graft.statistics.outcomes import Outcomes
from graft.statistics.pairs import estimated, pair

SIZES = ((1, 5), (5, 20), (20, 100), (2, 200), (100, 200))
TRIALS, IMAGES = 15, 450


def outcomes(values: np.ndarray, share: float) -> Outcomes:
    """Return the outcomes of trials, (trials, images)."""
    return Outcomes(
        tuple(range(len(values))), np.arange(values.shape[1]).astype(str), values.astype(float), share=share
    )


def judge(x: np.ndarray, y: np.ndarray, head: str, sizes: tuple[int, int], pool: int, repetitions: int) -> str:
    """Return what the intervals of one pair of numbers are worth, as a line."""
    half, classes, random = len(x) // 2, int(y.max()) + 1, np.random.default_rng(sum(sizes))
    of_class = [np.flatnonzero(y[:half] == label) for label in range(classes)]
    tested = slice(half, half + TESTED)
    right = np.empty((repetitions, 2, TRIALS, len(x[tested])), bool)
    for each in range(repetitions):
        own = [random.choice(places, pool) for places in of_class]
        for which, size in enumerate(sizes):
            rows = [np.concatenate([random.permutation(one)[:size] for one in own]) for _ in range(TRIALS)]
            right[each, which] = fit(head, x[np.array(rows)], y[np.array(rows)], classes, each)(x[tested]) == y[tested]
    truth = float(right[:, 1].mean() - right[:, 0].mean())
    covered, widths = np.zeros(2), np.zeros(2)
    for both in right:
        chosen = random.choice(both.shape[-1], IMAGES, replace=False)
        few, many = (outcomes(both[which][:, chosen], size / pool) for which, size in enumerate(sizes))
        larger = estimated(outcomes(many.values - few.values, max(sizes) / pool))
        found = pair(Measured(many), Measured(few)).interval(0.05)
        assert found is not None
        for place, (low, high) in enumerate((found, larger.interval())):
            covered[place] += low <= truth <= high
            widths[place] += high - low
    covers, width = 100 * covered / repetitions, 100 * widths / repetitions
    return (
        f"{head}, {sizes[0]} and {sizes[1]} of {pool}: {100 * truth:.1f} points, covers {covers[0]:.1f} %, "
        f"width {width[0]:.1f} (by the larger share: {covers[1]:.1f} %, {width[1]:.1f})"
    )


def main() -> None:
    out, shared, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    pool, repetitions = map(int, sys.argv[4:])
    x, y = population(name, out, shared)
    for head in ("mean", "ridge1"):
        for sizes in SIZES:
            print(judge(x, y, head, sizes, pool, repetitions), flush=True)


if __name__ == "__main__":
    main()
