"""The metrics that a report can rank jobs by, computed from what each trial said of each image.

A key is a metric's name, `macro_f1`, of the test images, or `val_macro_f1` of the validation images.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from graft.statistics.jackknife import auroc, average_precision, balanced_accuracy, macro_f1, of_units
from graft.statistics.outcomes import Outcomes

METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "auroc": "area under the ROC curve",
    "average_precision": "average precision",
    "loss": "loss",
}
LEAST = 2.0**-25  # smaller probabilities are 0 in float16


@dataclass(frozen=True)
class Said:
    """What trials said of images; what they say of images that they did not test does not count.

    Attributes:
        predicted: place of the predicted class, (trials, images).
        of_label: probability of the true class, (trials, images).
        probability: of each class, (trials, images, classes); None if it is not stored.
    """

    predicted: np.ndarray
    of_label: np.ndarray
    probability: np.ndarray | None

    def select(self, trial: int, columns: np.ndarray) -> "Said":
        """Return what one trial said of some images."""
        probability = None if self.probability is None else self.probability[[trial]][:, columns]
        return Said(self.predicted[[trial]][:, columns], self.of_label[[trial]][:, columns], probability)


def split_of(key: str) -> str:
    """Return the split whose images a metric is of: test or val."""
    return "val" if key.startswith("val_") else "test"


def name_of(key: str) -> str:
    """Return a metric's name without its split."""
    return key.removeprefix("val_")


def in_words(key: str) -> str:
    """Return a metric in words: test macro F1."""
    return f"{'validation' if split_of(key) == 'val' else 'test'} {METRICS[name_of(key)]}"


def with_metric(name: str, outcomes: Outcomes, said: Said) -> Outcomes:
    """Return outcomes whose mean over each trial's images is a metric of that trial; a loss has a minus.

    Args:
        name: of the metric.
        outcomes: whether trials are right, with labels; NaN where a trial did not test an image.
        said: of the same trials and images.

    Raises:
        ValueError: says why it cannot be computed.
    """
    if name == "loss":
        values = np.where(np.isnan(outcomes.values), np.nan, _log_likelihood(said))
        return replace(outcomes, values=values, bounded=False)
    if name in ("auroc", "average_precision") and said.probability is None:
        raise ValueError("the probabilities of all classes are not stored, because there are too many")
    tested = ~np.isnan(outcomes.values)
    if tested.all():
        return COMPUTED[name](outcomes, said)
    # Trials have images of their own (folds): each has its metric, and what it owes to each of its images.
    units = outcomes.images if outcomes.groups is None else np.unique(outcomes.groups)
    values = np.full((len(outcomes.seeds), len(units)), np.nan)
    for trial, seed in enumerate(outcomes.seeds):
        (columns,) = np.nonzero(tested[trial])
        found = COMPUTED[name](outcomes.select([seed], columns), said.select(trial, columns))
        places = columns if outcomes.groups is None else np.searchsorted(units, found.images)
        values[trial, places] = found.values[0]
    return of_units(outcomes, units, values)


COMPUTED: dict[str, Callable[[Outcomes, Said], Outcomes]] = {
    "balanced_accuracy": lambda outcomes, said: balanced_accuracy(outcomes),
    "macro_f1": lambda outcomes, said: macro_f1(outcomes, said.predicted),
    "auroc": lambda outcomes, said: auroc(outcomes, _odds(said.probability)),
    "average_precision": lambda outcomes, said: average_precision(outcomes, _odds(said.probability)),
}


def _odds(probability: np.ndarray | None) -> np.ndarray:
    """Return the odds of each class: float16 has many numbers near 0, and few near 1, where odds tell more apart."""
    assert probability is not None
    exact = probability.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(exact / (exact.sum(2, keepdims=True) - exact), nan=0.0, posinf=np.inf)


def _log_likelihood(said: Said) -> np.ndarray:
    """Return the logarithm of the true class's probability, (trials, images)."""
    of_label = said.of_label.astype(np.float64)
    if said.probability is None:
        return np.log(np.maximum(of_label, LEAST))
    exact = said.probability.astype(np.float64)
    others = np.maximum(exact.sum(2) - of_label, 0)  # -1 of images that a trial did not test
    return -np.log1p(others / np.maximum(of_label, LEAST))
