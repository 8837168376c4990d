"""Comparisons with the best: Hsu's, with quantiles for the estimated covariance of the means, and ties counted.

The best of k configurations b is chosen by its mean, so a comparison with it is a comparison with whatever is best. Hsu
(Annals of Statistics 12, 1984; Multiple Comparisons, 1996, chapter 4) asks of each configuration l whether it may be
the best, with Dunnett's quantile for k - 1 comparisons. His claim that l is not better than all others stays true where
several are equally good; the claim that l is worse does not: of 8 equal configurations, one would be called worse in a
quarter of all sweeps. So l is called worse only if every set of configurations is rejected that has l in it and may be
the best together (closed testing: Marcus, Peritz and Gabriel, Biometrika 63, 1976), which are the sets

    T_l = those no more different from the best than l, with the best itself.

With Z normal of the means' covariance and s_ij the standard error of Z_i - Z_j, T_l is rejected if l's difference is
larger than 95 % of

    max over i in T_l and all j of (Z_j - Z_i) / s_ij, and over all j of |Z_j - Z_b| / s_bj,

each difference being measured by the normal quantile of its p, because its own degrees of freedom are in that (min-P:
Westfall and Young, Resampling-Based Multiple Testing, 1993). The quantile falls from Tukey's for all pairs, where all
configurations may be the best, to Dunnett's two-sided one, where only b may. The configurations are taken from the most
different to the least, until one is not rejected; the others keep its quantile. Intervals have the quantile of their
test: they exclude 0 exactly where p < 5 %.

Pairs that were chosen before their results were seen are corrected by the same normal distribution of their
differences, in a single step. Where all have one configuration in common, this is Dunnett's two-sided test (J. Am.
Stat. Assoc. 50, 1955).
"""

import math

import numpy as np
from scipy import stats

from graft.statistics.intervals import LEVEL

DRAWS = 40_000  # of Z, for up to 31 configurations: p = .05 has the standard error .001
WORK = 40_000_000  # draws x configurations^2


def with_the_best(best: int, p: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correct the comparisons of k configurations with the best of them.

    Args:
        best: its place.
        p: (k,), two-sided, of each compared with the best; the best's own does not matter.
        covariance: (k, k), of the means, up to a factor.

    Returns:
        Corrected p, (k,), and each comparison's own level, (k,): its interval misses with this probability.
    """
    others = [index for index in np.argsort(-p, kind="stable").tolist() if index != best]  # the most different last
    pairs = len(p) * (len(p) - 1) // 2
    corrected, levels = np.ones(len(p)), np.full(len(p), LEVEL)
    largest, reached, last = _largest(best, others, covariance), 0.0, LEVEL
    for place in range(len(others) - 1, -1, -1):
        own = others[place]
        adjusted, level = _corrected(float(p[own]), largest[place], pairs)
        last = last if reached >= LEVEL else level
        reached = max(reached, adjusted)
        corrected[own], levels[own] = reached, last
    return corrected, levels


def together(p: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, float]:
    """Correct m comparisons that were chosen before their results were seen.

    Args:
        p: (m,), two-sided.
        covariance: (m, m), of the differences; the identity if unknown, which corrects the most (Sidak 1967).

    Returns:
        Corrected p, (m,), and the level of each comparison: its interval misses with this probability, and all together
        with 5 %.
    """
    if not len(p):
        return p, LEVEL
    errors = np.sqrt(np.diag(covariance).clip(0))
    largest = np.abs(_normal(covariance) * _inverse(errors)[:, None]).max(0)
    found = [_corrected(float(own), largest, len(p)) for own in p]
    return np.array([adjusted for adjusted, _ in found]), found[0][1]


def _corrected(p: float, largest: np.ndarray, count: int) -> tuple[float, float]:
    """Return p corrected by draws of the largest of some differences, and the level of which p < level is p' < 5 %.

    Both stay between no correction and that for `count` unrelated comparisons.
    """
    z, rank = stats.norm.isf(p / 2), math.ceil(LEVEL * len(largest))
    adjusted = float(np.clip(np.mean(largest >= z), p, min(1.0, count * p)))
    quantile = float(np.partition(largest, len(largest) - rank)[len(largest) - rank])
    return adjusted, float(np.clip(2 * stats.norm.sf(quantile), LEVEL / count, LEVEL))


def shrunk(covariance: np.ndarray, degrees: float) -> np.ndarray:
    """Return a covariance drawn towards that of equally correlated configurations, as k - 1 more degrees would.

    A covariance of k configurations from few trials has a lower rank than k: it would count too few comparisons.
    """
    count = len(covariance)
    around = covariance - covariance.mean(0) - covariance.mean(1)[:, None] + covariance.mean()  # of contrasts
    equal = np.trace(around) / max(count - 1, 1) * (np.eye(count) - 1 / count)
    return (degrees * around + (count - 1) * equal) / (degrees + count - 1)


def _largest(best: int, others: list[int], covariance: np.ndarray) -> np.ndarray:
    """Return draws of the largest difference, (k - 1, draws), for the sets T of the first 1 ... k - 1 others."""
    z, variances = _normal(covariance), np.diag(covariance)
    scale = _inverse(np.sqrt((variances[:, None] + variances - 2 * covariance).clip(0)))
    running = np.abs((z - z[best]) * scale[best][:, None]).max(0)
    found = np.empty((len(others), z.shape[1]))
    for place, own in enumerate(others):
        running = np.maximum(running, ((z - z[own]) * scale[own][:, None]).max(0))
        found[place] = running
    return found


def _normal(covariance: np.ndarray) -> np.ndarray:
    """Return normal draws of a covariance, (k, draws), of a fixed seed: the same on any machine to rounding."""
    count = len(covariance)
    jitter = 1e-10 * max(float(np.trace(covariance)), 1e-300) / count  # it may be singular
    try:
        factor = np.linalg.cholesky(covariance + jitter * np.eye(count))
    except np.linalg.LinAlgError:  # rounding alone: configurations that say the same of every image
        values, vectors = np.linalg.eigh(covariance)
        factor = vectors * np.sqrt(values.clip(0))
    draws = max(1000, min(DRAWS, WORK // count**2))
    return factor @ np.random.default_rng(0).standard_normal((count, draws))


def _inverse(errors: np.ndarray) -> np.ndarray:
    """Return 1 / errors; 0 where an error is 0 or rounding."""
    return np.divide(1, errors, out=np.zeros_like(errors), where=errors > 1e-6 * errors.max(initial=0))
