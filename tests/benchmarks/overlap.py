"""Draws that overlap, and folds: how often the intervals of graft.statistics cover, and how wide they are.

    python tests/benchmarks/overlap.py features OUT elpv ROOT good,broken 128
    python tests/benchmarks/overlap.py features OUT cifar10 SHARED/cifar10_jpeg bird,cat,deer,dog,frog 96
    python tests/benchmarks/overlap.py draws OUT SHARED cifar10 0.5 150
    python tests/benchmarks/overlap.py draws OUT SHARED mnist_even 0.5 100
    python tests/benchmarks/overlap.py draws OUT SHARED cifar10_others 0.5 100
    python tests/benchmarks/overlap.py folds OUT SHARED cifar10 150 5 100
    python tests/benchmarks/overlap.py table OUT

`features` stores EfficientNet-Lite0's features of class folders; MNIST, under SHARED, is used as pixels: its odd
digits, or the even ones. `cifar10_others` are the vehicles and horses in OUT/cifar10_features.pt, which populations.py
writes. All become 48 principal components. `draws` takes pools, with replacement, from one half of the images, 20
images of each class for each of 20 trials from a pool, at a share of the pool, and tests all trials on the other half.
`folds` takes data sets, without replacement, and cross-validates them, 10 times (trained heads: 3); their errors are
divided by sqrt(1 - images / population), because the data sets of a finite population overlap. `table` prints, for
every file:

    covers   share of the intervals that contain the mean of all pools or data sets, with images drawn anew
    excess   the factor by which all intervals could be divided and still cover 95 %

Heads: ridge regression with penalties 1 and 100, and nearest class means, in closed form; dense (32 units) and small
(16 units, dropout 0.3), trained for 15 epochs along Graft's trial axis; and paired differences of these.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.special import stdtrit
from torch.nn.functional import cross_entropy

from graft.heads.head import Dense
from graft.stack.trial_stack import TrialStack
from graft.statistics import cross_validation, crossed
from graft.statistics.overlap import for_other_pools

COMPONENTS, TRIALS, PER_CLASS, TESTED = 48, 20, 20, 1500
HEADS = ("ridge1", "ridge100", "mean", "dense", "small")
PAIRS = (("ridge1", "ridge100"), ("ridge100", "mean"), ("ridge100", "dense"), ("mean", "dense"), ("dense", "small"))
Predict = Callable[[np.ndarray], np.ndarray]


def store_features(out: Path, name: str, root: str, classes: str, size: str) -> None:
    """Store the features of class folders' images, computed as in a job."""
    from hydra import compose, initialize_config_dir

    from graft.run.make_plan import make_plan
    from graft.training.features import extract

    with initialize_config_dir(str(Path(__file__).parents[2] / "conf"), version_base="1.3"):
        data = ["dataset=image_folder", f"dataset.root={root}", f"dataset.small=[{classes}]", "dataset.big=[]"]
        model = ["backbone=efficientnet_lite0", "source=imagenet", f"dataset.size={size}", f"cache={out}/cache"]
        plan = make_plan(compose("train", [f"name={name}", *data, *model]))
    backbone = plan.backbone()
    backbone.load_state_dict(plan.source.weights(plan.backbone, plan.data, plan.trainer, out / "cache"))  # type: ignore[arg-type]
    images = torch.cat([*plan.data.pool, plan.data.test]).sort().values
    features = extract(backbone.split(backbone.keep)[0], plan.data.images, images, torch.device("cpu"))
    labels = plan.data.images.labels[images].numpy()
    np.savez(out / f"{name}.npz", x=features.flatten(1).numpy().astype(np.float16), y=labels)


def population(name: str, out: Path, shared: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return principal components, (images, features), and classes, (images,), in a random order."""
    if name.startswith("mnist"):
        from graft.data.images import InMemoryImages
        from graft.data.load import torchvision

        images = torchvision("MNIST", str(shared), False)
        assert isinstance(images, InMemoryImages)
        own = images.labels % 2 == (name == "mnist")
        x, y = images.pixels[own].flatten(1).float().numpy() / 255, images.labels[own].numpy()
    elif name == "cifar10_others":
        *features, labels = torch.load(out / "cifar10_features.pt")
        x, y = torch.cat([features[0], features[2]]).numpy(), torch.cat([features[1], labels]).numpy()
        own = np.isin(y, (0, 1, 7, 8, 9))
        x, y = x[own].astype(np.float32), y[own]
    else:
        stored = np.load(out / f"{name}.npz")
        x, y = stored["x"].astype(np.float32), stored["y"]
    order = np.random.default_rng(0).permutation(len(x))[:8000]
    x, y = x[order], np.unique(y, return_inverse=True)[1][order]
    x = x - x.mean(0)
    if not name.startswith("mnist"):
        x /= x.std(0) + 1e-6
    x = x @ np.linalg.eigh(x.T @ x)[1][:, ::-1][:, :COMPONENTS]
    return (x / np.sqrt((x**2).mean())).astype(np.float32), y


def fit(head: str, x: np.ndarray, y: np.ndarray, classes: int, seed: int) -> Predict:
    """Fit a head in all trials, (trials, images, features); return its predictions, (trials, images), as a function."""
    if head in ("dense", "small"):
        return trained(head, x, y, classes, seed)
    if head == "mean":
        means = np.stack(
            [[one[own == label].mean(0) for label in range(classes)] for one, own in zip(x, y, strict=True)]
        )
        weights = np.concatenate([2 * means.transpose(0, 2, 1), -(means**2).sum(-1)[:, None]], 1)
    else:
        x = np.concatenate([x, np.ones_like(x[..., :1])], -1)
        targets = np.where(y[..., None] == np.arange(classes), 1, -1).astype(np.float32)
        penalty = float(head.removeprefix("ridge")) * np.eye(x.shape[-1], dtype=np.float32)
        weights = np.linalg.solve(x.transpose(0, 2, 1) @ x + penalty, x.transpose(0, 2, 1) @ targets)
    return lambda inputs: (inputs @ weights[:, :-1] + weights[:, -1:]).argmax(-1)


def trained(head: str, x: np.ndarray, y: np.ndarray, classes: int, seed: int) -> Predict:
    """Train a dense head in all trials side by side: 15 epochs of batches of 20, Adam at 0.003."""
    torch.manual_seed(seed)
    widths, dropout = ([32], 0.0) if head == "dense" else ([16], 0.3)
    stack = TrialStack([Dense(x.shape[-1], classes, widths, dropout) for _ in x])
    optimizer = torch.optim.Adam(stack.parameters(), 3e-3, fused=True)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(15):
        order = torch.rand(labels.shape).argsort(1)
        for start in range(0, labels.shape[1] - 1, 20):
            rows = order[:, start : start + 20]
            logits = stack(inputs.gather(1, rows[..., None].expand(-1, -1, inputs.shape[2])))
            loss = cross_entropy(logits.flatten(0, 1), labels.gather(1, rows).flatten(), reduction="sum")
            optimizer.zero_grad()
            (loss / rows.shape[1]).backward()
            optimizer.step()
    stack.eval()

    def predict(tested: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(tested if tested.ndim == 3 else tested[None].repeat(len(x), 0))
        with torch.no_grad():
            return torch.cat([stack(part).argmax(-1) for part in images.split(500, 1)], 1).numpy()

    return predict


def draws(
    x: np.ndarray, y: np.ndarray, share: float, pools: int, heads: Sequence[str] = HEADS
) -> dict[str, np.ndarray]:
    """Return each head's right answers, (pools, trials, images), packed in bits."""
    classes, half, random = int(y.max()) + 1, len(x) // 2, np.random.default_rng(int(share * 100) + 1)
    of_class = [np.flatnonzero(y[:half] == label) for label in range(classes)]
    tested = slice(half, half + TESTED)
    found: dict[str, list[np.ndarray]] = {head: [] for head in heads}
    for seed in range(0, pools, 10):
        rows = []
        for _ in range(10):
            pool = [random.choice(own, round(PER_CLASS / share)) for own in of_class]
            rows += [np.concatenate([random.permutation(own)[:PER_CLASS] for own in pool]) for _ in range(TRIALS)]
        for head in heads:
            right = fit(head, x[np.array(rows)], y[np.array(rows)], classes, seed)(x[tested]) == y[tested]
            found[head].append(right.reshape(10, TRIALS, -1))
    packed = {head: np.packbits(np.concatenate(parts), axis=-1) for head, parts in found.items()}
    return {**packed, "tests": np.array(len(x[tested])), "share": np.array(share)}


def divided(y: np.ndarray, num_folds: int, random: np.random.Generator) -> np.ndarray:
    """Return a stratified division into folds, (images,)."""
    found, first = np.empty(len(y), int), 0
    for label in range(y.max() + 1):
        own = random.permutation(np.flatnonzero(y == label))
        found[own] = (np.arange(len(own)) + first) % num_folds
        first += len(own)
    return found


def cross_validated(
    x: np.ndarray,
    y: np.ndarray,
    images: int,
    num_folds: int,
    sets: int,
    heads: Sequence[str] = HEADS,
    repeats: int = 10,
) -> dict[str, np.ndarray]:
    """Return each head's right answers, (data sets, repeats, images), with the folds and the population's size."""
    classes, random = int(y.max()) + 1, np.random.default_rng(images)
    counts = np.full(classes, images // classes) if classes > 2 else np.array([images * 2 // 3, images // 3])
    found: dict[str, list[np.ndarray]] = {head: [] for head in heads}
    divisions = []
    for seed in range(sets):
        chosen = [random.choice(np.flatnonzero(y == label), count, replace=False) for label, count in enumerate(counts)]
        own_x, own_y = x[np.concatenate(chosen)], y[np.concatenate(chosen)]
        division = np.stack([divided(own_y, num_folds, random) for _ in range(repeats)])
        divisions.append(division)
        for head in heads:
            some = division[:3] if head in ("dense", "small") else division
            masks = np.concatenate([one == np.arange(num_folds)[:, None] for one in some])
            test, train = (np.array([np.flatnonzero(mask) for mask in own]) for own in (masks, ~masks))
            right = fit(head, own_x[train], own_y[train], classes, seed)(own_x[test]) == own_y[test]
            whole = np.empty((len(some), images), np.uint8)
            np.put_along_axis(whole, test.reshape(len(some), -1), right.reshape(len(some), -1).astype(np.uint8), 1)
            found[head].append(whole)
    stacked = {head: np.stack(parts) for head, parts in found.items()}
    return {**stacked, "folds": np.stack(divisions).astype(np.int8), "population": np.array(len(x))}


def cases(stored: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each head's values and each pair's differences."""
    for head in [head for head in HEADS if head in stored]:
        yield head, stored[head].astype(np.float32)
    for first, second in [pair for pair in PAIRS if set(pair) <= stored.keys()]:
        shared = min(stored[first].shape[1], stored[second].shape[1])
        yield f"{first} - {second}", stored[first][:, :shared].astype(np.float32) - stored[second][:, :shared]


def judged(estimates: list[crossed.Estimate], truth: float, scale: float = 1.0) -> tuple[float, float]:
    """Return the share of the intervals that cover, and the factor by which they are too wide."""
    errors = np.array([abs(one.mean - truth) for one in estimates]) / scale
    halves = stdtrit([one.degrees for one in estimates], 0.975) * np.array([one.error for one in estimates])
    return float((errors <= halves).mean()), float(1 / np.quantile(errors / np.maximum(halves, 1e-12), 0.95))


def judge_draws(stored: dict[str, np.ndarray], trials: int, images: int, random: np.random.Generator) -> dict:
    """Return (covers, excess) of every case in four ways: without a correction, and with b = r^2, r and Graft's."""
    share, bits = float(stored["share"]), int(stored["tests"])
    unpacked = {head: np.unpackbits(stored[head], axis=-1)[..., :bits] for head in HEADS if head in stored}
    shares = [0.0, *(((1 + 8 * common) ** 0.5 - 1) / 2 for common in (share**2, share)), share]  # of Graft's formula
    found = {}
    for name, values in cases(unpacked):
        plain = [
            crossed.estimate(own[random.permutation(len(own))[:trials]][:, random.integers(0, bits, images)])
            for own in values
            for _ in range(2)
        ]
        truth = float(values.mean(dtype=np.float64))
        found[name] = [judged([for_other_pools(one, each) for one in plain], truth) for each in shares]
    return found


def judge_folds(stored: dict[str, np.ndarray], repeats: int) -> dict:
    """Return (covers, excess) of every case: of Nadeau, Bengio, Bouckaert and Frank's interval, and of Graft's."""
    division, found = stored["folds"], {}
    num_folds, images = int(division.max()) + 1, division.shape[-1]
    scale = (1 - images / float(stored["population"])) ** 0.5
    for name, values in cases(stored):
        if values.shape[1] < repeats:
            continue
        both: tuple[list, list] = [], []
        for own, of_repeats in zip(values[:, :repeats], division, strict=True):
            masks = np.stack([one == fold for one in of_repeats[:repeats] for fold in range(num_folds)])
            table = np.where(masks, own.repeat(num_folds, 0), np.nan)
            means, trials = np.nanmean(table, 1), len(table)
            variance = (1 / trials + 1 / (num_folds - 1)) * float(means.var(ddof=1))
            parts = crossed.Parts(variance, 0.0, 0.0)
            both[0].append(crossed.Estimate(float(means.mean()), variance, trials - 1, parts, trials, images))
            both[1].append(cross_validation.estimate(table))
        truth = float(values[:, :repeats].mean())
        found[name] = judged(both[0], truth, scale), judged(both[1], truth, scale)
    return found


def kind(case: str) -> str:
    """Return the kind of a head, or of the two heads of a difference."""
    return "trained" if {"dense", "small"} & set(case.split(" - ")) else "nearest mean" if "mean" in case else "ridge"


def show(title: str, found: dict) -> None:
    """Print the cases' mean and least coverage, and their mean and largest excess, of every way."""
    words = []
    for one in np.array(list(found.values())).transpose(1, 2, 0):  # (ways, 2, cases)
        words.append(
            f"{100 * one[0].mean():5.1f} ({100 * one[0].min():5.1f}) {one[1].mean():5.2f} ({one[1].max():.2f})"
        )
    print(f"{title:34s} {'  | '.join(words)}", flush=True)


def table(out: Path) -> None:
    random = np.random.default_rng(0)
    print("of each way: covers % (least), excess (most)\ndraws: file, kind of heads: no correction | r^2 | r | Graft")
    for path in sorted(out.glob("draws_*.npz")):
        stored, found = dict(np.load(path)), {}
        for trials, images in ((6, 450), (15, 150), (15, 600), (20, 300)):
            judgement = judge_draws(stored, trials, images, random)
            found |= {(name, trials, images): one for name, one in judgement.items()}
        for heads in ("ridge", "nearest mean", "trained"):
            show(f"{path.stem}, {heads}", {case: one for case, one in found.items() if kind(case[0]) == heads})
        show(f"{path.stem}, all", found)
    print("folds: file, repeats: Nadeau-Bengio, Bouckaert-Frank | Graft")
    for path in sorted(out.glob("folds_*.npz")):
        for repeats in (1, 3, 10):
            if found := judge_folds(dict(np.load(path)), repeats):
                show(f"{path.stem}, {repeats}", found)


def main() -> None:
    torch.set_num_threads(1)
    what, out, *rest = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]
    if what == "features":
        store_features(out, *rest)
    elif what == "table":
        table(out)
    else:
        shared, name, *numbers = rest
        x, y = population(name, out, Path(shared))
        if what == "draws":
            np.savez(out / f"draws_{name}_{numbers[0]}.npz", **draws(x, y, float(numbers[0]), int(numbers[1])))  # type: ignore[arg-type]
        else:
            images, num_folds, sets = map(int, numbers)
            found = cross_validated(x, y, images, num_folds, sets)
            np.savez(out / f"folds_{name}_{images}_{num_folds}.npz", **found)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
