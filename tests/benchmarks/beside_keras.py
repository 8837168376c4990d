"""Seconds of three of the lecture's tasks: its Keras script, the same as a plain PyTorch loop, and Graft.

python tests/benchmarks/beside_keras.py DATA PYTHON [--turns 2], where DATA contains MNIST/raw, and PYTHON is an
interpreter with Keras (pip install tensorflow-cpu). The ways take turns in one run. Seconds are those of training and
testing, after the start of the program and the reading of the images. Keras and the loop train one trial of a task, and
15 trials take 15 times as long; Graft trains 15 trials. Both test after every tenth epoch, in batches of 1,000.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

TRAIN = Path(__file__).parent.parent.parent / "src" / "train.py"
TASKS = {  # trials, and Graft's words
    "pretrain": (1, ["experiment=lecture_mnist_transfer", "trials=1", "epochs=1"]),
    "scratch": (15, ["experiment=lecture_mnist_scratch"]),
    "vgg16": (15, ["experiment=lecture_mnist_vgg16_dense512", "val_every=10"]),
}
HALF = "trainer.precision=bf16-mixed"


def digits(data: Path, part: str, remainder: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the even (remainder 0) or odd (1) digits: images of (28, 28) in [0, 1], and classes 0 to 4."""
    folder = data / "MNIST" / "raw"
    images = np.frombuffer((folder / f"{part}-images-idx3-ubyte").read_bytes(), np.uint8)[16:].reshape(-1, 28, 28)
    labels = np.frombuffer((folder / f"{part}-labels-idx1-ubyte").read_bytes(), np.uint8)[8:]
    chosen = labels % 2 == remainder
    return images[chosen] / np.float32(255), labels[chosen].astype(np.int64) // 2


def of_task(task: str, data: Path) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Return a task's training images and classes, batch size and epochs."""
    if task == "pretrain":
        return *digits(data, "train", 0), 128, 15
    images, classes = digits(data, "train", 1)
    return images[:100], classes[:100], 4, 100


def keras_way(task: str, data: Path) -> float:
    """Train and test once, as the lecture's script does."""
    import keras  # pyright: ignore

    layers = keras.layers
    x, y, batch_size, epochs = of_task(task, data)
    test, labels = digits(data, "t10k", 1)
    x, test = x[..., None], test[..., None]
    if task == "vgg16":
        x, test = (np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)]).repeat(3, -1) for images in (x, test))
        vgg = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
        vgg.trainable = False
        parts = [vgg, layers.Flatten(), layers.Dense(512, activation="tanh")]
    else:
        parts = []
        for width in (32, 64):
            parts += [layers.Conv2D(width, 3, activation="relu"), layers.MaxPooling2D()]
        parts += [layers.Flatten(), layers.Dropout(0.5)]
    network = keras.Sequential([*parts, layers.Dense(5, activation="softmax")])
    network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    tests = {"validation_data": (test, labels), "validation_freq": 10, "validation_batch_size": 1000}
    start = time.perf_counter()
    network.fit(x, y, batch_size, epochs, verbose=0, **({} if task == "pretrain" else tests))
    return time.perf_counter() - start


def loop_way(task: str, data: Path) -> float:
    """Train and test once, as a student writes it in PyTorch."""
    import torch
    from torch import nn
    from torchvision.models.vgg import cfgs, make_layers

    x, y, batch_size, epochs = (torch.tensor(part) for part in of_task(task, data))
    test, labels = (torch.tensor(part) for part in digits(data, "t10k", 1))
    x, test = x[:, None], test[:, None]
    if task == "vgg16":
        x, test = (nn.functional.pad(images, (2, 2, 2, 2)).repeat(1, 3, 1, 1) for images in (x, test))
        parts = [make_layers(cfgs["D"]).requires_grad_(False), nn.Flatten(), nn.Linear(512, 512), nn.Tanh()]
        parts.append(nn.Linear(512, 5))
    else:
        parts = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)]
        parts += [nn.Flatten(), nn.Dropout(0.5), nn.Linear(1600, 5)]
    network = nn.Sequential(*parts)
    optimizer = torch.optim.Adam([weight for weight in network.parameters() if weight.requires_grad], eps=1e-7)
    start = time.perf_counter()
    for epoch in range(int(epochs)):
        for batch in torch.randperm(len(x)).split(int(batch_size)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()
        if task != "pretrain" and epoch % 10 == 9:
            with torch.no_grad():
                predicted = torch.cat([network.eval()(images).argmax(1) for images in test.split(1000)])
            (predicted == labels).float().mean().item()
            network.train()
    return time.perf_counter() - start


def graft_way(task: str, data: Path, *words: str) -> float:
    """Train and test all trials by the command line, with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        file = [] if task != "vgg16" else ["source=file", f"source.path={vgg_weights(Path(folder))}"]
        command = [sys.executable, TRAIN, *TASKS[task][1], f"dataset.root={data}", *file, *words, "name=run"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        seconds = json.loads((Path(folder) / "outputs/run/result.json").read_text())["seconds"]
    return seconds["pretrain"] if task == "pretrain" else seconds["features"] + seconds["train"] + seconds["test"]


def vgg_weights(folder: Path) -> Path:
    """Write random weights of VGG-16, which take as long as others."""
    import torch
    from torchvision.models.vgg import cfgs, make_layers

    path = folder / "vgg16.pt"
    torch.save({f"features.{name}": value for name, value in make_layers(cfgs["D"]).state_dict().items()}, path)
    return path


def other(python: str, way: str, task: str, data: Path) -> float:
    """Run this file with another interpreter, for one way and task."""
    command = [python, __file__, str(data), python, "--way", way, "--task", task]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def compare(task: str, data: Path, python: str, turns: int) -> None:
    """Print the median seconds of each way, and Graft's ratio to Keras and to the loop."""
    trials = TASKS[task][0]
    ways: dict[str, Callable[[], float]] = {
        "Keras": lambda: trials * other(python, "keras", task, data),
        "plain loop": lambda: trials * other(sys.executable, "loop", task, data),
        "Graft": lambda: graft_way(task, data),
        "Graft in bfloat16": lambda: graft_way(task, data, HALF),
    }
    measured = [[way() for way in ways.values()] for _ in range(turns)]
    seconds = dict(zip(ways, map(median, zip(*measured, strict=True)), strict=True))
    ratios = (seconds[way] / seconds["Graft"] for way in ("Keras", "plain loop"))
    print(f"{task}, {trials} trials:", ", ".join(f"{way} {value:.1f} s" for way, value in seconds.items()))
    print("  Graft is {:.2f} times as fast as Keras, {:.2f} times as the loop".format(*ratios), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=lambda path: Path(path).resolve())
    parser.add_argument("python", help="an interpreter with Keras")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--way", choices=["keras", "loop"], help="run this way alone")
    parser.add_argument("--task", choices=TASKS, help="run this task alone")
    words = parser.parse_args()
    if words.way:
        print({"keras": keras_way, "loop": loop_way}[words.way](words.task, words.data))
        return
    for task in [words.task] if words.task else TASKS:
        compare(task, words.data, words.python, words.turns)


if __name__ == "__main__":
    main()
