"""How many near copies are found that tests/benchmarks/audit.py plants, and by which candidates.

    python tests/benchmarks/near_copies.py FOLDER OUT MOST 10 11 12 13 [features]

copies the first MOST files of each folder of FOLDER (or the 5,000 digits, for mnist5k) and plants 400 near copies, anew
for each of the seeds; then it looks for them by thumbnails, as an audit does. With `features` it plants 500 altered
copies as well, 100 of each kind of ALTERED, and says what the features of EfficientNet-Lite0 add: by their cosine
alone, with the confirmation that pairs of thumbnails have, and with that of altered copies. docs/audit.md has the
numbers.
"""

import random
import runpy
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from PIL import Image, ImageDraw, ImageEnhance

import graft.config.knobs  # noqa: F401  registers the resolvers
from graft.audit import copies
from graft.audit.altered import CLOSE, altered_copies
from graft.audit.copies import Pair, beyond_gap, near_copies, nearest
from graft.audit.inventory import Inventory
from graft.audit.thumbnails import pictures, thumbnails
from graft.config.build import build, builder
from graft.data.images import Images
from graft.run.make_plan import planned_data
from graft.training.features import FeatureStore

CONF = Path(__file__).parents[2] / "conf"
plant = runpy.run_path(str(Path(__file__).with_name("audit.py")))["plant"]  # src has another module of that name
Named = set[frozenset[str]]


def cropped(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Return nine tenths of each side, anywhere."""
    width, height = round(0.9 * picture.width), round(0.9 * picture.height)
    left, top = chance.randint(0, picture.width - width), chance.randint(0, picture.height - height)
    return picture.crop((left, top, left + width, top + height))


def marked(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Cover 8 % of a picture, in one of its lower corners, with white."""
    covered, width, height = picture.copy(), round(0.4 * picture.width), round(0.2 * picture.height)
    left = chance.choice([0, picture.width - width])
    white = 255 if picture.mode == "L" else (255, 255, 255)
    ImageDraw.Draw(covered).rectangle((left, picture.height - height, left + width, picture.height), fill=white)
    return covered


ALTERED: dict[str, Callable[[Image.Image, random.Random], Image.Image]] = {
    "crop": cropped,
    "rotation": lambda picture, chance: picture.rotate(chance.choice([-5, -3, 3, 5]), Image.Resampling.BICUBIC),
    "brightness": lambda picture, chance: ImageEnhance.Brightness(picture).enhance(chance.choice([0.7, 0.8, 1.2, 1.3])),
    "contrast": lambda picture, chance: ImageEnhance.Contrast(picture).enhance(chance.choice([0.7, 0.8, 1.2, 1.3])),
    "mark": marked,
}


def some_of(folder: Path, out: Path, most: int) -> Path:
    """Copy the first files of each folder below one; return where they are."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for parent in {path.parent for path in files}:
        target = out / parent.relative_to(folder)
        target.mkdir(parents=True, exist_ok=True)
        for path in [path for path in files if path.parent == parent][:most]:
            shutil.copy(path, target)
    return out


def plant_altered(root: Path, near: Named, seed: int) -> dict[str, Named]:
    """Write altered copies of pictures, of each kind 100 and half of them as JPEG; return their pairs by kind."""
    chance, used = random.Random(seed), {name for pair in near for name in pair}
    files = [path for path in sorted(root.rglob("*.*")) if str(path.relative_to(root)) not in used]
    planted: dict[str, Named] = {kind: set() for kind in ALTERED}
    for number, path in enumerate(chance.sample(files, 100 * len(ALTERED))):
        kind = list(ALTERED)[number % len(ALTERED)]
        suffix, quality = chance.choice([(".png", 75), (".jpg", 85), (".jpg", 95), (".png", 75)])
        copy = path.with_name(f"{kind}_{path.stem}{suffix}")
        with Image.open(path) as picture:
            ALTERED[kind](picture, chance).save(copy, quality=quality)
        planted[kind].add(frozenset(str(each.relative_to(root)) for each in (path, copy)))
    return planted


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
        _, near, _ = plant(source, out, 0, 400, 0, seed)
        planted = {"resized": near} | (plant_altered(out / "root", near, seed) if with_features else {})
        words = ["dataset=image_folder", f"dataset.root={out}/root", "backbone=efficientnet_lite0", "source=imagenet"]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("audit", [*words, f"cache={out}/cache"])
        weights = build(cfg, "source")
        data, spec = planned_data(cfg, weights)
        found = Inventory(data)
        small = thumbnails(data.images, found.indices, out / "thumbnails")
        every, shown = np.arange(len(found.names)), partial(shown_of, data.images, found.indices)
        pairs = near_copies(small, every, shown)
        say = partial(tell, found.names, planted)
        print(f"draw {seed}, {len(every)} files")
        say("thumbnails", pairs)
        if with_features:
            make = builder(cfg, "backbone", preprocess=spec.preprocess(data.images.shape))
            vectors = features_of(data.images, make, weights, out / "cache", found.indices)
            by_cosine(vectors, say)
            also_confirmed(vectors, shown, pairs, say)
            more = altered_copies(vectors, small.pixels, {pair[:2] for pair in pairs})
            say("thumbnails and altered copies", [*pairs, *more])


def shown_of(images: Images, indices: torch.Tensor, places: list[int]) -> list[torch.Tensor]:
    """Return the pictures at some places."""
    return pictures(images, indices[places])


def tell(names: list[str], planted: dict[str, Named], what: str, pairs: list[Pair]) -> None:
    """Print how many pairs are planted ones, of each kind, and the other ones."""
    named = {frozenset([names[pair.first], names[pair.second]]) for pair in pairs}
    others = [sorted(pair) for pair in named.difference(*planted.values())]
    counts = ", ".join(f"{kind} {len(named & pairs)} of {len(pairs)}" for kind, pairs in planted.items())
    print(f"  {what}: {counts}, {len(others)} others {others[:9]}", flush=True)


def by_cosine(vectors: torch.Tensor, say: Callable[[str, list[Pair]], None]) -> None:
    """Print what is found by cosines alone: the closest pairs, as many as are planted."""
    distances, places = nearest(vectors, 10)
    cosines = {
        (min(one, other), max(one, other)): 1 - distance**2 / 2
        for one, row in enumerate(zip(distances.tolist(), places.tolist(), strict=True))
        for distance, other in zip(*row, strict=True)
    }
    first = sorted((Pair(*pair, cosine) for pair, cosine in cosines.items()), key=lambda pair: -pair.similarity)
    for count in (100, 300, 900):
        say(f"the {count} largest cosines", first[:count])


def also_confirmed(
    vectors: torch.Tensor, shown: Callable, pairs: list[Pair], say: Callable[[str, list[Pair]], None]
) -> None:
    """Print what is found if features, too, name candidates that are confirmed as those of thumbnails are."""
    distances, neighbors = nearest(vectors, 10)
    beyond = beyond_gap(distances, CLOSE)
    close = distances < CLOSE * torch.minimum(beyond[:, None], beyond[neighbors])
    candidates = sorted(
        {tuple(sorted((one, int(neighbors[one, place])))) for one, place in torch.nonzero(close).tolist()}
    )
    grays = copies._grays(candidates, neighbors, shown)  # pyright: ignore
    confirmed = copies._confirmed(candidates, neighbors, grays)  # pyright: ignore
    say(f"thumbnails, and {len(candidates)} candidates of features with the same confirmation", [*pairs, *confirmed])


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[3:] if word.isdecimal()]
    main(sys.argv[1], Path(sys.argv[2]), numbers[0], numbers[1:], "features" in sys.argv)
