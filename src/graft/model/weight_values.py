"""Values of weights: whether they are numbers that a network can use."""

import torch

from graft.errors import GraftError
from graft.model.stages import Weights
from graft.model.weight_names import COUNTER

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def checked(weights: Weights, expected: Weights, origin: str, label: str) -> Weights:
    """Return weights in a network's own types, half and double precision too.

    Args:
        weights: under the network's names.
        expected: the network's own.
        origin: where they come from, in messages.
        label: the network's name in messages.

    Raises:
        GraftError: names or shapes are not the network's, or values are not finite floating-point numbers.
    """
    # PyTorch, too, loads batch norm without its counter, which matters only where the momentum is null.
    weights = {name: value for name, value in weights.items() if name in expected or not name.endswith(COUNTER)}
    weights |= {name: expected[name] for name in expected if name.endswith(COUNTER) and name not in weights}
    _refuse(
        [*_other_names(weights, expected), *_other_shapes(weights, expected)],
        f"{origin} does not match the backbone {label}",
        "try the backbone that these weights were trained in",
    )
    _refuse(
        [f"{name} is {_kind(weights[name])}" for name in expected if not _is_number(weights[name], expected[name])],
        f"{origin} has weights that are not floating-point numbers",
        "try a file of the weights before they were quantized, or dequantize them",
    )
    converted = {name: weights[name].detach().to(expected[name].dtype) for name in expected}
    strange = {name: value for name, value in converted.items() if not value.isfinite().all()}
    _refuse(
        [
            f"{name} contains {'NaN' if value.isnan().any() else 'infinity'}"
            for name, value in strange.items()
            if not torch.equal(value, expected[name])  # a mask of the network's own may hold infinity
        ],
        f"{origin} has weights that are not finite",
        "try a checkpoint from before its training diverged",
    )
    return converted


def _refuse(faults: list[str], what: str, mend: str) -> None:
    if faults:
        more = f" and {len(faults) - 4} more" if len(faults) > 4 else ""
        raise GraftError(f"{what}: {'; '.join(faults[:4])}{more}; {mend}")


def _other_names(weights: Weights, expected: Weights) -> list[str]:
    missing = [f"{name} is missing" for name in expected if name not in weights]
    return missing + [f"{name} is not a weight of this backbone" for name in weights if name not in expected]


def _other_shapes(weights: Weights, expected: Weights) -> list[str]:
    return [
        f"{name} has shape {tuple(weights[name].shape)} instead of {tuple(value.shape)}"
        for name, value in expected.items()
        if name in weights and weights[name].shape != value.shape
    ]


def _is_number(value: torch.Tensor, expected: torch.Tensor) -> bool:
    """Return whether values are a tensor's plain numbers, floating-point ones but for counters and indices."""
    if value.layout != torch.strided or value.is_meta or value.is_quantized:
        return False
    return value.dtype in FLOATS or not (expected.is_floating_point() or value.is_complex())


def _kind(value: torch.Tensor) -> str:
    """Return what a tensor is, in PyTorch's words."""
    if value.is_meta:
        return "on the meta device, without values"
    return str(value.dtype if value.layout == torch.strided else value.layout).removeprefix("torch.")
