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
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats


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
        variance: of the mean.
        degrees: degrees of freedom of the variance.
        parts: of the variance.
        num_trials: rows.
        num_images: columns, or groups of them.
    """

    mean: float
    variance: float
    degrees: float
    parts: Parts
    num_trials: int
    num_images: int

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return self.variance**0.5

    def interval(self, level: float = 0.05) -> tuple[float, float]:
        """Return the two-sided interval that misses the mean with probability `level`."""
        half = float(stats.t.ppf(1 - level / 2, self.degrees)) * self.error
        return self.mean - half, self.mean + half


def estimate(values: np.ndarray) -> Estimate:
    """Return the mean of values, (trials, images), with its variance for other trials and other images.

    Args:
        values: of two or more trials on two or more images, without gaps.
    """
    trials, images = values.shape
    mean = values.mean()
    by_trial, by_image = values.mean(1) - mean, values.mean(0) - mean
    rest = values - mean - by_trial[:, None] - by_image
    ms_trials = images * (by_trial**2).sum() / (trials - 1)
    ms_images = trials * (by_image**2).sum() / (images - 1)
    ms_rest = (rest**2).sum() / ((trials - 1) * (images - 1))
    total = max(ms_trials + ms_images - ms_rest, ms_trials, ms_images)
    spread = ms_trials**2 / (trials - 1) + ms_images**2 / (images - 1) + ms_rest**2 / ((trials - 1) * (images - 1))
    degrees = total**2 / spread if spread > 0 else float(trials - 1)
    count = trials * images
    parts = Parts(max(0.0, ms_trials - ms_rest) / count, max(0.0, ms_images - ms_rest) / count, ms_rest / count)
    return Estimate(float(mean), float(total) / count, float(degrees), parts, trials, images)
