"""How often Graft's intervals hold for other training draws and other test images: simulations on real outcomes.

python tests/benchmarks/coverage.py OUT [--repetitions 2000] [--data mnist elpv cifar10] [--parts coverage null]

OUT contains the files that populations.py writes. Each repetition draws J rows (trials) and I columns (test images) of
a data set's outcomes, with replacement, so that they are independent trials on independent images, and the mean of all
rows and columns is the truth. The parts:

- coverage: how often the 95 % interval contains the truth, of single heads and of pairs, beside Student's t over
  trials.
- small: the same with 20 and 48 test images.
- null: how often a sweep of eight equal configurations ends with a significant difference. `init`: one head, each
  time with another initialization and order of batches. `half`: each configuration sees a half of the features, always
  the same one, so that it is better on some images in all trials. The images are drawn with probabilities (nearly
  equal ones) that make the eight means exactly equal.
- widths: mean width divided by that of t, where images are 3 % of the variance at most.
- few: the same of differences where few images differ in all trials and others by chance; needs no OUT.
- rare: the same of balanced accuracies and macro F1's, where the few images are of a rare class; needs no OUT.
- winner: how much better than it is the best of eight equal configurations looks, before and after its correction.
"""

import argparse
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from graft.statistics import simultaneous
from graft.statistics.accuracies import Measured
from graft.statistics.comparison import compare_all, spread
from graft.statistics.crossed import estimate
from graft.statistics.intervals import LEVEL, floored
from graft.statistics.jackknife import balanced_accuracy, macro_f1
from graft.statistics.outcomes import Outcomes
from graft.statistics.pairs import pair
from graft.statistics.winner import corrected

Matrices = Mapping[str, np.ndarray]  # by head, (fits, images), 1 where right
Design = tuple[int, int]  # numbers of trials and of test images

DESIGNS = ((6, 450), (15, 100), (15, 1250), (50, 300))
SMALL_DESIGNS = ((6, 20), (15, 48))
NULL_DESIGNS = ((15, 450), (50, 450))
FEW = ((18, 0.05, 0.005), (22, 0.04, 0.01), (60, 0.02, 0.005), (114, 0.01, 0.005), (450, 0.0, 0.02), (1250, 0.0, 0.02))
RARE = ((290, 10, 0.0), (290, 10, 0.05), (290, 10, 0.1), (290, 10, 0.2), (200, 60, 0.05))
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
    return Measured(Outcomes(tuple(range(trials)), numbered(images), values.astype(float)))


@functools.cache
def numbered(images: int) -> np.ndarray:
    return np.arange(images).astype(str)


def over_trials(values: np.ndarray) -> tuple[float, float]:
    """Return Student's interval of the mean over trials, which knows nothing of the images."""
    rows = values.mean(1)
    half = stats.t.ppf(0.975, len(rows) - 1) * rows.std(ddof=1) / len(rows) ** 0.5
    return rows.mean() - half, rows.mean() + half


def intervals(values: Sequence[np.ndarray]) -> list[tuple[float, float]]:
    """Return Graft's interval and Student's over trials, of one head's mean or of two heads' difference."""
    heads = [measured(one) for one in values]
    if len(heads) == 1:
        return [some(spread(heads[0]).interval), over_trials(values[0])]
    first, second = heads
    return [some(pair(first, second).interval(LEVEL)), over_trials(np.subtract(*values, dtype=float))]


def some(interval: tuple[float, float] | None) -> tuple[float, float]:
    """Return an interval; one that contains everything where nothing is claimed."""
    return interval or (-1.0, 1.0)


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
    found = minimize(
        lambda tilt: logsumexp(tilt @ apart),
        np.zeros(len(apart)),
        jac=lambda tilt: apart @ softmax(tilt @ apart),
        tol=1e-12,
    )
    weights = softmax(found.x @ apart)
    if np.ptp(means @ weights) > 1e-6:
        raise ValueError(f"the means still differ by {np.ptp(means @ weights):.2g}")
    return weights


def false_winners(matrices: Sequence[np.ndarray], design: Design, repetitions: int) -> tuple[float, float]:
    """Return how often a sweep of equal configurations has a significant difference: by Graft, and by t over trials."""
    wrong = np.zeros(2)
    for values in draws(matrices, design, repetitions, equal_weights(matrices)):
        compared = compare_all({str(number): measured(one) for number, one in enumerate(values)})
        wrong[0] += any(difference.significant for difference in compared.differences.values())
        wrong[1] += holm_over_trials(np.stack([one.mean(1) for one in values]))
    ours, t = wrong / repetitions
    return float(ours), float(t)


def holm_over_trials(accuracies: np.ndarray) -> bool:
    """Return whether any of all pairs' t-tests over trials, (configurations, trials), is significant after Holm's."""
    pairs = np.array([first - second for first, second in itertools.combinations(accuracies, 2)])
    error = pairs.std(axis=1, ddof=1) / pairs.shape[1] ** 0.5
    largest = np.max(np.abs(pairs.mean(1)) / np.maximum(error, 1e-12))
    return bool(2 * stats.t.sf(largest, pairs.shape[1] - 1) < 0.05 / len(pairs))


def print_coverage(data: str, matrices: Matrices, repetitions: int, designs: Sequence[Design] = DESIGNS) -> None:
    print(f"\n{data}: coverage of 95 % intervals, in percent (t over trials), and width / width of t's")
    print(f"{'':34}" + "".join(f"{f'{trials} x {images:,}':>22}" for trials, images in designs))
    for kind, cases in (("heads", [(name,) for name in SINGLES]), ("pairs", PAIRS)):
        found = np.empty((len(cases), len(designs), 2))
        for row, heads in enumerate(cases):
            print(f"{' - '.join(heads):34}", end="")
            for column, design in enumerate(designs):
                found[row, column], widths = coverage([matrices[name] for name in heads], design, repetitions)
                ours, t = 100 * found[row, column]
                print(f"{ours:8.1f} ({t:4.1f}) {widths[0] / widths[1]:6.2f}", end="", flush=True)
            print()
        for statistic in (np.min, np.mean, np.max):
            print(f"{f'{kind}, {statistic.__name__}':34}", end="")
            print("".join(f"{ours:8.1f} ({t:4.1f})       " for ours, t in 100 * statistic(found, axis=0)))


def print_small(data: str, matrices: Matrices, repetitions: int) -> None:
    print_coverage(data, matrices, repetitions, SMALL_DESIGNS)


def print_null(data: str, matrices: Matrices, repetitions: int) -> None:
    print(
        f"\n{data}: sweeps of {EQUAL} equal configurations with a false winner, in percent, t over trials in brackets"
    )
    for kind, (trials, images) in itertools.product(("init", "half"), NULL_DESIGNS):
        equal = [matrices[f"{kind}{number}"] for number in range(EQUAL)]
        ours, t = false_winners(equal, (trials, images), repetitions)
        print(f"{kind}: {trials} x {images}: {100 * ours:.1f} ({100 * t:.1f})", flush=True)


def print_widths(data: str, matrices: Matrices, repetitions: int) -> None:
    print(f"\n{data}: width divided by that of t over trials, where images are 3 % of the variance or less")
    for (first, second), (trials, images) in itertools.product(PAIRS, ((6, 450), (15, 1250), (15, 10000))):
        pair = [matrices[first], matrices[second]]
        values = np.subtract(*pair, dtype=float)
        by_trial, by_image = values.mean(1, keepdims=True), values.mean(0)
        rest = (values - by_trial - by_image).var() / (trials * images)
        part = by_image.var() / images
        share = part / (by_trial.var() / trials + part + rest)
        if share <= 0.03 and images <= values.shape[1]:
            _, (ours, t) = coverage(pair, (trials, images), repetitions)
            print(f"{first} - {second}, {trials} x {images:,}: {ours / t:.3f} (images {share:.1%})", flush=True)


def print_few(repetitions: int) -> None:
    """Print how often intervals of a difference hold where some images differ in all trials and others by chance."""
    random = np.random.default_rng(0)
    print("\n15 trials, coverage and median width in points")
    for images, always, by_chance in FEW:
        covered, widths = 0, []
        for _ in range(repetitions):
            noise = (random.random((15, images)) < by_chance) * random.choice((-1.0, 1.0), (15, images))
            low, high = floored(estimate(np.where(random.random(images) < always, 1.0, noise))).interval()
            covered += low <= always <= high
            widths.append(100 * (high - low))
        print(f"{images} images, {always:.1%} always, {by_chance:.1%} by chance: ", end="")
        print(f"{covered / repetitions:.1%}, {np.median(widths):.1f}", flush=True)


def print_rare(repetitions: int) -> None:
    """Print how often intervals hold where one of two heads has some images of a rare class wrong in all trials."""
    random = np.random.default_rng(0)
    print("\n5 trials, coverage and median width in points: of the difference, and of the better head's mean")
    for common, rare, always in RARE:
        for name in ("balanced accuracy", "macro F1"):
            truth = _class_means(name, *_rare_heads(random, 300 * common, 300 * rare, always, 20))
            truth = [one.outcomes.values.mean() for one in truth]
            truth, found = (truth[0] - truth[1], truth[0]), []
            for _ in range(repetitions):
                first, second = _class_means(name, *_rare_heads(random, common, rare, always, 5))
                found.append((some(pair(first, second).interval(LEVEL)), some(spread(first).interval)))
            low, high = np.moveaxis(np.array(found), 2, 0)  # (repetitions, 2) each
            covered = ((low <= truth) & (truth <= high)).mean(0)
            widths = 100 * np.median(high - low, 0)
            print(f"{common} and {rare} images, {always:.0%} of these, {name}: ", end="")
            print(", ".join(f"{one:.1%} {width:.1f}" for one, width in zip(covered, widths, strict=True)), flush=True)


def _rare_heads(
    random: np.random.Generator, common: int, rare: int, always: float, trials: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, (images,), and whether two heads are right, (2, trials, images): 99 % of images, and by chance."""
    labels = np.repeat([0, 1], [common, rare])
    chance = np.where(random.random(len(labels)) < 0.99, 0.998, 0.002)
    right = random.random((2, trials, len(labels))) < chance
    right[1] &= ~((labels == 1) & (random.random(len(labels)) < always))
    return labels, right


def _class_means(metric: str, labels: np.ndarray, right: np.ndarray) -> list[Measured]:
    outcomes = [replace(measured(one).outcomes, labels=labels) for one in right]
    if metric == "balanced accuracy":
        return [Measured(balanced_accuracy(one)) for one in outcomes]
    return [Measured(macro_f1(one, np.where(one.values == 1, labels, 1 - labels))) for one in outcomes]


def print_winner(data: str, matrices: Matrices, repetitions: int) -> None:
    trials, images = NULL_DESIGNS[0]
    print(f"\n{data}: mean error of the best of {EQUAL} equal configurations, {trials} x {images}, in points")
    for kind in ("init", "half"):
        equal = [matrices[f"{kind}{number}"] for number in range(EQUAL)]
        weights = equal_weights(equal)
        truth, found = equal[0].mean(0) @ weights, []
        for values in draws(equal, (trials, images), repetitions, weights):
            named = {str(number): one.astype(float) for number, one in enumerate(values)}
            found.append((max(one.mean() for one in values) - truth, corrected(named) - truth))
        raw, ours = 100 * np.mean(found, axis=0)
        error = 100 * np.std(found, axis=0)[1] / len(found) ** 0.5
        print(f"{kind}: as measured {raw:+.2f}, corrected {ours:+.2f}, standard error {error:.2f}", flush=True)


ALONE = {"few": print_few, "rare": print_rare}
PARTS = {
    "coverage": print_coverage,
    "small": print_small,
    "null": print_null,
    "widths": print_widths,
    "winner": print_winner,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--data", nargs="+", default=["mnist", "elpv", "cifar10"])
    parser.add_argument("--parts", nargs="+", default=[*ALONE, *PARTS], choices=[*ALONE, *PARTS])
    asked = parser.parse_args()
    simultaneous.DRAWS = 10_000  # a tenth of those that Graft takes: thousands of sweeps in minutes
    for part in (part for part in asked.parts if part in ALONE):
        ALONE[part](asked.repetitions)
    parts = [part for part in asked.parts if part in PARTS]
    for data in asked.data if parts else []:
        matrices = load(asked.out / f"{data}.npz")
        for part in parts:
            PARTS[part](data, matrices, asked.repetitions)


if __name__ == "__main__":
    main()
