"""The predict.py beside an exported file: `standalone.py`, without what its job does not need."""

import inspect
import json
from pathlib import Path

from graft.export import standalone


def load(path: Path) -> tuple:
    """Return a file's metadata, and its function from bytes, (images, height, width, 3), to probabilities."""
    import torch

    program = torch.export.load(path, extra_files=(texts := {"about.json": ""})).module()
    return json.loads(texts["about.json"]), lambda pixels: program(torch.from_numpy(pixels)).numpy()


def load_as_predict_file(path: Path) -> tuple:
    """Load an exported file as the predict.py beside it does."""
    return load(path) if path.suffix == ".pt2" else standalone.load(path)


def predict_file(kind: str, fit: str) -> str:
    """Return the text of predict.py for a format, `onnx` or `torch`, and a job's `dataset.fit`."""
    text = inspect.getsource(standalone)
    if kind == "torch":
        text = text.replace(inspect.getsource(standalone.load), inspect.getsource(load))
        text = text.replace("Pillow and onnxruntime.", "Pillow and torch.")
    if fit != "pad":
        text = text.replace(inspect.getsource(standalone.padded) + "\n\n", "").replace(', "pad": padded', "")
    return text
