"""Draws that overlap: the variance of a mean for other pools, where all trials draw from one.

Trials draw n of the N images of one pool, the share r = n / N. By Hoeffding's decomposition (Annals of Mathematical
Statistics 19, 1948) a trial's accuracy is a sum of effects of single training images, of pairs, of triples and so on.
With w_k the share of the effects of k images in the variance between independent draws of n images, draws from one pool
have the covariance

    b = w_1 r + w_2 r^2 + w_3 r^3 + ...          of that variance,

and they vary among each other with 1 - b of it. So a mean of J trials, which varies with V / J among draws from this
pool, varies for other pools with

    V (1 / J + b / (1 - b)).

b = r, effects of single images only, is the correction r / (1 - r) of Nadeau and Bengio (Machine Learning 52, 2003): it
is the largest possible one. b = r^2, effects of pairs only, is too small: half of the variance, at most, was found to
come from single images (docs/statistics.md). Graft uses

    b = (r + r^2) / 2.

Initialization and the order of batches vary from trial to trial, whatever the pool: what they add to V is widened, too,
so that the interval is too wide for heads that depend on them.

Configurations that draw different shares, as those of other numbers of images do, are widened by the mean of their
b / (1 - b), each weighted with the variance V of its own trials: so each adds for other pools what it adds alone.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from graft.statistics.crossed import Estimate, estimate, satterthwaite
from graft.statistics.outcomes import Outcomes


def between_pools(share: float) -> float:
    """Return the variance between the means of pools, in units of the variance between the trials of one.

    Args:
        share: of its pool that each trial draws, from 0 to below 1.
    """
    common = (share + share**2) / 2
    return common / (1 - common)


def share_of_all(shares: Sequence[float], variances: Sequence[float]) -> float:
    """Return the one share that the mean, or the difference, of several configurations counts as.

    Args:
        shares: of its pool that each trial of a configuration draws; if one is 1 or more, this is returned.
        variances: between the trials of each configuration.
    """
    most, total = max(shares), sum(variances)
    if most >= 1 or total <= 0:
        return most
    factor = sum(variance * between_pools(share) for share, variance in zip(shares, variances, strict=True)) / total
    common = factor / (1 + factor)
    return (math.sqrt(1 + 8 * common) - 1) / 2  # whose (r + r^2) / 2 is the common part


def common_share(outcomes: Sequence[Outcomes]) -> float:
    """Return the share of several configurations, which have the same trials and images, as `share_of_all` does."""
    shares = [one.share for one in outcomes]
    if len({*shares}) == 1 or outcomes[0].folds:  # nothing is widened in folds
        return max(shares)
    return share_of_all(shares, [estimate(one.values, one.groups).parts.trials for one in outcomes])


def for_other_pools(found: Estimate, share: float) -> Estimate:
    """Return the estimate of a mean, or of a paired difference, with its variance for draws from other pools.

    The degrees of freedom are Satterthwaite's with the widened mean squares, no fewer than those of the trials or of
    the images alone. The parts stay as they are: no number of trials or test images reduces what is added.

    Args:
        found: for other draws from the same pool, as `crossed.estimate` says; that of a single trial stays as it is.
        share: of its pool that each trial draws, from 0 to 1. If it is 1 all trials train on the same images, nothing
            tells how other ones would do, and the estimate is returned as it is: it is for these training images.
    """
    trials, images, parts = found.num_trials, found.num_images, found.parts
    if not 0 < share < 1 or trials < 2:
        return found
    factor = 1 + trials * between_pools(share)
    variance = found.variance + (factor - 1) * parts.trials
    squares = (factor * (parts.trials + parts.rest), parts.images + parts.rest, factor * parts.rest)
    degrees = max(float(max(1, min(trials, images) - 1)), satterthwaite(variance, squares, (trials, images)))
    return replace(found, variance=variance, degrees=degrees)
