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
        text = _replaced(text, inspect.getsource(standalone.load), inspect.getsource(load))
        text = _replaced(text, "model.onnx", "model.pt2")
        text = _replaced(text, "Pillow and onnxruntime.", "Pillow and torch.")
    if fit != "pad":
        text = _replaced(text, inspect.getsource(standalone.padded) + "\n\n", "")
        text = _replaced(text, ', "pad": padded', "")
    return text


def _replaced(text: str, part: str, other: str) -> str:
    """Replace a part that must be there, wherever standalone.py is changed."""
    assert part in text, f"standalone.py has no {part!r}"
    return text.replace(part, other)
