"""Writing the graph: as ONNX, in 32, 16 or 8 bits, or as PyTorch's own export."""

import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graft.errors import GraftError
from graft.export.exported_model import ExportedModel

FILES = {"onnx": "model.onnx", "torch": "model.pt2"}
ONNX_SINCE = "2.10"  # earlier versions of PyTorch cannot write products of images of any size
INPUT, OUTPUT = "images", "probabilities"


def check_installed(kind: str) -> None:
    """Refuse a format whose packages are not there, or too old.

    Raises:
        GraftError: names the extra.
    """
    if kind != "onnx":
        return
    if torch.__version__ < ONNX_SINCE:
        raise GraftError(
            f"format=onnx needs PyTorch {ONNX_SINCE} or newer, this is {torch.__version__}; try format=torch"
        )
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise GraftError(
            f'format=onnx needs {error.name}, which is not installed; try pip install -e ".[export]", or format=torch'
        ) from None


def earlier_files(folder: Path, kind: str) -> list[str]:
    """Return in words which models of other formats an export's folder has, whose predict.py and card are replaced."""
    if kind not in FILES:  # a folder for the hub has neither
        return []
    others = [folder / name for each, name in FILES.items() if each != kind and (folder / name).exists()]
    return [
        f"{path} is of an earlier export: predict.py and the card are those of {FILES[kind]} now" for path in others
    ]


def write_torch(model: ExportedModel, path: Path, about: Mapping[str, Any]) -> None:
    """Write a `.pt2` file of `torch.export`, with its metadata as `about.json` inside."""
    torch.export.save(_program(model), path, extra_files={"about.json": json.dumps(about, ensure_ascii=False)})


def write_onnx(model: ExportedModel, path: Path, about: Mapping[str, Any]) -> None:
    """Write an ONNX file, whose metadata has each key of `about` as JSON.

    Raises:
        GraftError: PyTorch cannot translate an operation of the network.
    """
    program = _program(model)
    try:
        with _quiet():
            written = torch.onnx.export(
                program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False, external_data=False
            )
    except RuntimeError as error:  # the exporter's errors are subclasses
        raise GraftError(
            f"PyTorch cannot write this network as ONNX ({str(error).splitlines()[0]}); try format=torch"
        ) from None
    assert written is not None
    for key, value in about.items():
        written.model.metadata_props[key] = json.dumps(value, ensure_ascii=False)
    written.save(path)


def write_int8(path: Path, examples: Iterator[torch.Tensor]) -> None:
    """Replace an ONNX file by one with 8-bit weights and activations, scaled by what examples of images need.

    Reading and scaling stay as they are; convolutions and dense layers are quantized, the weights of each channel on
    their own. Activations are scaled by the 99.999th percentile: a few extreme ones would leave too few of the 256
    steps for all others. ReLU and its like are quantized with the layer before them.

    Args:
        path: the file.
        examples: bytes, (images, channels, height, width), of training images; batches of one size.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[override]
            pixels = next(examples, None)
            return None if pixels is None else {INPUT: as_input(pixels)}

    graph = onnx.load(path)
    about = {each.key: each.value for each in graph.metadata_props}
    nodes = list(graph.graph.node)
    rounding = max(place for place, node in enumerate(nodes) if node.op_type == "Floor")  # the last to bytes
    reading = [node.name for node in nodes[:rounding]]
    with _quiet(), redirect_stdout(io.StringIO()):
        quantize_static(
            path, path, Reader(), per_channel=True, op_types_to_quantize=["Conv", "MatMul", "Gemm", "Clip", "Relu"],
            nodes_to_exclude=reading, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
        )  # fmt: skip
    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, about)
    onnx.save(graph, path)


def as_input(pixels: torch.Tensor) -> np.ndarray:
    """Return images, (images, channels, height, width), as the file takes them, (images, height, width, 3)."""
    return pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().numpy()


def _program(model: ExportedModel) -> torch.export.ExportedProgram:
    """Trace the graph: numbers of images, height and width are free.

    Raises:
        GraftError: the network does what cannot be traced.
    """
    example = torch.zeros(2, 37, 41, 3, dtype=torch.uint8)
    free = dict.fromkeys(range(3), torch.export.Dim.DYNAMIC)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operation that only PyTorch has
    try:
        with _quiet(), torch.no_grad():
            return torch.export.export(model, (example,), dynamic_shapes=(free,))
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:  # torch.export's errors are subclasses
        raise GraftError(
            f"PyTorch cannot trace this network ({str(error).splitlines()[0]}); predict with src/predict.py instead"
        ) from None
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' remarks, which no user can act on, from the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
