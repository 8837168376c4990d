"""Whether a network's features find near copies: those that tests/benchmarks/audit.py plants, by features' cosine.

    python tests/benchmarks/near_features.py FOLDER OUT 75

copies the first 75 files of each folder of FOLDER and plants 400 near copies; then it looks for them among thumbnails,
as an audit does, and among the features of EfficientNet-Lite0. docs/audit.md has the numbers.
"""

import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir

import graft.config.knobs  # noqa: F401  registers the resolvers
from graft.audit.copies import near_copies, nearest
from graft.audit.inventory import Inventory
from graft.audit.thumbnails import thumbnails
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


def main(folder: Path, out: Path, most: int) -> None:
    """Plant near copies, and print how many are found by thumbnails, and by cosines of features."""
    shutil.rmtree(out, ignore_errors=True)
    _, planted, _ = plant(str(some_of(folder, out / "source", most)), out, 0, 400, 0)
    words = ["dataset=image_folder", f"dataset.root={out}/root", "backbone=efficientnet_lite0", "source=imagenet"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("audit", [*words, f"cache={out}/cache"])
    source = build(cfg, "source")
    data, spec = planned_data(cfg, source)
    found = Inventory(data)
    small = thumbnails(data.images, found.indices, out / "thumbnails")
    names = found.names
    pairs = near_copies(small, found.kinds(), np.arange(len(names)))
    by_pixels = {frozenset([names[pair.first], names[pair.second]]) for pair in pairs}
    print(f"thumbnails: {len(by_pixels & planted)} of {len(planted)}, {len(by_pixels - planted)} others")
    make = builder(cfg, "backbone", preprocess=spec.preprocess(data.images.shape))
    distances, places = nearest(features_of(data.images, make, source, out / "cache", found.indices), 10)
    close: dict[frozenset, float] = {}
    for place, (row, others) in enumerate(zip(distances.tolist(), places.tolist(), strict=True)):
        close |= {frozenset([names[place], names[other]]): each for each, other in zip(row, others, strict=True)}
    right = wrong = 0
    for pair, distance in sorted(close.items(), key=lambda item: item[1]):
        right, wrong = right + (pair in planted), wrong + (pair not in planted)
        if pair not in planted and wrong in (1, 5, 20, 100):
            print(f"features: {right} before {wrong} others, at a cosine of {1 - distance**2 / 2:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
