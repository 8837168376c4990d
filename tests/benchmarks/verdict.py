"""Verdicts, the number of further trials and images, and the corrected winner, in simulated sweeps.

python tests/benchmarks/verdict.py [MATRICES.npz ...] [--sweeps N] prints three tables. Each file has an array
(fits, images) of right (1) and wrong (0) for each configuration, row k of all with the same draw: a sweep takes rows
without replacement and images with replacement, and the means of the whole arrays are the truth. Without files,
outcomes come from a model: right where a normal variable, the sum of effects of the trial, the image, the
configuration on both, and a rest, is above 0.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from graft.statistics.crossed import Estimate, Parts, estimate
from graft.statistics.intervals import floored
from graft.statistics.margin import Verdict, verdict
from graft.statistics.needed import Further, Needed, needed
from graft.statistics.winner import corrected

SIZES = ((6, 150), (15, 450), (50, 450))
Draw = Callable[[np.random.Generator, int, int], np.ndarray]  # trials, images: (configurations, trials, images)

# Standard deviations of the model's effects: of trial, trial x configuration, image, image x configuration, rest.
EFFECTS = (0.12, 0.08, 1.0, 0.45, 0.35)
TOTAL = float(np.hypot.reduce(EFFECTS))


def modeled(shifts: Sequence[float], accuracy: float = 0.85) -> tuple[Draw, np.ndarray]:
    """Return sweeps of a model whose configurations differ by shifts of the normal variable, and their accuracies."""
    base, shift = stats.norm.ppf(accuracy) * TOTAL, np.array(shifts)
    trial, trial_own, image, image_own, rest = EFFECTS

    def draw(random: np.random.Generator, trials: int, images: int) -> np.ndarray:
        shapes = {(1, trials, 1): trial, (len(shift), trials, 1): trial_own, (1, 1, images): image}
        shapes |= {(len(shift), 1, images): image_own, (len(shift), trials, images): rest}
        effects = sum(size * random.standard_normal(shape, np.float32) for shape, size in shapes.items())
        return (base + shift[:, None, None] + effects > 0).astype(float)

    return draw, stats.norm.cdf((base + shift) / TOTAL)


def measured(path: Path, names: Sequence[str]) -> tuple[Draw, np.ndarray]:
    """Return sweeps drawn from a file's arrays, and their means."""
    with np.load(path) as content:
        arrays = [content[name] for name in names]
    fits = min(map(len, arrays))

    def draw(random: np.random.Generator, trials: int, images: int) -> np.ndarray:
        rows, columns = random.permutation(fits)[:trials], random.integers(0, arrays[0].shape[1], images)
        return np.stack([array[rows][:, columns] for array in arrays]).astype(float)

    return draw, np.array([array[:fits].mean() for array in arrays])


def cases(paths: Sequence[Path]) -> Iterator[tuple[str, Draw, np.ndarray]]:
    """Yield the name, the sweeps and the true accuracies of each case."""
    if not paths:
        yield "model, 8 equal", *modeled([0] * 8)
        yield "model, one 1 point better", *modeled([0.055, *[0] * 7])
        yield "model, one 5 points better", *modeled([0.32, *[0] * 7])
        yield "model, 8 over 3 points", *modeled(np.linspace(0, 0.17, 8).tolist())
    for path in paths:
        with np.load(path) as content:
            names = [name for name in content if content[name].ndim == 2]
        same = [name for name in names if name.startswith("half")]
        others = [name for name in names if not name.startswith(("half", "init"))]
        yield f"{path.stem}, {len(same)} alike", *measured(path, same)
        yield f"{path.stem}, {len(others)} heads", *measured(path, others)


def winner_bias(draw: Draw, truth: np.ndarray, sizes: tuple[int, int], sweeps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the bias in points of the best mean, the corrected one and the one corrected for images only.

    The second array has their root mean square errors.

    What the mean of all configurations deviates from theirs has no bias: it is subtracted for the former, which
    makes it more exact.
    """
    random, errors, common = np.random.default_rng(0), [], []
    for _ in range(sweeps):
        values = draw(random, *sizes)
        means = values.mean((1, 2))
        best = int(means.argmax())
        common.append(means.mean() - truth.mean())
        by_name = {str(index): each for index, each in enumerate(values)}
        images_only = corrected({name: each.mean(0, keepdims=True) for name, each in by_name.items()})
        errors.append(np.array([means[best], corrected(by_name), images_only]) - truth[best])
    found = 100 * np.array(errors)
    return found.mean(0) - 100 * np.mean(common), (found**2).mean(0) ** 0.5


def bonferroni(difference: Estimate, count: int) -> float:
    return float(stats.t.ppf(1 - 0.025 / count, difference.degrees))


def false_verdicts(
    draw: Draw, truth: np.ndarray, sizes: tuple[int, int], sweeps: int, margin: float
) -> tuple[float, float, dict[str, float]]:
    """Return the shares of sweeps with a false better or worse and with a false equal, and of each verdict.

    All pairs are compared. Better and worse are false if the truth is the reverse or no difference, equal is false
    if the true difference is not below the margin.
    """
    random, wrong, counts = np.random.default_rng(0), np.zeros(2), dict.fromkeys(Verdict, 0)
    pairs = [(first, second) for second in range(len(truth)) for first in range(second)]
    for _ in range(sweeps):
        values, found = draw(random, *sizes), np.zeros(2, bool)
        for first, second in pairs:
            difference, true = floored(estimate(values[first] - values[second])), truth[first] - truth[second]
            said = verdict(difference, bonferroni(difference, len(pairs)), margin)
            counts[said] += 1
            found[0] |= (said == Verdict.BETTER and true <= 0) or (said == Verdict.WORSE and true >= 0)
            found[1] |= said == Verdict.EQUAL and abs(true) >= margin
        wrong += found
    shares = {str(name): count / sweeps / len(pairs) for name, count in counts.items()}
    return wrong[0] / sweeps, wrong[1] / sweeps, shares


def with_parts(difference: Estimate, parts: Parts) -> Estimate:
    """Return a difference as it would be if its parts were known to be these."""
    trials, images = difference.num_trials, difference.num_images
    variance = parts.trials + parts.images + parts.rest
    spread = (parts.trials + parts.rest) ** 2 / (trials - 1) + (parts.images + parts.rest) ** 2 / (images - 1)
    spread += parts.rest**2 / ((trials - 1) * (images - 1))
    return replace(difference, parts=parts, variance=variance, degrees=variance**2 / spread)


def true_parts(draw: Draw, count: int, sizes: tuple[int, int]) -> dict[tuple[int, int], Parts]:
    """Return each pair's parts for numbers of trials and images, from a sweep of 400 trials on 5,000 images."""
    values, found = draw(np.random.default_rng(1), 400, 5000).astype(np.float32), {}
    for second in range(count):
        for first in range(count):
            if first != second:
                one = estimate(values[first] - values[second])
                scale = one.num_trials / sizes[0], one.num_images / sizes[1]
                parts = one.parts
                found[first, second] = Parts(
                    float(parts.trials * scale[0]),
                    float(parts.images * scale[1]),
                    float(parts.rest * scale[0] * scale[1]),
                )
    return found


def numbers_needed(draw: Draw, truth: np.ndarray, sizes: tuple[int, int], sweeps: int) -> dict[str, list]:
    """Return the estimated and the true further numbers of undecided comparisons with the best one."""
    random, count = np.random.default_rng(0), len(truth)
    parts, found = true_parts(draw, count, sizes), {"trials": [], "images": [], "both": []}
    for _ in range(sweeps):
        values = draw(random, *sizes)
        best = int(values.mean((1, 2)).argmax())
        others = [other for other in range(count) if other != best]
        for other in others:
            measured = estimate(values[best] - values[other])
            difference, known = floored(measured), floored(with_parts(measured, parts[best, other]))
            quantile, known_quantile = bonferroni(difference, count - 1), bonferroni(known, count - 1)
            undecided = {verdict(difference, quantile), verdict(known, known_quantile)} == {Verdict.UNDECIDED}
            if undecided and difference.mean:
                said, true = needed(difference, quantile), needed(known, known_quantile)
                for kind in ("trials", "images") if said.both is None or true.both is None else found:
                    found[kind].append((getattr(said, kind), _expected(true, kind)))
    return found


def _expected(numbers: Needed, kind: str) -> int | None:
    further: Further | None = getattr(numbers, kind)
    return None if further is None else further.expected


def accuracy_of_numbers(pairs: Sequence[tuple[Further | None, int | None]]) -> tuple[int, ...]:
    """Return how many numbers were expected, how many of them were within 1.5, the same of exact ones, and ranges.

    Returns:
        Numbers that are expected; these within a factor of 1.5 of the true one; exact ones; these within 1.5; ranges
        that hold the true number, or none where there is none; all.
    """

    def within(further: Further, true: int | None) -> bool:
        return bool(true and further.expected and 1 / 1.5 <= further.expected / true <= 1.5)

    def holds(further: Further | None, true: int | None) -> bool:
        if further is None or true is None:
            return true is None and (further is None or further.high is None)
        return further.low <= true and (further.high is None or true <= further.high)

    said = [(further, true) for further, true in pairs if further is not None and further.expected is not None]
    exact = [(further, true) for further, true in said if further.exact]
    return (
        len(said),
        sum(within(*each) for each in said),
        len(exact),
        sum(within(*each) for each in exact),
        sum(holds(*each) for each in pairs),
        len(pairs),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, metavar="MATRICES.npz")
    parser.add_argument("--sweeps", type=int, default=500)
    arguments = parser.parse_args()
    found = list(cases(arguments.paths))
    print("| sweeps | trials x images | bias of the best mean | corrected | by images only | errors of the same |")
    print("| --- " * 6 + "|")
    for name, draw, truth in found:
        for sizes in SIZES:
            bias, error = winner_bias(draw, truth, sizes, arguments.sweeps)
            size = f"{sizes[0]} x {sizes[1]}"
            biases, errors = " | ".join(f"{each:.2f}" for each in bias), ", ".join(f"{each:.2f}" for each in error)
            print(f"| {name} | {size} | {biases} | {errors} |", flush=True)
    print("\n| sweeps | trials x images | false better or worse | false equal | " + " | ".join(Verdict) + " |")
    print("| --- " * 8 + "|")
    for name, draw, truth in found:
        for sizes in ((15, 450), (50, 2000)):
            wrong, equal, shares = false_verdicts(draw, truth, sizes, arguments.sweeps // 5, 0.01)
            verdicts = " | ".join(f"{share:.2f}" for share in shares.values())
            print(f"| {name} | {sizes[0]} x {sizes[1]} | {wrong:.3f} | {equal:.3f} | {verdicts} |", flush=True)
    print("\n| sweeps | trials x images | further | expected | within 1.5 | exact | within 1.5 | ranges that hold |")
    print("| --- " * 8 + "|")
    for name, draw, truth in found:
        for sizes in ((15, 450), (50, 300), (15, 5000)):
            for kind, pairs in numbers_needed(draw, truth, sizes, arguments.sweeps // 5).items():
                said, good, exact, right, held, total = accuracy_of_numbers(pairs)
                shares = [f"{part / whole:.2f}" if whole else "-" for part, whole in ((good, said), (right, exact))]
                counts = f"{said} | {shares[0]} | {exact} | {shares[1]} | {held / max(1, total):.2f}"
                print(f"| {name} | {sizes[0]} x {sizes[1]} | {kind} | {counts} of {total} |", flush=True)


if __name__ == "__main__":
    main()
