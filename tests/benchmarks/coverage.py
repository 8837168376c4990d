"""How often Graft's intervals hold for other training draws and other test images: simulations on real outcomes.

python tests/benchmarks/coverage.py OUT [--repetitions 2000] [--data mnist elpv cifar10] [--parts coverage null widths]

OUT contains the files that populations.py writes. Each repetition draws J rows (trials) and I columns (test images) of a
data set's outcomes, with replacement, so that they are independent trials on independent images, and the mean of all rows
and columns is the truth. The parts:

- coverage: how often the 95 % interval contains the truth, of single heads and of pairs, beside Student's t over trials.
- null: how often a sweep of eight equal configurations ends with a significant difference. `init`: one head, each
  time with another initialization and order of batches. `half`: each configuration sees a half of the features, always
  the same one, so that it is better on some images in all trials. The images are drawn with probabilities (nearly
  equal ones) that make the eight means exactly equal.
- widths: mean width divided by that of t, where images add little: the trials' part of the variance is 99 % or more.
- winner: how much better than it is the best of eight equal configurations looks, before and after the correction.
"""

import argparse
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from graft.statistics.accuracies import Accuracies, Measured
from graft.statistics.comparison import compare_all, differences, spread
from graft.statistics.crossed import estimate
from graft.statistics.outcomes import Outcomes

Matrices = Mapping[str, np.ndarray]  # by head, (fits, images), 1 where right
Design = tuple[int, int]  # numbers of trials and of test images

DESIGNS = ((6, 450), (15, 100), (15, 1250), (50, 300))
NULL_DESIGNS = ((15, 450), (50, 450))
EQUAL = 8
SINGLES = ("mean", "ridge_weak", "logistic_strong", "dense")
PAIRS = (
    ("dense", "dense_dropout"),
    ("ridge_weak", "ridge_strong"),
    ("logistic_weak", "logistic_strong"),
    ("mean", "dense"),
    ("logistic_weak", "ridge_weak"),
    ("logistic_strong", "dense"),
    ("mean", "ridge_strong"),
    ("half0", "half1"),
    ("init0", "init1"),
)


def load(path: Path) -> Matrices:
    with np.load(path) as file:
        return {name: file[name].astype(bool) for name in file.files if name not in ("seed", "labels")}


def simulated(names: Sequence[str], fits: int = 400, images: int = 2000, seed: int = 0) -> Matrices:
    """Return outcomes of equal heads that differ in which images and which draws they find hard."""
    random = np.random.default_rng(seed)
    common = random.normal(1.2, 1.0, (1, images)) + random.normal(0, 0.15, (fits, 1))
    found = {}
    for name in names:
        own = common + random.normal(0, 0.5, (1, images)) + random.normal(0, 0.1, (fits, 1))
        found[name] = own + random.normal(0, 0.6, (fits, images)) > 0
    return found


def draws(
    matrices: Sequence[np.ndarray], design: Design, repetitions: int, weights: np.ndarray | None = None
) -> Iterator[list[np.ndarray]]:
    """Yield each repetition's outcomes of all heads, (trials, images), of the same rows and columns."""
    random = np.random.default_rng(design)
    fits, images = matrices[0].shape
    for _ in range(repetitions):
        rows, columns = random.integers(fits, size=design[0]), random.choice(images, design[1], p=weights)
        yield [matrix[rows[:, None], columns] for matrix in matrices]


def measured(values: np.ndarray) -> Measured:
    trials, images = values.shape
    return Measured(Outcomes(tuple(range(trials)), np.arange(images).astype(str), values.astype(float)))


def over_trials(values: np.ndarray) -> Accuracies:
    """Return the trials' accuracies alone: from these Graft makes Student's t over trials."""
    return dict(enumerate(values.mean(1).tolist()))


def intervals(values: Sequence[np.ndarray]) -> list[tuple[float, float]]:
    """Return the interval for other trials and other images, and t's, of one head's mean or of two heads' difference."""
    found = []
    for make in (measured, over_trials):
        heads = [make(one) for one in values]
        interval = spread(heads[0]).interval if len(heads) == 1 else differences([(heads[0], heads[1])])[0].interval
        mean = values[0].mean() - (values[1].mean() if len(values) == 2 else 0)
        found.append(interval or (mean, mean))
    return found


def coverage(matrices: Sequence[np.ndarray], design: Design, repetitions: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how often the two intervals contain the truth, and their mean widths."""
    truth = matrices[0].mean() - (matrices[1].mean() if len(matrices) == 2 else 0)
    found = np.array([intervals(values) for values in draws(matrices, design, repetitions)])  # (repetitions, 2, 2)
    inside = (found[..., 0] <= truth) & (truth <= found[..., 1])
    return inside.mean(0), np.ptp(found, axis=2).mean(0)


def equal_weights(matrices: Sequence[np.ndarray]) -> np.ndarray:
    """Return the probabilities of images, nearest to equal ones, under which all heads have the same mean."""
    means = np.stack([matrix.mean(0) for matrix in matrices])
    apart = means[1:] - means[0]
    found = minimize(lambda tilt: logsumexp(tilt @ apart), np.zeros(len(apart)), tol=1e-12)
    weights = np.exp(found.x @ apart - logsumexp(found.x @ apart))
    if np.ptp(means @ weights) > 1e-6:
        raise ValueError(f"the means still differ by {np.ptp(means @ weights):.2g}")
    return weights


def false_winners(matrices: Sequence[np.ndarray], design: Design, repetitions: int) -> tuple[float, float]:
    """Return how often a sweep of equal configurations has a significant difference: by Graft, and by t over trials."""
    wrong = np.zeros(2)
    for values in draws(matrices, design, repetitions, equal_weights(matrices)):
        for way, make in enumerate((measured, over_trials)):
            compared = compare_all({str(number): make(one) for number, one in enumerate(values)})
            wrong[way] += any(difference.significant for difference in compared.differences.values())
    by_graft, by_t = wrong / repetitions
    return float(by_graft), float(by_t)


def print_coverage(data: str, matrices: Matrices, repetitions: int) -> None:
    print(f"\n{data}: coverage of 95 % intervals, in percent, t over trials in brackets, and width / width of t's")
    print(f"{'':34}" + "".join(f"{f'{trials} x {images:,}':>22}" for trials, images in DESIGNS))
    for heads in (*((name,) for name in SINGLES), *PAIRS):
        print(f"{' - '.join(heads):34}", end="")
        for design in DESIGNS:
            (ours, t), widths = coverage([matrices[name] for name in heads], design, repetitions)
            print(f"{100 * ours:8.1f} ({100 * t:4.1f}) {widths[0] / widths[1]:6.2f}", end="", flush=True)
        print()


def print_null(data: str, matrices: Matrices, repetitions: int) -> None:
    print(f"\n{data}: sweeps of {EQUAL} equal configurations with a false winner, in percent, t over trials in brackets")
    for kind, (trials, images) in itertools.product(("init", "half"), NULL_DESIGNS):
        equal = [matrices[f"{kind}{number}"] for number in range(EQUAL)]
        ours, t = false_winners(equal, (trials, images), repetitions)
        print(f"{kind}: {trials} x {images}: {100 * ours:.1f} ({100 * t:.1f})", flush=True)


def print_widths(data: str, matrices: Matrices, repetitions: int) -> None:
    print(f"\n{data}: width divided by that of t over trials, where the trials' part of the variance is 99 % or more")
    for (first, second), (trials, images) in itertools.product(PAIRS, ((6, 450), (15, 1250), (15, 10000))):
        pair = [matrices[first], matrices[second]]
        parts = estimate(np.subtract(*pair, dtype=float)).parts
        fits, population = pair[0].shape
        by_trial, by_image = parts.trials * fits / trials, parts.images * population / images
        share = 1 - by_image / (by_trial + by_image + parts.rest * fits * population / (trials * images))
        if share >= 0.99 and images <= population:
            _, widths = coverage(pair, (trials, images), repetitions)
            print(f"{first} - {second}, {trials} x {images:,}: {widths[0] / widths[1]:.3f} (images {1 - share:.1%})")


PARTS = {"coverage": print_coverage, "null": print_null, "widths": print_widths}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--data", nargs="+", default=["mnist", "elpv", "cifar10"])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    asked = parser.parse_args()
    for data in asked.data:
        matrices = load(asked.out / f"{data}.npz")
        for part in asked.parts:
            PARTS[part](data, matrices, asked.repetitions)


if __name__ == "__main__":
    main()
