"""Calibration, coverage of conformal sets, and novelty, on CIFAR-10 with EfficientNet-Lite0's features, or on digits.

python tests/benchmarks/calibration.py FEATURES.pt --root DATA [--splits 100] [--head logistic|dense] [--digits]

DATA contains MNIST/raw and cifar10_jpeg/{train,test}/<class>/, as for populations.py, which also says where the weights
come from. FEATURES.pt keeps the features (64 pixels); without the file they are computed. Each split draws anew what
is trained on, validated on, and, all other images of these classes, tested on. The classes are bird, cat, deer, dog
and frog. With --digits, they are the odd digits of MNIST's test images, with the small CNN's features, trained on the
even digits; coverage is then asked for at 99 %, as the accuracy is about 95 %.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from populations import cifar10, lite0, mnist
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier

from graft.analysis.calibration_error import calibration_error
from graft.inference.calibration import SMALLEST, calibrate, scaled
from graft.inference.conformal import ConformalSets
from graft.inference.novelty import Novelty
from graft.results.unseen import UnseenImages

CLASSES = [2, 3, 4, 5, 6]  # bird, cat, deer, dog, frog
COVERAGE, OF_DIGITS = 0.95, 0.99
HEADS = {
    "logistic": lambda: LogisticRegression(C=1e-2, tol=1e-2),
    "dense": lambda: MLPClassifier((64,), max_iter=60),
}


def read(path: Path, root: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features and labels of CIFAR-10's images, and features of digits as RGB images of 32x32 pixels."""
    if not path.exists():
        pool, pool_labels, test, test_labels = cifar10(root)
        digits = np.fromfile(root / "MNIST" / "raw" / "t10k-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 1, 28, 28)
        padded = torch.nn.functional.pad(torch.from_numpy(digits[:1000]), (2, 2, 2, 2))
        of_digits = lite0(padded.expand(-1, 3, -1, -1).contiguous(), 64)
        torch.save((torch.cat([pool, test]), torch.cat([pool_labels, test_labels]), of_digits), path)
    features, labels, digits = torch.load(path)
    return features.numpy(), labels.numpy(), digits.numpy()


def read_digits(path: Path, root: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return features and classes, 0 to 4, of the odd digits."""
    if not path.exists():
        found = mnist(root)
        torch.save((found.test, found.test_labels), path)
    features, labels = torch.load(path)
    return features.numpy(), labels.numpy()


class Split:
    """One draw of images of the classes: some of each to train and validate on, the others to test on."""

    def __init__(self, features: np.ndarray, labels: np.ndarray, head: str, random: np.random.Generator):
        self.features, self.labels, self.head, self.random = features, labels, head, random
        self.order = [random.permutation(np.flatnonzero(labels == label)) for label in range(len(CLASSES))]

    def part(self, first: int, last: int | None) -> np.ndarray:
        """Return the images at these places of each class."""
        return np.concatenate([order[first:last] for order in self.order])

    def fit(self, images: np.ndarray, said_of: np.ndarray) -> np.ndarray:
        """Return what a head that is trained on some images says of others, (images, classes)."""
        network = HEADS[self.head]().fit(self.features[images], self.labels[images])
        return network.predict_proba(self.features[said_of]).astype(np.float32)


def pairs(kind: str, said: list[tuple[np.ndarray, np.ndarray]], labels: np.ndarray) -> UnseenImages:
    """Return what trials said of unseen images, from each trial's images and probabilities, as a job stores it."""
    images = np.concatenate([images for images, _ in said])
    probability = np.concatenate([given for _, given in said]).astype(np.float16)
    trial = np.repeat(np.arange(len(said)), [len(images) for images, _ in said])
    unique, place = np.unique(images, return_inverse=True)
    of_label = probability[np.arange(len(images)), labels[images]]
    return UnseenImages(kind, trial, place, of_label, probability, labels[unique])


def validated(split: Split, trials: int) -> tuple[UnseenImages, np.ndarray, np.ndarray]:
    """Train trials on 20 images a class each, all with the same 100 validation images a class."""
    validation, pool, test = split.part(0, 100), split.part(100, 200), split.part(200, None)
    said, tested = [], []
    for _ in range(trials):
        train = np.concatenate([split.random.permutation(images)[:20] for images in np.split(pool, len(CLASSES))])
        both = split.fit(train, np.concatenate([validation, test]))
        said.append((validation, both[: len(validation)]))
        tested.append(both[len(validation) :])
    return pairs("validation image", said, split.labels), np.stack(tested), split.labels[test]


def folded(split: Split, repeats: int, per_class: int = 100) -> tuple[UnseenImages, np.ndarray, np.ndarray]:
    """Train five trials a repeat, each on the other folds of 100 images a class in all."""
    pool, test = split.part(0, per_class), split.part(per_class, None)
    said, tested = [], []
    for _ in range(repeats):
        fold = np.concatenate([split.random.permutation(per_class) % 5 for _ in CLASSES])
        for each in range(5):
            out = pool[fold == each]
            both = split.fit(pool[fold != each], np.concatenate([out, test]))
            said.append((out, both[: len(out)]))
            tested.append(both[len(out) :])
    return pairs("out-of-fold image", said, split.labels), np.stack(tested), split.labels[test]


def drawn(split: Split, trials: int) -> tuple[UnseenImages, np.ndarray, np.ndarray]:
    """Train trials on 20 images a class each, with 20 validation images a class each, both of 100 a class."""
    pool, test = split.part(0, 100), split.part(100, None)
    said, tested = [], []
    for _ in range(trials):
        places = [split.random.permutation(images) for images in np.split(pool, len(CLASSES))]
        train, validation = (np.concatenate([each[part] for each in places]) for part in (slice(20), slice(20, 40)))
        both = split.fit(train, np.concatenate([validation, test]))
        said.append((validation, both[: len(validation)]))
        tested.append(both[len(validation) :])
    return pairs("validation image", said, split.labels), np.stack(tested), split.labels[test]


WAYS: dict[str, Callable[[Split], tuple[UnseenImages, np.ndarray, np.ndarray]]] = {
    "5 trials, the same validation images": lambda split: validated(split, 5),
    "15 trials, validation images of their own": lambda split: drawn(split, 15),
    "5 folds": lambda split: folded(split, 1),
    "5 folds, 3 repeats": lambda split: folded(split, 3),
}


def adaptive(probability: np.ndarray) -> np.ndarray:
    """Return each class's score of adaptive prediction sets: the probability of all that are at least as probable."""
    order = np.argsort(-probability, axis=1)
    sums = np.cumsum(np.take_along_axis(probability, order, 1), 1)
    return np.take_along_axis(sums, np.argsort(order, axis=1), 1)


def by_adaptive_sets(unseen: UnseenImages, mean: np.ndarray, coverage: float) -> np.ndarray:
    """Return the sets of split conformal prediction with the score of Romano, Sesia and Candes, NeurIPS 2020."""
    assert unseen.probability is not None
    count = len(unseen.label)
    scores = np.sort(adaptive(unseen.mean(unseen.probability))[np.arange(count), unseen.label])
    inside = adaptive(mean) <= scores[int(np.ceil((count + 1) * coverage)) - 1]
    inside[np.arange(len(mean)), mean.argmax(1)] = True
    return inside


def measure(found: dict[str, list[float]], probability: np.ndarray, labels: np.ndarray, name: str) -> None:
    """Add log loss and calibration error of probabilities, (images, classes)."""
    of_label = np.maximum(probability[np.arange(len(labels)), labels], SMALLEST)
    found[f"log loss {name}"].append(-np.log(of_label).mean())
    found[f"ECE {name}"].append(100 * calibration_error(probability.max(1), probability.argmax(1) == labels))


def run(way: str, split: Split, found: dict[str, list[float]], coverage: float) -> None:
    """Add what one split measures, for the mean of all trials and for a single one."""
    unseen, tested, labels = WAYS[way](split)
    rows = np.arange(len(labels))
    for name, kept in (("mean", tested), ("one", tested[:1])):
        mean = kept.mean(0)
        sets = ConformalSets(unseen, len(kept), coverage).contains(kept)
        found[f"{name}: accuracy"].append(100 * (mean.argmax(1) == labels).mean())
        found[f"{name}: coverage"].append(100 * sets[rows, labels].mean())
        found[f"{name}: classes"].append(sets.sum(1).mean())
        if name == "mean" and unseen.shared:
            other = by_adaptive_sets(unseen, mean, coverage)
            found[f"{name}: coverage APS"].append(100 * other[rows, labels].mean())
            found[f"{name}: classes APS"].append(other.sum(1).mean())
        temperature = calibrate(unseen, len(kept)).temperature
        found[f"{name}: no temperature"].append(100 * (temperature is None))
        part = defaultdict(list)
        measure(part, mean, labels, "before")
        measure(part, scaled(torch.from_numpy(mean), temperature).numpy(), labels, "after")
        for key, value in part.items():
            found[f"{name}: {key}"] += value


def novelty(features: np.ndarray, labels: np.ndarray, digits: np.ndarray, splits: int) -> None:
    """Print how well novelty tells digits and other classes from the images of five classes."""
    inside = np.isin(labels, CLASSES)
    for per_class in (5, 20, 100):
        found: dict[str, list[float]] = defaultdict(list)
        for number in range(splits):
            random = np.random.default_rng(number)
            order = [random.permutation(np.flatnonzero(labels == label)) for label in CLASSES]
            model = Novelty(torch.from_numpy(features[np.concatenate([each[:per_class] for each in order])]))
            same = model.scores(torch.from_numpy(features[np.concatenate([each[per_class:][:200] for each in order])]))
            found["false alarms"].append(100 * float((same > 1).float().mean()))
            for name, others in (("digits", digits), ("other classes", random.permutation(features[~inside])[:1000])):
                strange = model.scores(torch.from_numpy(others))
                truth = np.repeat([0, 1], [len(same), len(strange)])
                found[f"ROC {name}"].append(float(roc_auc_score(truth, torch.cat([same, strange]))))
                found[f"novel {name}"].append(100 * float((strange > 1).float().mean()))
        show(f"novelty, {per_class} images a class", found)


def show(title: str, found: dict[str, list[float]]) -> None:
    print(title)
    for name, values in found.items():
        print(f"  {name:30} {np.mean(values):7.3f}  (of splits: {np.min(values):.3f} to {np.max(values):.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path)
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--head", choices=HEADS, default="logistic")
    parser.add_argument("--digits", action="store_true")
    options = parser.parse_args()
    if options.digits:
        own, places = read_digits(options.features, options.root)
    else:
        features, labels, digits = read(options.features, options.root)
        novelty(features, labels, digits, max(1, options.splits // 10))
        inside = np.isin(labels, CLASSES)
        own, places = features[inside], np.searchsorted(CLASSES, labels[inside])
    for way in WAYS:
        found: dict[str, list[float]] = defaultdict(list)
        for number in range(options.splits):
            split = Split(own, places, options.head, np.random.default_rng(number))
            run(way, split, found, OF_DIGITS if options.digits else COVERAGE)
        show(f"{way}, {options.head}", found)


if __name__ == "__main__":
    main()
