"""How many near copies are found that tests/benchmarks/audit.py plants, and whether a network's features would help.

    python tests/benchmarks/near_copies.py FOLDER OUT MOST 10 11 12 13 [features]

copies the first MOST files of each folder of FOLDER (or the 5,000 digits, for mnist5k) and plants 400 near copies, anew
for each of the seeds; then it looks for them as an audit does and, with `features`, by the cosine of those of
EfficientNet-Lite0, alone and as a confirmation. docs/audit.md has the numbers.
"""

import runpy
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir

import graft.config.knobs  # noqa: F401  registers the resolvers
from graft.audit.copies import near_copies, nearest
from graft.audit.inventory import Inventory
from graft.audit.thumbnails import pictures, thumbnails
from graft.config.build import build, builder
from graft.data.images import Images
from graft.run.make_plan import planned_data
from graft.training.features import FeatureStore

CONF = Path(__file__).parents[2] / "conf"
plant = runpy.run_path(str(Path(__file__).with_name("audit.py")))["plant"]  # src has another module of that name


def some_of(folder: Path, out: Path, most: int) -> Path:
    """Copy the first files of each folder below one; return where they are."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for parent in {path.parent for path in files}:
        target = out / parent.relative_to(folder)
        target.mkdir(parents=True, exist_ok=True)
        for path in [path for path in files if path.parent == parent][:most]:
            shutil.copy(path, target)
    return out


def features_of(images: Images, make: Any, source: Any, cache: Path, indices: torch.Tensor) -> torch.Tensor:
    """Return the features of length 1, (images, values)."""
    network = make()
    network.load_state_dict(source.weights(make, None, None, cache))
    frozen, _ = network.split(network.keep)
    features = FeatureStore(cache / "features", torch.device("cpu")).features(frozen, images, indices)
    return torch.nn.functional.normalize(features.flatten(2).mean(2) if features.dim() > 2 else features)


def main(folder: str, folder_of_all: Path, most: int, seeds: list[int], with_features: bool) -> None:
    """Plant near copies, and print how many are found."""
    for seed in seeds:
        out = folder_of_all / str(seed)  # a process lists a folder once
        shutil.rmtree(out, ignore_errors=True)
        source = folder if folder == "mnist5k" else str(some_of(Path(folder), out / "source", most))
        _, planted, _ = plant(source, out, 0, 400, 0, seed)
        words = ["dataset=image_folder", f"dataset.root={out}/root", "backbone=efficientnet_lite0", "source=imagenet"]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("audit", [*words, f"cache={out}/cache"])
        weights = build(cfg, "source")
        data, spec = planned_data(cfg, weights)
        found = Inventory(data)
        small = thumbnails(data.images, found.indices, out / "thumbnails")
        every = np.arange(len(found.names))
        pairs = near_copies(small, every, partial(shown, data.images, found.indices))
        named = {frozenset([found.names[pair.first], found.names[pair.second]]) for pair in pairs}
        others = [sorted(pair) for pair in named - planted]
        print(f"draw {seed}: {len(named & planted)} of {len(planted)}, {len(others)} others {others[:9]}", flush=True)
        if with_features:
            make = builder(cfg, "backbone", preprocess=spec.preprocess(data.images.shape))
            vectors = features_of(data.images, make, weights, out / "cache", found.indices)
            by_features(vectors, found.names, planted, named)


def shown(images: Images, indices: torch.Tensor, places: list[int]) -> list[torch.Tensor]:
    """Return the pictures at some places."""
    return pictures(images, indices[places])


def by_features(vectors: torch.Tensor, names: list[str], planted: set[frozenset], named: set[frozenset]) -> None:
    """Print what is found by cosines alone, and how many of the pairs found by pixels they would confirm."""
    distances, places = nearest(vectors, 10)
    close: dict[frozenset, float] = {}
    ranks: dict[frozenset, int] = {}  # the better one of the two
    for place, (row, others) in enumerate(zip(distances.tolist(), places.tolist(), strict=True)):
        for rank, (distance, other) in enumerate(zip(row, others, strict=True)):
            pair = frozenset([names[place], names[other]])
            close[pair] = distance
            ranks[pair] = min(rank, ranks.get(pair, rank))
    right = wrong = 0
    for pair, distance in sorted(close.items(), key=lambda item: item[1]):
        right, wrong = right + (pair in planted), wrong + (pair not in planted)
        if pair not in planted and wrong in (1, 20):
            print(f"  features: {right} before {wrong} others, at a cosine of {1 - distance**2 / 2:.3f}")
    for count in (1, 3, 10):
        kept = sum(ranks.get(pair, 10) < count for pair in named & planted)
        others = sum(ranks.get(pair, 10) < count for pair in named - planted)
        more = sum(ranks.get(pair, 10) < count for pair in planted - named)
        print(f"  among the {count} nearest: {kept} planted and {others} others of these pairs, {more} not found")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[3:] if word.isdecimal()]
    main(sys.argv[1], Path(sys.argv[2]), numbers[0], numbers[1:], "features" in sys.argv)
