"""Held-out test images: training images that no recipe of conf/experiment/best_*.yaml was chosen by or trains on.

python tests/benchmarks/unseen.py DATA OUT, where DATA contains MNIST/raw and cifar10_png/train/<class>. OUT/MNIST/raw
gets the training digits, and their odd ones after the 200th as test digits. OUT/cifar10/train gets the first 100 images
of each class and OUT/cifar10/test those after the 150th, because learning rates were chosen by the 50 between. The
recipes run on them with dataset.root=OUT, or dataset=image_folder dataset.root=OUT/cifar10.

OUT/mnist100/MNIST/raw gets the even training digits and the first 100 odd ones, and OUT/cifar10/train is a data set by
itself, so that dataset.folds divides only images on which the recipes train. OUT/even/MNIST/raw gets even training
digits, 200 to train and the others as test digits, to compare recipes without an odd one; the 100 odd test digits are
there because a data set has images of all its classes. OUT/even_pretrained/MNIST/raw has all odd training digits, too,
to pre-train on.
"""

import shutil
import struct
import sys
from pathlib import Path

import numpy as np


def digits(data: Path, out: Path) -> None:
    """Write the training files with their odd digits after the 200th as test files, and those of parts of them."""
    pixels = np.fromfile(data / "train-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 28, 28)
    labels = np.fromfile(data / "train-labels-idx1-ubyte", np.uint8)[8:]
    odd, even, every = np.flatnonzero(labels % 2), np.flatnonzero(labels % 2 == 0), np.arange(len(labels))
    sets = {
        out: (every, odd[200:]),
        out / "mnist100": (np.setdiff1d(every, odd[100:]), odd[200:]),
        out / "even": (np.union1d(even[:200], odd[:200]), np.union1d(even[200:], odd[200:300])),
        out / "even_pretrained": (np.union1d(even[:200], odd), np.union1d(even[200:], odd[:100])),
    }
    for folder, (train, test) in sets.items():
        raw = folder / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for part, chosen in (("train", train), ("t10k", test)):
            # The format is that of yann.lecun.com/exdb/mnist.
            head, count = struct.pack(">4i", 2051, len(chosen), 28, 28), struct.pack(">2i", 2049, len(chosen))
            (raw / f"{part}-images-idx3-ubyte").write_bytes(head + pixels[chosen].tobytes())
            (raw / f"{part}-labels-idx1-ubyte").write_bytes(count + labels[chosen].tobytes())


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
    digits(data / "MNIST" / "raw", out)
    photos(data / "cifar10_png" / "train", out / "cifar10")


if __name__ == "__main__":
    main()
