"""Frozen stages over image files: seconds of decoding alone, of computing alone and of both as a job does it.

    python tests/benchmarks/decoding.py WORD ...

The words are those of a job with an `image_folder`. Each way takes its turn, three times; the fastest turn of each
counts. Further turns compute decoded images in batches of several sizes.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import torch
from hydra import compose, initialize_config_dir

from graft.data.images import ImageFiles, InMemoryImages
from graft.process import keep_memory
from graft.run.make_plan import make_plan
from graft.training import features

CONF = Path(__file__).parent.parent.parent / "conf"
SIZES = (16, 32, 64, 128)
ROUNDS = 3


def main(words: list[str]) -> None:
    """Measure one job's words."""
    keep_memory()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["name=decoding", "head=ridge", "tune=frozen", *words])
    plan = make_plan(cfg)
    backbone = plan.pretrained(Path(cfg.cache))
    front, _ = backbone.split(backbone.keep)
    images, indices = plan.data.images, plan.datamodule.images
    assert isinstance(images, ImageFiles)
    assert images._memory is not None

    def forget() -> ImageFiles:
        vars(images).pop("_memory", None)
        return images

    decoded = images.read(torch.arange(len(images.labels)))
    assert isinstance(decoded, torch.Tensor)
    held = InMemoryImages(images.labels, images.test, images.val, images.classes, decoded)
    ways: dict[str, Callable[[], object]] = {
        "decoding alone": lambda: forget().read(indices),
        "computing alone": lambda: features.extract(front, held, indices, plan.device),
        "both": lambda: features.extract(front, forget(), indices, plan.device),
    }
    for size in SIZES:
        ways[f"computing in batches of {size}"] = lambda size=size: in_batches(size, ways["computing alone"])
    fastest = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            fastest[name] = min(fastest[name], time.perf_counter() - start)
    print(f"{len(indices)} images as {tuple(images.shape)}, {torch.get_num_threads()} threads")
    for name, seconds in fastest.items():
        print(f"{name}: {seconds:.2f} s")
    alone = fastest["decoding alone"] + fastest["computing alone"]
    print(f"both are {alone / fastest['both']:.2f} times as fast as one after the other")
    same = torch.equal(
        features.extract(front, held, indices, plan.device), features.extract(front, forget(), indices, plan.device)
    )
    print(f"equal features: {same}")


def in_batches(size: int, compute: Callable[[], object]) -> None:
    """Compute features in batches of a size."""
    with patch("graft.training.features.fast_batch_size", lambda _: size):
        compute()


if __name__ == "__main__":
    main(sys.argv[1:])
