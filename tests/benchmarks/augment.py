"""Milliseconds of augmenting one batch: python tests/benchmarks/augment.py."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from omegaconf import OmegaConf
from torchvision.transforms import v2

from graft.config.build import build
from graft.seed import generator

OPTIONS = Path(__file__).parents[2] / "conf" / "augment"


def milliseconds(step: Callable[[], object], repeats: int = 10) -> float:
    """Return the median time of a step, after one warm-up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return 1000 * median(times[1:])


def main() -> None:
    trials = [generator(seed, "augment") for seed in range(15)]
    one = v2.RandomAffine([-15, 15], (0.1, 0.1), (0.85, 1.15), [-10, 10], interpolation=v2.InterpolationMode.BILINEAR)
    for shape in ((60, 1, 28, 28), (60, 3, 32, 32)):
        images = torch.randint(0, 256, shape, dtype=torch.uint8)
        print(shape, f"v2.RandomAffine one by one {milliseconds(lambda x=images: [one(image) for image in x]):.1f}")
        for name in ("digits", "photos", "randaug"):
            augment = build(OmegaConf.create({"augment": OmegaConf.load(OPTIONS / f"{name}.yaml")}), "augment")
            print(shape, name, f"{milliseconds(lambda x=images, a=augment: a(x, trials)):.1f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
