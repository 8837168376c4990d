"""Held-out test images: training images that no recipe of conf/experiment/best_*.yaml was chosen by or trains on.

python tests/benchmarks/unseen.py DATA OUT, where DATA contains MNIST/raw and cifar10_png/train/<class>. OUT/MNIST/raw
gets the training digits, and their odd ones after the 200th as test digits. OUT/cifar10/train gets the first 100 images
of each class and OUT/cifar10/test those after the 150th, because learning rates were chosen by the 50 between. The
recipes run on them with dataset.root=OUT, or dataset=image_folder dataset.root=OUT/cifar10.
"""

import shutil
import struct
import sys
from pathlib import Path

import numpy as np


def digits(data: Path, out: Path) -> None:
    """Copy the training files, and write their odd digits after the 200th as test files."""
    out.mkdir(parents=True)
    for kind in ("images-idx3", "labels-idx1"):
        shutil.copyfile(data / f"train-{kind}-ubyte", out / f"train-{kind}-ubyte")
    pixels = np.fromfile(out / "train-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 28, 28)
    labels = np.fromfile(out / "train-labels-idx1-ubyte", np.uint8)[8:]
    unseen = np.flatnonzero(labels % 2)[200:]
    (out / "t10k-images-idx3-ubyte").write_bytes(
        struct.pack(">4i", 2051, len(unseen), 28, 28) + pixels[unseen].tobytes()  # yann.lecun.com/exdb/mnist
    )
    (out / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, len(unseen)) + labels[unseen].tobytes())


def photos(train: Path, out: Path) -> None:
    """Copy the first 100 images of each class to train folders, and those after the 150th to test folders."""
    for folder in sorted(train.iterdir()):
        files = sorted(folder.iterdir())
        for part, chosen in (("train", files[:100]), ("test", files[150:])):
            (out / part / folder.name).mkdir(parents=True)
            for file in chosen:
                shutil.copyfile(file, out / part / folder.name / file.name)


def main() -> None:
    data, out = map(Path, sys.argv[1:])
    digits(data / "MNIST" / "raw", out / "MNIST" / "raw")
    photos(data / "cifar10_png" / "train", out / "cifar10")


if __name__ == "__main__":
    main()
