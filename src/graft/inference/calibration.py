"""Calibrated probabilities: a temperature that is fitted to what a job's trials said of images they did not train on.

These are its validation images (`dataset.val_per_class`), or with `dataset.folds` all images, each as the trials say
whose fold tested it. Test images are never used. `outcomes.safetensors` has what the trials said.
"""

from dataclasses import dataclass

import numpy as np
import torch

from graft.analysis.calibration_error import calibration_error
from graft.job_folder import OUTCOMES
from graft.nouns import counted
from graft.results.unseen import UnseenImages

LEAST_IMAGES = 30  # that a temperature is fitted to: with fewer, it often makes probabilities worse (docs/predict.md)
LOWEST, HIGHEST = 0.05, 20.0  # temperatures that are looked at
SMALLEST = 2.0**-24  # float16's smallest number above 0, for probabilities that were rounded to 0
PARTS = 5  # of a cross-validation of the temperature


@dataclass(frozen=True)
class Calibration:
    """What is known of how right a job's model is.

    Attributes:
        temperature: None: probabilities stay as they are.
        words: what the temperature was fitted to, or why there is none.
        unseen: what the trials said of images that they did not train on, or why there is nothing.
    """

    temperature: float | None
    words: str
    unseen: UnseenImages | str


def calibrate(unseen: UnseenImages | str, trials: int) -> Calibration:
    """Fit a temperature (Guo et al., On Calibration of Modern Neural Networks, ICML 2017).

    It scales the logarithm of the probabilities that the kept trials give on average, not each trial's logits: means
    of calibrated probabilities are not calibrated but too careful (Rahaman and Thiery, Uncertainty Quantification and
    Deep Ensembles, NeurIPS 2021), and the most probable class would not always stay the same.

    Args:
        unseen: what the trials said of images that they did not train on, or why there is nothing.
        trials: number of kept trials; their mean is scaled.
    """
    if isinstance(unseen, str):
        return Calibration(None, unseen, unseen)
    count = len(unseen.label)
    if unseen.probability is None:
        words = f"{OUTCOMES} has the probabilities of the true classes only, as there are many images"
        return Calibration(None, words, unseen)
    if count < LEAST_IMAGES:
        words = f"there are only {counted(count, unseen.kind)}, and a temperature needs {LEAST_IMAGES}"
        return Calibration(None, words, unseen)
    if trials > 1 and not unseen.shared:
        return _extrapolated(unseen, trials)
    if trials > 1:
        probability, image, weight = unseen.mean(unseen.probability), np.arange(count), np.ones(count)
    else:
        probability, image, weight = unseen.probability.astype(np.float64), unseen.image, unseen.weight
    label = unseen.label[image]
    temperature = fit_temperature(probability, label, weight)
    if temperature is None:
        return _without(unseen)
    part = np.random.default_rng(0).permutation(count)[image] % PARTS
    held_out = probability.copy()
    for each in range(PARTS):
        others = fit_temperature(*(values[part != each] for values in (probability, label, weight)))
        held_out[part == each] = scaled(torch.from_numpy(probability[part == each]), others).numpy()
    before, after = (_measured(each, label, weight) for each in (probability, held_out))
    return Calibration(
        temperature,
        f"temperature {temperature:.3g} from {counted(count, unseen.kind)}; on such images that it was not fitted to, "
        f"the log loss goes from {before[0]:.3f} to {after[0]:.3f}, and the expected calibration error from "
        f"{100 * before[1]:.1f} to {100 * after[1]:.1f} %",
        unseen,
    )


def _extrapolated(unseen: UnseenImages, trials: int) -> Calibration:
    """Fit the temperature of a mean over more trials than said something of any image.

    Means over more trials are less certain and more often right, so that their temperature is lower, much so for few
    training images. It falls about linearly with the inverse number of trials (docs/predict.md has what was measured).
    So it is fitted to single trials and to means over as many as promises the least variance, and extrapolated.
    """
    assert unseen.probability is not None
    times = np.bincount(unseen.image)

    def factor(number: int) -> float:
        return (1 / number - 1 / trials) / (1 - 1 / number)

    numbers = [number for number in range(2, times.max() + 1) if (times >= number).sum() >= LEAST_IMAGES]
    if not numbers:
        words = (
            f"too few of the {counted(len(times), unseen.kind)} have predictions of two trials or more, and the mean "
            f"of {trials} trials has another temperature than one; try more trials"
        )
        return Calibration(None, words, unseen)
    number = min(numbers, key=lambda each: (1 + factor(each)) ** 2 / (times >= each).sum())
    order = np.argsort(unseen.image, kind="stable")
    place = np.arange(len(order)) - np.searchsorted(unseen.image[order], unseen.image[order])
    used = order[(times >= number)[unseen.image[order]] & (place < number)]  # the first trials of each image
    single, label = unseen.probability[used].astype(np.float64), unseen.label[unseen.image[used]]
    several = single.reshape(-1, number, single.shape[1]).mean(1)
    of_one, of_several = fit_temperature(single, label), fit_temperature(several, label[::number])
    if of_one is None or of_several is None:
        return _without(unseen)
    temperature = of_several - factor(number) * (of_one - of_several)
    if not LOWEST < temperature < HIGHEST:
        return _without(unseen)
    words = (
        f"temperature {temperature:.3g}, extrapolated to the mean of {trials} trials from "
        f"{counted(len(several), unseen.kind)}: {of_one:.3g} for one trial, {of_several:.3g} for the mean of {number}"
    )
    return Calibration(temperature, words, unseen)


def _without(unseen: UnseenImages) -> Calibration:
    words = f"no temperature from {LOWEST} to {HIGHEST:g} fits the {counted(len(unseen.label), unseen.kind)}"
    return Calibration(None, words, unseen)


def fit_temperature(probability: np.ndarray, label: np.ndarray, weight: np.ndarray | None = None) -> float | None:
    """Return the temperature with the least negative log-likelihood; None if it is none between the bounds.

    Args:
        probability: of each class, (images, classes).
        label: place of the true class, (images,).
        weight: of each image, (images,); None: equal ones.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    logits = np.log(np.maximum(probability, SMALLEST))
    rows = np.arange(len(label))

    def loss(log_temperature: float) -> float:
        of_label = log_softmax(logits / np.exp(log_temperature), axis=1)[rows, label]
        return -float(np.average(of_label, weights=weight))

    low, high = np.log(LOWEST), np.log(HIGHEST)
    found = float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4}).x)  # type: ignore[attr-defined]
    return float(np.exp(found)) if low + 0.01 < found < high - 0.01 else None


def scaled(probability: torch.Tensor, temperature: float | None) -> torch.Tensor:
    """Return probabilities, (..., classes), at a temperature T: softmax(log(probability) / T); None leaves them.

    Those below `SMALLEST` count as that, as where T was fitted: a head that is sure of everything stays so otherwise.
    """
    if temperature is None:
        return probability
    return (probability.clamp(min=SMALLEST).log() / temperature).softmax(-1)


def _measured(probability: np.ndarray, label: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return the log loss and the expected calibration error."""
    of_label = np.maximum(probability[np.arange(len(label)), label], SMALLEST)
    correct = probability.argmax(1) == label
    error = calibration_error(probability.max(1), correct, weight)
    return -float(np.average(np.log(of_label), weights=weight)), error
