"""The mean of trials x images, a crossed design: its variance for other training draws and other images.

Every trial is tested on the same images. With x_ij the value of trial i on image j (1 or 0, or the difference of two
configurations), J trials and I images, the two-way random-effects model is

    x_ij = mean + trial_i + image_j + rest_ij

and the mean over both has the variance (Gallas, J. Opt. Soc. Am. A 24, B70, 2007; Obuchowski and Rockette, Commun.
Stat. Simul. 24, 285, 1995)

    (MS_trials + MS_images - MS_rest) / (I J)

with the mean squares of the two-way analysis of variance. It is no smaller than either part alone,
MS_trials / (I J) or MS_images / (I J). Satterthwaite's degrees of freedom are

    (MS_trials + MS_images - MS_rest)^2
    / (MS_trials^2 / (J - 1) + MS_images^2 / (I - 1) + MS_rest^2 / ((I - 1) (J - 1))).

For k configurations each mean square is a matrix (k, k) of mean products, and a difference of two has the mean square
M_aa + M_bb - 2 M_ab.

Where images belong to groups (patients, plants), groups are the columns. A group of n_g images with the sum s_ig counts
as r_i + (s_ig - r_i n_g) / mean(n), with r_i the trial's mean over images: the linear form of the ratio of two sums
(Cochran, Sampling Techniques, 1977, section 2.11; for right and wrong answers Rao and Scott, Biometrics 48, 1992).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

EQUAL = 1e-12  # a mean square of this share of its terms is rounding


@dataclass(frozen=True)
class Parts:
    """What the variance of a mean consists of; a part below 0 counts as 0.

    Attributes:
        trials: variance between trials (training draw, initialization, order of batches), divided by their number.
        images: variance between images, or their groups, divided by their number.
        rest: of one trial on one image, divided by the number of both.
    """

    trials: float
    images: float
    rest: float


@dataclass(frozen=True)
class Estimate:
    """The mean over trials and images, and how it would vary with other trials and other images.

    Attributes:
        mean: over both.
        variance: of the mean; 0 where no two values differ, which proves nothing: see `intervals.estimate_interval`.
        degrees: degrees of freedom of the variance.
        parts: of the variance.
        num_trials: rows; of one, only images vary.
        num_images: columns, or groups of them.
        units: number of images, or the number of groups of equal size that are worth as much.
        proportion: all values are 0 to 1.
        square: mean of the squared values; of a difference of right and wrong answers, the share that disagree.
    """

    mean: float
    variance: float
    degrees: float
    parts: Parts
    num_trials: int
    num_images: int
    units: float = 0.0
    proportion: bool = False
    square: float = 0.0

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return self.variance**0.5

    def interval(self, level: float = 0.05) -> tuple[float, float]:
        """Return the two-sided interval that misses the mean with probability `level`."""
        half = float(stats.t.ppf(1 - level / 2, self.degrees)) * self.error
        return self.mean - half, self.mean + half


@dataclass(frozen=True, eq=False)
class Squares:
    """The mean squares and products of k configurations of the same trials and images.

    Attributes:
        means: (k,).
        trials: (k, k), of trials; 0 for a single trial.
        images: (k, k), of images; 0 for a single image.
        rest: (k, k).
        shape: numbers of trials and of images or groups.
        units: as in `Estimate`.
    """

    means: np.ndarray
    trials: np.ndarray
    images: np.ndarray
    rest: np.ndarray
    shape: tuple[int, int]
    units: float

    def covariance(self) -> np.ndarray:
        """Return the covariance of the means, (k, k), without negative eigenvalues."""
        trials, images = self.shape
        values, vectors = np.linalg.eigh((self.trials + self.images - self.rest) / (trials * images))
        return (vectors * values.clip(0)) @ vectors.T

    def difference(self, first: int, second: int) -> Estimate:
        """Return the mean of the first configuration less that of the second."""
        mean = float(self.means[first] - self.means[second])
        between = [_between(matrix, first, second) for matrix in (self.trials, self.images, self.rest)]
        return _estimate(mean, between, self.shape, self.units)


def estimate(values: np.ndarray, groups: np.ndarray | None = None) -> Estimate:
    """Return the mean of values, (trials, images), with its variance for other trials and other images.

    A single trial says nothing about others: then the variance is for other images alone. Likewise a single image.

    Args:
        values: of one or more trials on one or more images, without gaps.
        groups: (images,), the unit that an image belongs to; None: each image is a unit.
    """
    found = squares([values], groups)
    parts = [float(matrix[0, 0]) for matrix in (found.trials, found.images, found.rest)]
    one = _estimate(float(found.means[0]), parts, found.shape, found.units)
    return replace(one, proportion=bool(values.min() >= 0 and values.max() <= 1))


def squares(configurations: Sequence[np.ndarray], groups: np.ndarray | None = None) -> Squares:
    """Return the mean squares and products of configurations, each of shape (trials, images) and without gaps."""
    by_unit = [unit_values(values, groups) for values in configurations]
    trials, units = by_unit[0].shape
    rows = np.stack([values.mean(1) for values in by_unit])  # (k, trials)
    columns = np.stack([values.mean(0) for values in by_unit])  # (k, units)
    means = rows.mean(1)
    rows, columns = rows - means[:, None], columns - means[:, None]
    total = np.zeros((len(by_unit), len(by_unit)))
    for trial in range(trials):  # never all configurations' trials x images at once
        of_trial = np.stack([values[trial] for values in by_unit]) - means[:, None]
        total += of_trial @ of_trial.T
    of_trials, of_images = units * rows @ rows.T, trials * columns @ columns.T
    rest = total - of_trials - of_images
    degrees = max(trials - 1, 1), max(units - 1, 1)
    if trials == 1 or units == 1:
        rest = np.zeros_like(rest)
    return Squares(
        means,
        of_trials / degrees[0],
        of_images / degrees[1],
        rest / (degrees[0] * degrees[1]),
        (trials, units),
        effective_units(groups, units),
    )


def unit_values(values: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Return the values of groups, (trials, groups), by the formula above; the values themselves without groups."""
    if groups is None:
        return values
    _, unit, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(unit, kind="stable")
    sums = np.add.reduceat(values[:, order], np.cumsum(sizes) - sizes, axis=1)
    rate = values.mean(1, keepdims=True)
    return rate + (sums - rate * sizes) / sizes.mean()


def effective_units(groups: np.ndarray | None, images: int) -> float:
    """Return the number of equally large groups that are worth as much: (sum of n)^2 / sum of n^2 (Kish 1965)."""
    if groups is None:
        return float(images)
    sizes = np.unique(groups, return_counts=True)[1]
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def _between(matrix: np.ndarray, first: int, second: int) -> float:
    """Return the mean square of a difference; 0 where it is rounding."""
    size = matrix[first, first] + matrix[second, second]
    found = float(size - 2 * matrix[first, second])
    return found if found > EQUAL * size else 0.0


def _estimate(mean: float, mean_squares: Sequence[float], shape: tuple[int, int], units: float) -> Estimate:
    ms_trials, ms_images, ms_rest = mean_squares
    trials, images = shape
    count = trials * images
    total = max(ms_trials + ms_images - ms_rest, ms_trials, ms_images)
    degrees = satterthwaite(total, mean_squares, shape)
    parts = Parts(max(0.0, ms_trials - ms_rest) / count, max(0.0, ms_images - ms_rest) / count, ms_rest / count)
    squares = (trials - 1) * ms_trials + (images - 1) * ms_images + (trials - 1) * (images - 1) * ms_rest
    square = mean**2 + squares / count
    return Estimate(mean, total / count, degrees, parts, trials, images, units, square=square)


def satterthwaite(total: float, mean_squares: Sequence[float], shape: tuple[int, int]) -> float:
    """Return the degrees of freedom of a sum of the mean squares of trials, images and the rest."""
    trials, images = (max(count - 1, 1) for count in shape)
    ms_trials, ms_images, ms_rest = (square / total if total else 0.0 for square in mean_squares)  # no overflow
    spread = ms_trials**2 / trials + ms_images**2 / images + ms_rest**2 / (trials * images)
    return 1 / spread if spread > 0 else float(min(trials, images))
