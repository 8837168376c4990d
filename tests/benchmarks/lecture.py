"""The cost of the lecture's VGG-16 rows, as ratios to one plain pass of VGG-16 over the same images.

python tests/benchmarks/lecture.py DATA, where DATA contains MNIST/raw, cifar10_jpeg/{train,test}/<class> and
weights/vgg16_imagenet_features.safetensors. The plain pass and the rows are measured in the same run, the rows
from the command line with an empty cache.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from torchvision.models.vgg import cfgs, make_layers

TRAIN = Path(__file__).parent.parent.parent / "src" / "train.py"


def plain_pass(weights: Path, images: int) -> float:
    """Return the seconds of VGG-16's convolutions over random images of 32x32 pixels, in batches of 128."""
    network = make_layers(cfgs["D"]).eval()
    network.load_state_dict({name.removeprefix("features."): value for name, value in load_file(weights).items()})
    pixels = torch.rand(images, 3, 32, 32)
    with torch.no_grad():
        network(pixels[:128])
        start = time.perf_counter()
        for batch in pixels.split(128):
            network(batch)
        return time.perf_counter() - start


def rows(folder: str, *words: str) -> float:
    """Return the seconds of a sweep from the command line."""
    start = time.perf_counter()
    subprocess.run([sys.executable, TRAIN, "-m", *words], cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    data = Path(sys.argv[1]).resolve()
    weights = data / "weights" / "vgg16_imagenet_features.safetensors"
    file = ("source=file", f"source.path={weights}")
    cifar = ("dataset=image_folder", f"dataset.root={data}/cifar10_jpeg")
    cases = {
        "five rows on 5,174 digits": (5174, "experiment=glob(lecture_mnist_vgg16*)", f"dataset.root={data}"),
        "one row on 11,000 images": (11000, "experiment=lecture_cifar10_vgg16_dense512", *cifar),
    }
    for name, (images, *words) in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            plain = plain_pass(weights, images)
            first, second = rows(folder, "name=first", *words, *file), rows(folder, "name=second", *words, *file)
        print(f"{name}: plain pass {plain:.1f} s; rows {first:.1f} s, {first / plain:.1f} times; again {second:.1f} s")
    print(f"memory at most {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
