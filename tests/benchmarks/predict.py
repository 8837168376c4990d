"""Images a second of predict.py and of a plain loop, on the same photos with the same network.

    python tests/benchmarks/predict.py [IMAGES] [HEIGHT WIDTH]

The plain loop decodes a batch with Pillow, resizes each image to 224x224, and runs the same network, one batch after
another. Both get the same number of threads. The network has EfficientNet-Lite0's layers and random weights, which
take as long as trained ones.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from graft.backbones.backbone_timm import EfficientNetLite0
from graft.data.preprocess import Preprocess
from graft.heads.head import Plain
from graft.inference.image_list import Item
from graft.inference.predict import Predictor, best_device
from graft.inference.trained_model import TrainedModel

BATCH_SIZE = 64
REPEATS = 3


def make_model() -> TrainedModel:
    """Return a model of fifteen trials' heads behind one frozen backbone."""
    backbone = EfficientNetLite0(Preprocess([3, 224, 224], mean=(0.5,), std=(0.5,)))
    front, rest = backbone.split(backbone.keep)
    heads = [nn.Sequential(rest, Plain(backbone.num_features(), 5)) for _ in range(15)]
    about = {"classes": list("abcde"), "seeds": list(range(15)), "image": [3, 224, 224], "frozen_stages": backbone.keep}
    return TrainedModel(front, heads, about, Path("job"))


def write_photos(folder: Path, count: int, height: int, width: int) -> list[Path]:
    """Write JPEG photos of smooth noise, which have the file size of real ones."""
    noise = np.random.default_rng(0)
    paths = []
    for number in range(count):
        small = Image.fromarray(noise.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8))
        paths.append(folder / f"{number}.jpg")
        small.resize((width, height), Image.Resampling.BICUBIC).save(paths[-1], quality=90)
    return paths


@torch.inference_mode()
def plain_loop(model: TrainedModel, paths: list[Path]) -> list[int]:
    """Return the classes of images, one batch after another."""
    device, found = model.device, []
    for first in range(0, len(paths), BATCH_SIZE):
        images = []
        for path in paths[first : first + BATCH_SIZE]:
            with Image.open(path) as image:
                small = image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
            images.append(torch.from_numpy(np.array(small)).permute(2, 0, 1))
        features = model.features(torch.stack(images).to(device))
        logits = torch.stack([network(features) for network in model.networks])
        found += logits.softmax(-1).mean(0).argmax(1).tolist()
    return found


def main() -> None:
    """Print both speeds and their ratio."""
    count, height, width = [int(word) for word in sys.argv[1:]] + [512, 480, 640][len(sys.argv) - 1 :]
    device, model = best_device(), make_model()
    predictor = Predictor(model, device, batch_size=BATCH_SIZE)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photos(Path(folder), count, height, width)
        items = [Item(path.name, path) for path in paths]
        ways = {"plain loop": lambda: plain_loop(model, paths), "predict.py": lambda: list(predictor.rows(items))}
        best = dict.fromkeys(ways, float("inf"))
        for repeat in range(REPEATS + 1):  # the first pass warms up
            for name, way in ways.items():
                start = time.perf_counter()
                assert len(way()) == count
                best[name] = min(best[name], time.perf_counter() - start) if repeat else best[name]
    print(f"{count} photos of {height}x{width}, {device}, {torch.get_num_threads()} threads, best of {REPEATS}")
    for name, seconds in best.items():
        print(f"{name:<12}{count / seconds:8.1f} images a second")
    print(f"ratio       {best['plain loop'] / best['predict.py']:8.2f}")


if __name__ == "__main__":
    main()
