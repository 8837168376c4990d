"""The mean of trials x images, a crossed design: its variance for other training draws and other images.

Every trial is tested on the same images. With x_ij the value of trial i on image j (1 or 0, or the difference of two
configurations), J trials and I images, the two-way random-effects model is

    x_ij = mean + trial_i + image_j + rest_ij

and the mean over both has the variance (Gallas, J. Opt. Soc. Am. A 24, B70, 2007; Obuchowski and Rockette, Commun.
Stat. Simul. 24, 285, 1995)

    (MS_trials + MS_images - MS_rest) / (I J)

with the mean squares of the two-way analysis of variance, no smaller than MS_trials / (I J) or MS_images / (I J)
alone. Satterthwaite's degrees of freedom are

    (MS_trials + MS_images - MS_rest)^2
    / (w MS_trials^2 / (J - 1) + MS_images^2 / (I - 1) + MS_rest^2 / ((I - 1) (J - 1))).

Where MS_trials is below MS_rest the variance is MS_images / (I J), whatever MS_trials is. So its error counts with the
probability w that it is above: the distribution function of F at MS_trials / MS_rest.

For k configurations each mean square is a matrix (k, k) of mean products, and a difference of two has the mean square
M_aa + M_bb - 2 M_ab.

Where images belong to groups, groups are the columns (outcomes.unit_values).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special, stats

from graft.statistics.outcomes import effective_units, unit_values

EQUAL = 1e-12  # a mean square of this share of its terms is rounding
EXACT = 2**24  # integers below it are exact in float32


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
        bounded: whether means are in [0, 1], as accuracies are; a loss is not.
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
    bounded: bool = True

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return self.variance**0.5

    def interval(self, level: float = 0.05) -> tuple[float, float]:
        """Return the two-sided interval that misses the mean with probability `level`."""
        half = float(stats.t.ppf(1 - level / 2, self.degrees)) * self.error
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Prior:
    """What the variances of the other differences say of one: as much as this many degrees of freedom.

    Attributes:
        degrees: 0 to those of the variance itself.
        variance: the usual one.
    """

    degrees: float
    variance: float

    def drawn(self, variance: float, degrees: int) -> float:
        """Return a variance of so many degrees of freedom, drawn towards the usual one."""
        return (degrees * variance + self.degrees * self.variance) / (degrees + self.degrees)


NONE = Prior(0.0, 0.0)


def prior(covariance: np.ndarray, degrees: int) -> Prior:
    """Return what the variances of the differences of k configurations say of one of them.

    The less the logarithms of the variances differ beyond what f degrees of freedom explain, trigamma(f / 2), the more
    one is drawn to the others (Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004). They are worth
    at most f (k - 2) / 4 degrees, and f: the only one whose trials differ much shall not pass for another.

    Args:
        covariance: (k, k), of configurations over trials.
        degrees: f, number of trials less one.
    """
    count, variances = len(covariance), np.diag(covariance)
    found = (variances[:, None] + variances - 2 * covariance)[np.triu_indices(count, 1)]
    most = degrees * min(1.0, (count - 2) / 4)
    if most <= 0 or degrees < 1 or found.min() <= EQUAL * variances.max():
        return NONE  # trials of one computation, or too few configurations
    logarithms = np.log(found) - special.digamma(degrees / 2) + math.log(degrees / 2)
    beyond = float(logarithms.var(ddof=1) - special.polygamma(1, degrees / 2))
    if beyond < 1e-6:  # all alike
        return Prior(most, float(np.exp(logarithms.mean())))
    ends = (1e-9, 2 / beyond + 2)
    half = float(optimize.root_scalar(lambda half: special.polygamma(1, half) - beyond, bracket=ends).root)
    usual = float(np.exp(logarithms.mean() + special.digamma(half) - math.log(half)))
    return Prior(min(2 * half, most), usual)


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

    def degrees(self) -> float:
        """Return the degrees of freedom of the covariance as a whole, its trace."""
        mean_squares = [float(np.trace(matrix)) for matrix in (self.trials, self.images, self.rest)]
        total = max(mean_squares[0] + mean_squares[1] - mean_squares[2], *mean_squares[:2])
        return satterthwaite(total, mean_squares, self.shape)

    def difference(self, first: int, second: int, prior: Prior = NONE) -> Estimate:
        """Return the mean of one configuration less another's, with what others say of its mean square of trials."""
        mean = float(self.means[first] - self.means[second])
        between = [_between(matrix, first, second) for matrix in (self.trials, self.images, self.rest)]
        return _estimate(mean, between, self.shape, self.units, prior)


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
    counted = all(((values == 0) | (values == 1)).all() for values in by_unit)
    kind = np.float32 if counted and units < EXACT else np.float64  # twice as fast, and counts are exact
    of_trial = np.empty((len(by_unit), units), kind)  # never all configurations' trials x images at once
    rows = np.empty((len(by_unit), trials))
    columns, total = np.zeros_like(of_trial), np.zeros((len(by_unit), len(by_unit)))
    for trial in range(trials):
        for own, values in zip(of_trial, by_unit, strict=True):
            own[:] = values[trial]
        rows[:, trial] = of_trial.mean(1, dtype=np.float64)
        columns += of_trial
        total += of_trial @ of_trial.T
    means = rows.mean(1)
    rows, columns = rows - means[:, None], columns / float(trials) - means[:, None]
    total -= trials * units * np.outer(means, means)
    of_trials, of_images = units * rows @ rows.T, trials * columns @ columns.T
    rest = total - of_trials - of_images
    degrees = max(trials - 1, 1), max(units - 1, 1)
    if trials == 1 or units == 1:
        rest = np.zeros_like(rest)
    per_degree = of_trials / degrees[0], of_images / degrees[1], rest / (degrees[0] * degrees[1])
    return Squares(means, *per_degree, (trials, units), effective_units(groups, units))


def _between(matrix: np.ndarray, first: int, second: int) -> float:
    """Return the mean square of a difference; 0 where it is rounding."""
    size = matrix[first, first] + matrix[second, second]
    found = float(size - 2 * matrix[first, second])
    return found if found > EQUAL * size else 0.0


def _estimate(
    mean: float, mean_squares: Sequence[float], shape: tuple[int, int], units: float, prior: Prior = NONE
) -> Estimate:
    trials, images = shape
    ms_trials, ms_images, ms_rest = mean_squares
    squares = (trials - 1) * ms_trials + (images - 1) * ms_images + (trials - 1) * (images - 1) * ms_rest
    square = mean**2 + squares / (trials * images)
    ms_trials = prior.drawn(ms_trials, trials - 1) if prior.degrees else ms_trials
    count = trials * images
    total = max(ms_trials + ms_images - ms_rest, ms_trials, ms_images)
    degrees = satterthwaite(total, (ms_trials, ms_images, ms_rest), shape, prior.degrees)
    parts = Parts(max(0.0, ms_trials - ms_rest) / count, max(0.0, ms_images - ms_rest) / count, ms_rest / count)
    return Estimate(mean, total / count, degrees, parts, trials, images, units, square=square)


def satterthwaite(total: float, mean_squares: Sequence[float], shape: tuple[int, int], more: float = 0.0) -> float:
    """Return the degrees of freedom of a sum of mean squares: of trials, which may have more, images and the rest."""
    trials, images = (max(count - 1, 1) for count in shape)
    ms_trials, ms_images, ms_rest = (square / total if total else 0.0 for square in mean_squares)  # no overflow
    above = special.fdtr(trials + more, trials * images, ms_trials / ms_rest) if ms_rest > 0 else 1.0
    spread = above * ms_trials**2 / (trials + more) + ms_images**2 / images + ms_rest**2 / (trials * images)
    return float(1 / spread) if spread > 0 else float(min(trials, images))
